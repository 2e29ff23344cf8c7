// SPDX-License-Identifier: GPL-2.0-only

//! Directories: finding a name, listing names.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    dentry::Dentry,
    error::to_c,
    file,
    inode::{
        self,
        Inode,
        InodeRef, //
    },
    iomap,
    task, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// What a directory does.
pub trait Operations: inode::Operations {
    /// The inode that `dentry` names in `dir`; `None` makes it a negative dentry. The lock of `dir`
    /// is held shared; `flags` are `LOOKUP_*`. May sleep.
    fn lookup<'a>(
        dir: &'a Inode<Self::FileSystem>,
        dentry: &Dentry<Self::FileSystem>,
        flags: u32,
    ) -> Result<Option<InodeRef<'a, Self::FileSystem>>>;

    /// Emits the entries from `cursor`'s position on. The lock of `dir` is held shared. May sleep.
    fn iterate(dir: &Inode<Self::FileSystem>, cursor: &mut Cursor<'_>) -> Result;
}

/// Where a listing is, and where its entries go: a `dir_context` with the open file it belongs to.
///
/// # Invariants
///
/// The context is part of something of the caller's, who moves it on, too (its `actor`); so no reference
/// to it is made. It and the file live for `'a`.
pub struct Cursor<'a> {
    ctx: NonNull<bindings::dir_context>,
    file: *mut bindings::file,
    _p: PhantomData<&'a mut bindings::dir_context>,
}

impl Cursor<'_> {
    /// The position, as `telldir(3)` gives it.
    pub fn pos(&self) -> u64 {
        // SAFETY: The context is live.
        unsafe { (*self.ctx.as_ptr()).pos as u64 }
    }

    /// Moves on. Positions past `i64::MAX` are cut to it.
    pub fn set_pos(&mut self, pos: u64) {
        // SAFETY: The context is live, and its position is the directory's to set.
        unsafe { (*self.ctx.as_ptr()).pos = i64::try_from(pos).unwrap_or(i64::MAX) };
    }

    /// Emits one entry; `false` when the caller has no room for it, and it must come again.
    /// `d_type` is one of `DT_*`.
    #[must_use]
    pub fn emit(&mut self, name: &[u8], ino: u64, d_type: u8) -> bool {
        let Ok(len) = i32::try_from(name.len()) else {
            return false;
        };
        // SAFETY: The context is live, and the name as long as said.
        unsafe {
            helpers::dir_emit(
                self.ctx.as_ptr(),
                name.as_ptr().cast(),
                len,
                ino,
                d_type.into(),
            )
        }
    }

    /// Starts reading `pages` pages of the directory from page `index` on, unless a readahead
    /// window already covers it.
    pub fn readahead(&mut self, index: u64, pages: u64) {
        // SAFETY: the file is open for as long as the cursor; its mapping is the directory's.
        unsafe {
            let ra = &raw mut (*self.file).__bindgen_anon_3.f_ra;
            if !helpers::ra_has_index(ra, index as usize) {
                helpers::page_cache_sync_readahead(
                    (*self.file).f_mapping,
                    ra,
                    self.file,
                    index as usize,
                    pages as usize,
                );
            }
        }
    }

    /// `Err(ERESTARTSYS)` if the reader is being killed; gives the CPU away where that is due.
    pub fn checkpoint(&self) -> Result {
        if task::is_killed() {
            return Err(ERESTARTSYS);
        }
        task::cond_resched();
        Ok(())
    }
}

/// A directory that is mapped by `M`.
pub(crate) struct Mapped<O, M>(PhantomData<(O, M)>);

impl<O, M> Mapped<O, M>
where
    O: Operations,
    M: iomap::Operations<FileSystem = O::FileSystem>,
{
    pub(crate) const INODE: &'static bindings::inode_operations = &bindings::inode_operations {
        lookup: Some(lookup::<O>),
        fiemap: Some(iomap::fiemap::<M>),
        ..inode::common_operations::<O>()
    };
}

pub(crate) struct Tables<O>(PhantomData<O>);

impl<O: Operations> Tables<O> {
    pub(crate) const FILE: &'static bindings::file_operations = &bindings::file_operations {
        llseek: Some(bindings::generic_file_llseek),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(iterate_shared::<O>),
        unlocked_ioctl: Some(file::ioctl::<O::FileSystem>),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(file::compat_ioctl::<O::FileSystem>),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };
}

/// # Safety
///
/// Only to be called by the VFS, with a directory of `O::FileSystem` and an unhashed dentry in it.
unsafe extern "C" fn lookup<O: Operations>(
    dir: *mut bindings::inode,
    dentry: *mut bindings::dentry,
    flags: u32,
) -> *mut bindings::dentry {
    // SAFETY: The VFS calls this with a ready directory of the type, which is locked, so that the name
    // of the dentry stays.
    let (dir, name) = unsafe { (Inode::from_raw(dir), Dentry::from_raw(dentry)) };
    let inode = match O::lookup(dir, name, flags) {
        Ok(Some(inode)) => inode.into_raw(),
        Ok(None) => core::ptr::null_mut(),
        Err(e) => e.to_ptr(),
    };
    // SAFETY: takes over the reference; null and errors are its to handle.
    unsafe { bindings::d_splice_alias(inode, dentry) }
}

/// # Safety
///
/// Only to be called by the VFS, with an open directory of `O::FileSystem`.
unsafe extern "C" fn iterate_shared<O: Operations>(
    file: *mut bindings::file,
    ctx: *mut bindings::dir_context,
) -> c_int {
    // SAFETY: The VFS calls this with an open directory of the type, whose inode is ready and stays for
    // the call, and with a context, which is not null.
    let (dir, mut cursor) = unsafe {
        (
            Inode::from_raw((*file).f_inode),
            // INVARIANT: Both live until this returns.
            Cursor {
                ctx: NonNull::new_unchecked(ctx),
                file,
                _p: PhantomData,
            },
        )
    };
    to_c(O::iterate(dir, &mut cursor))
}
