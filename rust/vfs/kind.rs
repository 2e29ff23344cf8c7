// SPDX-License-Identifier: GPL-2.0-only

//! Kinds of inodes: which operations tables one gets. Made public by [`inode`].
//!
//! [`inode`]: crate::inode

use crate::{
    address_space,
    bindings,
    dir,
    file,
    inode::{
        Inode,
        MINOR_BITS, //
    },
    iomap,
    registration::FileSystem,
    xattr, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

pub(crate) enum Content {
    /// Folios that these operations read.
    Mapped(*const bindings::address_space_operations),
    /// A symlink's target with a NUL.
    Link(KVec<u8>),
    /// A device number.
    Special(bindings::dev_t),
}

/// The operations of one kind of inode.
pub struct Kind<T: FileSystem> {
    pub(crate) ifmt: u32,
    pub(crate) inode: *const bindings::inode_operations,
    pub(crate) file: *const bindings::file_operations,
    pub(crate) content: Content,
    _p: PhantomData<T>,
}

impl<T: FileSystem> Kind<T> {
    fn new(
        ifmt: u32,
        inode: *const bindings::inode_operations,
        file: *const bindings::file_operations,
        content: Content,
    ) -> Self {
        Self {
            ifmt,
            inode,
            file,
            content,
            _p: PhantomData,
        }
    }

    /// A regular file whose content is where `M` maps it.
    pub fn regular<O, M>() -> Self
    where
        O: Operations<FileSystem = T>,
        M: iomap::Operations<FileSystem = T>,
    {
        let aops = Content::Mapped(iomap::Tables::<M>::MAPPING);
        Self::new(
            bindings::S_IFREG,
            iomap::MappedInode::<O, M>::INODE,
            file::Tables::<M>::REGULAR,
            aops,
        )
    }

    /// A directory whose content is where `M` maps it.
    pub fn directory<O, M>() -> Self
    where
        O: dir::Operations<FileSystem = T>,
        M: iomap::Operations<FileSystem = T>,
    {
        let aops = Content::Mapped(iomap::Tables::<M>::MAPPING);
        let (inode, file) = (dir::Mapped::<O, M>::INODE, dir::Tables::<O>::FILE);
        Self::new(bindings::S_IFDIR, inode, file, aops)
    }

    /// The same, but folios of its content are read by `A`. Nothing changes where there is none.
    pub fn read_by<A: address_space::Operations<FileSystem = T>>(mut self) -> Self {
        if let Content::Mapped(aops) = &mut self.content {
            *aops = address_space::Tables::<A>::MAPPING;
        }
        self
    }

    /// A symlink whose target is its content, where `M` maps it.
    pub fn symlink<O, M>() -> Self
    where
        O: Operations<FileSystem = T>,
        M: iomap::Operations<FileSystem = T>,
    {
        let aops = Content::Mapped(iomap::Tables::<M>::MAPPING);
        let inode = Tables::<O>::SYMLINK;
        Self::new(bindings::S_IFLNK, inode, core::ptr::null(), aops)
    }

    /// A symlink whose target is kept with the inode, and can be followed under RCU. `EINVAL` if
    /// `target` has a NUL in it, `ENOMEM`.
    pub fn fast_symlink<O: Operations<FileSystem = T>>(target: &[u8]) -> Result<Self> {
        if target.contains(&0) {
            return Err(EINVAL);
        }
        let mut link = KVec::with_capacity(target.len() + 1, GFP_KERNEL)?;
        link.extend_from_slice(target, GFP_KERNEL)?;
        link.push(0, GFP_KERNEL)?;
        Ok(Self::new(
            bindings::S_IFLNK,
            Tables::<O>::FAST_SYMLINK,
            core::ptr::null(),
            Content::Link(link),
        ))
    }

    /// A device node, fifo or socket. Numbers are cut to 12 and 20 bits, as the kernel's are.
    /// Extents that it may have on disk are there to be asked for, but not to be read.
    pub fn special<O, M>(major: u32, minor: u32) -> Self
    where
        O: Operations<FileSystem = T>,
        M: iomap::Operations<FileSystem = T>,
    {
        let dev = (major & 0xfff) << MINOR_BITS | (minor & ((1 << MINOR_BITS) - 1));
        let inode = iomap::MappedInode::<O, M>::INODE;
        Self::new(0, inode, core::ptr::null(), Content::Special(dev))
    }
}

/// What an inode of any kind does.
pub trait Operations: 'static {
    /// The filesystem it belongs to.
    type FileSystem: FileSystem;

    /// Adds to what the inode itself tells of `stat(2)`.
    fn getattr(inode: &Inode<Self::FileSystem>, stat: &mut Stat<'_>);
}

/// Result of `statx(2)` in the making.
pub struct Stat<'a> {
    stat: &'a mut bindings::kstat,
    mask: u32,
}

impl Stat<'_> {
    /// Tells which of the `STATX_ATTR_*` in `known` are set.
    pub fn attributes(&mut self, known: u64, set: u64) {
        self.stat.attributes |= set & known;
        self.stat.attributes_mask |= known;
    }

    /// Whether the caller asked for alignments of direct I/O.
    pub fn wants_dio_align(&self) -> bool {
        self.mask & bindings::STATX_DIOALIGN != 0
    }

    /// Gives alignments of memory and of offsets for direct I/O, in bytes; 0 where there is none.
    pub fn dio_align(&mut self, memory: u32, offset: u32) {
        self.stat.result_mask |= bindings::STATX_DIOALIGN;
        self.stat.dio_mem_align = memory;
        self.stat.dio_offset_align = offset;
    }
}

/// The part of the tables that is alike for all kinds.
pub(crate) const fn common_operations<O: Operations>() -> bindings::inode_operations {
    let xattrs = <O::FileSystem as FileSystem>::XATTRS;
    bindings::inode_operations {
        getattr: Some(getattr::<O>),
        listxattr: if xattrs {
            Some(xattr::listxattr::<O::FileSystem>)
        } else {
            None
        },
        get_inode_acl: if xattrs && cfg!(CONFIG_FS_POSIX_ACL) {
            Some(xattr::get_inode_acl::<O::FileSystem>)
        } else {
            None
        },
        ..pin_init::zeroed()
    }
}

struct Tables<O>(PhantomData<O>);

impl<O: Operations> Tables<O> {
    const SYMLINK: &'static bindings::inode_operations = &bindings::inode_operations {
        get_link: Some(bindings::page_get_link),
        ..common_operations::<O>()
    };

    const FAST_SYMLINK: &'static bindings::inode_operations = &bindings::inode_operations {
        get_link: Some(bindings::simple_get_link),
        ..common_operations::<O>()
    };
}

/// # Safety
///
/// Only to be called by the VFS, with a path to an inode of `O::FileSystem`.
unsafe extern "C" fn getattr<O: Operations>(
    idmap: *mut bindings::mnt_idmap,
    path: *const bindings::path,
    stat: *mut bindings::kstat,
    mask: u32,
    _flags: u32,
) -> c_int {
    // SAFETY: The VFS calls this with the path of an inode of the type, which is positive, and with a
    // `kstat` that is this call's.
    unsafe {
        let inode = (*(*path).dentry).d_inode;
        let mut to = Stat {
            stat: &mut *stat,
            mask,
        };
        O::getattr(Inode::from_raw(inode), &mut to);
        bindings::generic_fillattr(idmap, mask, inode, stat);
    }
    0
}
