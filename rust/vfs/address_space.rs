// SPDX-License-Identifier: GPL-2.0-only

//! Page caches that the filesystem fills itself, folio by folio.
//!
//! Files that lie on a block device as they are have [`iomap`] for that. This is for the others:
//! what must be decoded, and what lies in a file.
//!
//! [`iomap`]: crate::iomap
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    error::to_c,
    folio::LockedFolio,
    inode::Inode,
    readahead::Readahead, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// How a page cache is filled.
pub trait Operations: 'static {
    /// The filesystem whose inodes have it.
    type FileSystem: crate::FileSystem;

    /// Reads `folio`, or sees to it that it is read: it may end after this returns. An error goes to
    /// the reader; an error that the folio ends with reads as `EIO`. May sleep.
    fn read_folio(inode: &Inode<Self::FileSystem>, folio: LockedFolio) -> Result;

    /// Reads as many of `folios` as are worth it. Nobody waits for them yet. May sleep.
    fn readahead(inode: &Inode<Self::FileSystem>, folios: Readahead<'_>);
}

pub(crate) struct Tables<A>(PhantomData<A>);

impl<A: Operations> Tables<A> {
    /// There is no `direct_IO` and no `bmap`: opening with `O_DIRECT` and `FIBMAP` give `EINVAL`.
    pub(crate) const MAPPING: &'static bindings::address_space_operations =
        &bindings::address_space_operations {
            read_folio: Some(read_folio::<A>),
            readahead: Some(readahead::<A>),
            ..pin_init::zeroed()
        };
}

/// # Safety
///
/// Only to be called by the page cache, with a locked folio of an inode of `A::FileSystem`, which
/// is to be read.
unsafe extern "C" fn read_folio<A: Operations>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> c_int {
    // SAFETY: The page cache calls this with a locked folio that is to be read, whose lock moves here. It
    // has its mapping as long as it is locked, and with that an inode of the type.
    let (inode, folio) = unsafe {
        let mapping = (*folio).__bindgen_anon_1.__bindgen_anon_1.mapping;
        (
            Inode::from_raw((*mapping).host),
            LockedFolio::from_raw(NonNull::new_unchecked(folio)),
        )
    };
    to_c(A::read_folio(inode, folio))
}

/// # Safety
///
/// Only to be called by the page cache, for an inode of `A::FileSystem`.
unsafe extern "C" fn readahead<A: Operations>(control: *mut bindings::readahead_control) {
    // SAFETY: The page cache calls this with a control block that is this call's, of a mapping of an
    // inode of the type, to which the caller has a reference.
    let (inode, folios) = unsafe {
        (
            Inode::from_raw((*(*control).mapping).host),
            Readahead::from_raw(control),
        )
    };
    A::readahead(inode, folios);
}
