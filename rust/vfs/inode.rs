// SPDX-License-Identifier: GPL-2.0-only

//! Inodes.
//!
//! An inode is either new (a [`NewInode`], which must be made ready or fails), or ready and seen
//! only as `&Inode`. It carries the filesystem's data in the same allocation. That is dropped when
//! the inode is evicted, by a task that may sleep; the allocation goes after an RCU grace period, as
//! path walks look at inodes without a reference, but never at their data.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    kind::Content,
    meta::{
        MetaReader,
        Pages, //
    },
    registration::{
        FileSystem,
        Registration, //
    },
    super_block::SuperBlock, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    container_of,
    prelude::*,
    types::Opaque, //
};

pub(crate) use crate::kind::common_operations;
pub use crate::kind::{
    Kind,
    Operations,
    Stat, //
};

/// An inode with what belongs to it.
///
/// # Invariants
///
/// `key` is set before the inode is in the hash. `data` is initialised if `ready`, which is set
/// before `I_NEW` is cleared, and reset when no reference is left. `link` is null, or memory of its
/// own.
#[repr(C)]
pub(crate) struct WithData<T: FileSystem> {
    key: u64,
    ready: bool,
    /// The target of a fast symlink, with a NUL; `i_link` is the same.
    link: *mut u8,
    data: MaybeUninit<T::InodeData>,
    inode: Opaque<bindings::inode>,
}

impl<T: FileSystem> WithData<T> {
    /// # Safety
    ///
    /// `inode` was allocated by [`alloc_inode`] of `T`.
    unsafe fn of(inode: *mut bindings::inode) -> *mut Self {
        let inode = Opaque::cast_from(inode);
        // SAFETY: such an inode is the field of a `WithData<T>`.
        unsafe { container_of!(inode, Self, inode) }.cast_mut()
    }

    /// Constructor of the slab: runs once an object, not once an allocation.
    ///
    /// # Safety
    ///
    /// Only to be called by the slab, with a new object.
    pub(crate) unsafe extern "C" fn init_once(object: *mut c_void) {
        // SAFETY: a new object is as large as a `WithData<T>`.
        unsafe {
            let inode = &raw mut (*object.cast::<Self>()).inode;
            bindings::inode_init_once(Opaque::cast_into(inode));
        }
    }
}

/// A ready inode of type `T`.
///
/// # Invariants
///
/// Is the `inode` of a `WithData<T>` that is `ready`.
#[repr(transparent)]
pub struct Inode<T: FileSystem>(Opaque<bindings::inode>, PhantomData<T>);

// SAFETY: An inode belongs to no task, and its data is `Send`.
unsafe impl<T: FileSystem> Send for Inode<T> {}
// SAFETY: The C object is made for concurrent use: what is read here of it does not change, or is read
// by C's own accessors. The data is `Sync`.
unsafe impl<T: FileSystem> Sync for Inode<T> {}

impl<T: FileSystem> Inode<T> {
    /// # Safety
    ///
    /// `inode` is ready, of type `T`, and live for `'a`.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: `Inode` is transparent over `inode`, and the caller has a ready one that is live for
        // `'a`.
        unsafe { &*inode.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::inode {
        self.0.get()
    }

    /// The filesystem's own data.
    pub fn data(&self) -> &T::InodeData {
        // SAFETY: By the type invariant it is initialised. It is dropped when the inode is evicted,
        // and whoever has an `Inode` has a reference to it, or a locked folio that eviction waits
        // for.
        unsafe { (*WithData::<T>::of(self.as_ptr())).data.assume_init_ref() }
    }

    /// What it was looked up by, see [`SuperBlock::iget5`].
    pub fn key(&self) -> u64 {
        // SAFETY: The key was set before the inode got into the hash, and does not change after that.
        unsafe { (*WithData::<T>::of(self.as_ptr())).key }
    }

    /// The superblock it is on.
    pub fn super_block(&self) -> &SuperBlock<T> {
        // SAFETY: ready inodes are on superblocks that have their data, and go before them.
        unsafe { SuperBlock::from_raw((*self.as_ptr()).i_sb) }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: a ready inode.
        unsafe { helpers::i_size_read(self.as_ptr()) as u64 }
    }

    /// Type and permission bits.
    pub fn mode(&self) -> u16 {
        // SAFETY: a ready inode; the mode of a read-only filesystem does not change.
        unsafe { (*self.as_ptr()).i_mode }
    }

    /// The page cache of a directory, to look at in place; `EINVAL` for other kinds.
    pub fn pages(&self) -> Result<Pages<'_>> {
        if u32::from(self.mode()) & bindings::S_IFMT != bindings::S_IFDIR {
            return Err(EINVAL);
        }
        // SAFETY: a ready directory, to which `Kind` gives operations with a `read_folio`.
        Ok(unsafe { Pages::new((*self.as_ptr()).i_mapping) })
    }

    /// Reads its content through its page cache; for kinds that have one.
    pub fn content(&self) -> MetaReader<'_> {
        // SAFETY: the mapping lives with the inode, and the operations that `Kind` gives it read
        // folios without a file; kinds without any get none.
        unsafe {
            let mapping = (*self.as_ptr()).i_mapping;
            let readable = (*(*mapping).a_ops).read_folio.is_some();
            MetaReader::of_mapping(if readable {
                mapping
            } else {
                core::ptr::null_mut()
            })
            .nested()
        }
    }
}

/// A counted reference to an inode, that cannot outlive the call it was got in. One that is
/// forgotten is put at unmount, until when the inode stays in memory.
pub struct InodeRef<'a, T: FileSystem>(NonNull<bindings::inode>, PhantomData<&'a SuperBlock<T>>);

impl<T: FileSystem> InodeRef<'_, T> {
    /// The reference moves to the caller.
    pub(crate) fn into_raw(self) -> *mut bindings::inode {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl<T: FileSystem> Deref for InodeRef<'_, T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: made for ready inodes only, and holds a reference.
        unsafe { Inode::from_raw(self.0.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for InodeRef<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { bindings::iput(self.0.as_ptr()) };
    }
}

/// What `iget5_locked` found.
pub enum Found<'a, T: FileSystem> {
    /// An inode in use.
    Ready(InodeRef<'a, T>),
    /// A new one, which everyone else waits for.
    New(NewInode<'a, T>),
}

impl<T: FileSystem> SuperBlock<T> {
    /// The inode with `key`, with inode number `ino` if it is new (`iget5_locked`). `ENOMEM`, or
    /// `EIO` if the inode failed while this call waited for it, or `EOVERFLOW` where there are more
    /// references than can be, as many were forgotten. May sleep.
    pub fn iget5(&self, ino: u64, key: u64) -> Result<Found<'_, T>> {
        let mut id = Id { ino, key };
        // SAFETY: the superblock is live; both callbacks take an `Id`, and inodes of `T`.
        let raw = unsafe {
            bindings::iget5_locked(
                self.as_ptr(),
                ino,
                Some(iget5_test::<T>),
                Some(iget5_set::<T>),
                (&raw mut id).cast(),
            )
        };
        let inode = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: we hold a reference. Where it is not new, it was waited for until it was not.
        unsafe {
            if helpers::inode_is_new(raw) {
                return Ok(Found::New(NewInode(inode, PhantomData)));
            }
            if !(*WithData::<T>::of(raw)).ready {
                bindings::iput(raw);
                return Err(EIO);
            }
            if references(raw) > MOST_REFERENCES {
                bindings::iput(raw);
                return Err(EOVERFLOW);
            }
        }
        Ok(Found::Ready(InodeRef(inode, PhantomData)))
    }
}

/// Far more than there is memory for dentries and files, which have the others, and far less than
/// where the count overflows.
const MOST_REFERENCES: i32 = i32::MAX / 2;

/// How many references there are to `inode` right now.
///
/// # Safety
///
/// `inode` is live.
unsafe fn references(inode: *mut bindings::inode) -> i32 {
    // SAFETY: The inode is live; others may change the count, hence volatile.
    unsafe { (&raw const (*inode).i_count.counter).read_volatile() }
}

/// Puts all references to inodes of `sb` that are left, and fails the inodes that were not made
/// ready: those that were forgotten. May sleep.
///
/// # Safety
///
/// `sb` is being shut down: no call into the filesystem is under way or will come, there is no dentry
/// and no file, and nobody else has a reference to an inode.
pub(crate) unsafe fn put_forgotten(sb: *mut bindings::super_block) {
    // SAFETY: The superblock is live, with the list of its inodes. An inode on it with references
    // stays there until they are put, which only this does.
    while let Some(inode) = unsafe { first_in_use(sb) } {
        // SAFETY: As there is no other owner, the references are those that `iget5` got and that
        // were not put: one of them is put here. If it is still new, it is the one of a `NewInode`.
        unsafe {
            if helpers::inode_is_new(inode) {
                bindings::iget_failed(inode);
            } else {
                bindings::iput(inode);
            }
        }
    }
}

/// The first inode of `sb` to which there are references.
///
/// # Safety
///
/// `sb` is live.
unsafe fn first_in_use(sb: *mut bindings::super_block) -> Option<*mut bindings::inode> {
    // SAFETY: The superblock is live. What is on the list is the `i_sb_list` of inodes, which are
    // taken off it under this lock before they go.
    unsafe {
        let lock = &raw mut (*sb).s_inode_list_lock;
        bindings::spin_lock(lock);
        let head = &raw mut (*sb).s_inodes;
        let mut at = (*head).next;
        let mut found = None;
        while at != head && found.is_none() {
            let inode = container_of!(at, bindings::inode, i_sb_list);
            found = (references(inode) > 0).then_some(inode);
            at = (*at).next;
        }
        bindings::spin_unlock(lock);
        found
    }
}

struct Id {
    ino: u64,
    key: u64,
}

/// # Safety
///
/// Only to be called by `iget5_locked`, with an inode of `T` in the hash, and an `Id`.
unsafe extern "C" fn iget5_test<T: FileSystem>(
    inode: *mut bindings::inode,
    id: *mut c_void,
) -> c_int {
    // SAFETY: `iget5_locked` calls this with an inode of `T` that is in the hash, so its key is set, and
    // with the `Id` that `iget5` gave it.
    unsafe { ((*WithData::<T>::of(inode)).key == (*id.cast::<Id>()).key).into() }
}

/// # Safety
///
/// Only to be called by `iget5_locked`, with an inode of `T` on its way into the hash, and an `Id`.
unsafe extern "C" fn iget5_set<T: FileSystem>(
    inode: *mut bindings::inode,
    id: *mut c_void,
) -> c_int {
    // SAFETY: `iget5_locked` calls this with an inode of `T` that is not in the hash yet, so nobody else
    // sees it, and with the `Id` that `iget5` gave it.
    unsafe {
        let id = &*id.cast::<Id>();
        (*WithData::<T>::of(inode)).key = id.key;
        (*inode).i_ino = id.ino;
    }
    0
}

/// A point in time, from the epoch.
#[derive(Clone, Copy)]
pub struct Time {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds; what is beyond a second is kept as it is.
    pub nsec: u32,
}

/// What every inode has.
pub struct Attributes {
    /// Type (`S_IFMT`) and permission bits.
    pub mode: u16,
    /// Number of links.
    pub nlink: u32,
    /// Owner, in the user namespace of the superblock.
    pub uid: u32,
    /// Group, in the user namespace of the superblock.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Used space in units of 512 bytes.
    pub blocks: u64,
    /// Times of access, change and modification alike.
    pub time: Time,
    /// Whether it is known to have no ACL, so that none is looked for.
    pub no_acl: bool,
}

/// An inode that was just made (`I_NEW`). Dropping it fails it: it leaves the hash, and who waits
/// for it gets an error.
pub struct NewInode<'a, T: FileSystem>(NonNull<bindings::inode>, PhantomData<&'a SuperBlock<T>>);

impl<T: FileSystem> Drop for NewInode<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the inode is new and ours; this ends both.
        unsafe { bindings::iget_failed(self.0.as_ptr()) };
    }
}

impl<'a, T: FileSystem> NewInode<'a, T> {
    /// Makes the inode ready, with what `data` gives (in place, as it is copied for each inode
    /// otherwise). `EINVAL` where `kind` and the type in `attributes.mode` differ, or sizes are out of
    /// range; the inode fails then.
    #[inline]
    pub fn init(
        self,
        data: impl FnOnce() -> T::InodeData,
        attributes: &Attributes,
        kind: Kind<T>,
    ) -> Result<InodeRef<'a, T>> {
        let raw = self.0.as_ptr();
        let ifmt = u32::from(attributes.mode) & bindings::S_IFMT;
        let fits = match &kind.content {
            Content::Special(_) => matches!(
                ifmt,
                bindings::S_IFCHR | bindings::S_IFBLK | bindings::S_IFIFO | bindings::S_IFSOCK
            ),
            _ => ifmt == kind.ifmt,
        };
        if !fits {
            return Err(EINVAL);
        }
        let size = i64::try_from(attributes.size).map_err(|_| EINVAL)?;
        // SAFETY: the inode is new: nobody else changes it or uses it before it is unlocked. Its
        // operations fit its type, which was just seen.
        unsafe {
            (*raw).i_mode = attributes.mode;
            bindings::set_nlink(raw, attributes.nlink);
            helpers::i_uid_write(raw, attributes.uid);
            helpers::i_gid_write(raw, attributes.gid);
            (*raw).i_size = size;
            (*raw).i_blocks = attributes.blocks;
            let Time { sec, nsec } = attributes.time;
            helpers::inode_set_mtime(raw, sec, nsec as isize);
            helpers::inode_set_ctime(raw, sec, nsec as isize);
            // The nanoseconds may be a second and more; setting the ctime puts that right.
            helpers::inode_set_atime(raw, (*raw).i_ctime_sec, (*raw).i_ctime_nsec as isize);
            if attributes.no_acl {
                helpers::cache_no_acl(raw);
            }
            (*raw).i_op = kind.inode;
            match kind.content {
                Content::Special(dev) => {
                    bindings::init_special_inode(raw, attributes.mode, dev);
                }
                Content::Link(target) => {
                    let with = WithData::<T>::of(raw);
                    let len = i32::try_from(target.len()).map_err(|_| EINVAL)? - 1;
                    (*with).link = target.into_raw_parts().0;
                    helpers::inode_set_cached_link(raw, (*with).link.cast(), len);
                }
                Content::Mapped(aops) => {
                    // Symlinks keep those that cannot be opened.
                    if !kind.file.is_null() {
                        (*raw).__bindgen_anon_3.i_fop = kind.file;
                    }
                    (*(*raw).i_mapping).a_ops = aops;
                    // Bytes of directories are lent, and decoders go by address (`span.rs`).
                    if ifmt != bindings::S_IFREG || cfg!(CONFIG_HIGHMEM) {
                        bindings::inode_nohighmem(raw);
                    }
                    helpers::mapping_set_large_folios((*raw).i_mapping);
                }
            }
            let with = WithData::<T>::of(raw);
            (*with).data.write(data());
            (*with).ready = true;
            bindings::unlock_new_inode(raw);
        }
        // The reference lives on, as that of a ready inode.
        Ok(InodeRef(core::mem::ManuallyDrop::new(self).0, PhantomData))
    }
}

/// Width of a minor number in `dev_t` (`MINORBITS`).
pub(crate) const MINOR_BITS: u32 = 20;

/// # Safety
///
/// Only to be called by the VFS, with a superblock of type `T`.
pub(crate) unsafe extern "C" fn alloc_inode<T: FileSystem>(
    sb: *mut bindings::super_block,
) -> *mut bindings::inode {
    // SAFETY: the superblock is of a registered type, whose slab is of `WithData<T>`. The inode
    // itself is left as its constructor made it.
    unsafe {
        let cache = Registration::<T>::cache_of(sb);
        let with = helpers::alloc_inode_sb(sb, cache);
        let with = with.cast::<WithData<T>>();
        if with.is_null() {
            return core::ptr::null_mut();
        }
        (&raw mut (*with).key).write(0);
        (&raw mut (*with).ready).write(false);
        (&raw mut (*with).link).write(core::ptr::null_mut());
        Opaque::cast_into(&raw const (*with).inode)
    }
}

/// Drops the data of an inode that was evicted. Path walks may still look at the inode itself.
///
/// # Safety
///
/// Only to be called by the VFS, with an inode from [`alloc_inode`] of `T` that nobody has a
/// reference to. May sleep.
pub(crate) unsafe extern "C" fn destroy_inode<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: Without a reference nobody has an `&Inode`, through which alone `data` and `ready` are
    // looked at once the inode is ready; path walks under RCU call nothing that has one.
    unsafe {
        let with = WithData::<T>::of(inode);
        if core::mem::replace(&mut (*with).ready, false) {
            (*with).data.assume_init_drop();
        }
    }
}

/// Called after an RCU grace period, in softirq context.
///
/// # Safety
///
/// Only to be called by the VFS, with an inode from [`alloc_inode`] of `T` that nobody can reach, after
/// [`destroy_inode`].
pub(crate) unsafe extern "C" fn free_inode<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: Nobody can reach the inode, and its data is gone, so all of the allocation is ours; the
    // link is null or its own. The superblock may be gone, but the slab is there: `Registration`
    // waits for RCU callbacks before it goes.
    unsafe {
        let with = WithData::<T>::of(inode);
        bindings::kfree((*with).link.cast());
        // It knows the slab of an object.
        bindings::kfree(with.cast());
    }
}

/// # Safety
///
/// Only to be called by the VFS, with an inode that nobody has a reference to.
pub(crate) unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
    // SAFETY: The VFS calls this with an inode that nobody has a reference to, as `evict_inode` wants it
    // to be truncated and cleared.
    unsafe {
        bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
        bindings::clear_inode(inode);
    }
}
