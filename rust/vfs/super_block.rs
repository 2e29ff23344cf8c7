// SPDX-License-Identifier: GPL-2.0-only

//! Superblocks: filled in two steps, shared until unmount, torn down in one.
//!
//! `fill_super` first makes the data from the device, then gets the root inode: so an inode always
//! finds the data of its superblock. Every failure leads to `kill_sb`, which frees what is there.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    backing::{
        BackingFile,
        FileMeta, //
    },
    bdev::{
        BlockDevice,
        ClaimedDevice, //
    },
    bindings::{
        self,
        helpers, //
    },
    bio::Target,
    dentry,
    error::to_c,
    fs_context::FsContext,
    inode::{
        self,
        Inode,
        InodeRef, //
    },
    log,
    meta::MetaReader,
    registration::{
        Backing,
        FileSystem,
        Registration, //
    },
    sysfs,
    xattr, //
};
use core::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    error::from_result,
    prelude::*,
    seq_file::SeqFile,
    types::Opaque, //
};

pub(crate) const SB_RDONLY: u32 = 1;
pub(crate) const SB_NOATIME: u32 = 1 << 10;
pub(crate) const SB_POSIXACL: u32 = 1 << 16;

/// How many inodes of its own a superblock may hold on to (see [`SuperBlock::internal`]).
pub const INTERNAL_INODES: usize = 4;

/// A device or file beside the one that is mounted.
enum Extra {
    Device(ClaimedDevice),
    File(BackingFile),
}

/// What `fs_context.s_fs_info` and then `super_block.s_fs_info` point to.
pub(crate) struct SbInfo<T: FileSystem> {
    pub(crate) context: Option<T::Context>,
    pub(crate) file: Option<BackingFile>,
    file_meta: FileMeta,
    data: Option<T::SbData>,
    extra: KVec<Extra>,
    internal: [AtomicPtr<bindings::inode>; INTERNAL_INODES],
    names: Option<log::Names>,
    directory: sysfs::Directory<T>,
}

impl<T: FileSystem> SbInfo<T> {
    pub(crate) fn new(context: T::Context) -> Self {
        Self {
            context: Some(context),
            file: None,
            file_meta: FileMeta::new(),
            data: None,
            extra: KVec::new(),
            internal: [const { AtomicPtr::new(core::ptr::null_mut()) }; INTERNAL_INODES],
            names: None,
            directory: sysfs::Directory::new(),
        }
    }

    /// Puts the superblock's own inodes, and waits for what is being read of them: with the folios
    /// of all inodes the bios of the superblock have ended. May sleep.
    ///
    /// # Safety
    ///
    /// Nobody uses them any more, nor will. The superblock still has its devices and files.
    unsafe fn put_internal(&self) {
        for slot in &self.internal {
            let inode = slot.swap(core::ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: a slot is null or owns a reference; `iput` takes both.
            unsafe { bindings::iput(inode) };
        }
        // SAFETY: The caller says that nobody reads metadata any more, as that is through these inodes.
        unsafe { self.file_meta.put() };
    }
}

/// A superblock of type `T` that has its data.
///
/// # Invariants
///
/// `s_fs_info` points to an `SbInfo<T>` whose `data` is set, and does not change any more.
#[repr(transparent)]
pub struct SuperBlock<T: FileSystem>(Opaque<bindings::super_block>, PhantomData<T>);

// SAFETY: A superblock belongs to no task, and its data is `Send`.
unsafe impl<T: FileSystem> Send for SuperBlock<T> {}
// SAFETY: The C object is made for concurrent use: what is read here of it does not change. The data is
// `Sync`, and the slots of inodes are atomic.
unsafe impl<T: FileSystem> Sync for SuperBlock<T> {}

/// A device of a superblock: 0 is the one that is mounted.
pub type DeviceId = usize;

/// Result of `statfs(2)`. Nothing is ever free on a read-only filesystem.
pub struct StatFs {
    /// Size in blocks of the superblock's block size.
    pub blocks: u64,
    /// Number of inodes there could be.
    pub files: u64,
    /// Number of inodes there could still be.
    pub files_free: u64,
    /// Longest file name, in bytes.
    pub name_len: u32,
}

/// Superblock flags that a remount decides on.
pub struct RemountFlags {
    /// Whether access is checked by POSIX ACLs.
    pub posix_acl: bool,
}

impl<T: FileSystem> SuperBlock<T> {
    /// # Safety
    ///
    /// `sb` is live for `'a`, of type `T`, and has its data.
    pub(crate) unsafe fn from_raw<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: `SuperBlock` is transparent over `super_block`, and the caller has a live one that has
        // its data.
        unsafe { &*sb.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    fn info(&self) -> &SbInfo<T> {
        // SAFETY: By the type invariant `s_fs_info` is an `SbInfo<T>`, which lives as long as the
        // superblock.
        unsafe { &*(*self.as_ptr()).s_fs_info.cast() }
    }

    /// The filesystem's own data.
    pub fn data(&self) -> &T::SbData {
        // SAFETY: By the type invariant the data is set.
        unsafe { self.info().data.as_ref().unwrap_unchecked() }
    }

    /// Its device number (`dev_t`), as `stat(2)` gives it.
    pub fn dev(&self) -> u32 {
        // SAFETY: the superblock is live; the field does not change.
        unsafe { (*self.as_ptr()).s_dev }
    }

    /// Block size, in bytes.
    pub fn block_size(&self) -> u32 {
        // SAFETY: the superblock is live; the field is constant once filled.
        unsafe { (*self.as_ptr()).s_blocksize as u32 }
    }

    /// The device that is mounted; none where a file or nothing is.
    pub fn bdev(&self) -> Option<BlockDevice<'_>> {
        // SAFETY: the device stays open until after the superblock is shut down.
        unsafe { BlockDevice::from_raw((*self.as_ptr()).s_bdev) }
    }

    /// The block device `id`; none if there is no such, or if it is a file.
    pub fn device(&self, id: DeviceId) -> Option<BlockDevice<'_>> {
        match id.checked_sub(1) {
            None => self.bdev(),
            Some(n) => match self.info().extra.get(n)? {
                Extra::Device(device) => device.device(),
                Extra::File(_) => None,
            },
        }
    }

    /// The file `id`; none if there is no such, or if it is a block device.
    fn file(&self, id: DeviceId) -> Option<&BackingFile> {
        match id.checked_sub(1) {
            None => self.info().file.as_ref(),
            Some(n) => match self.info().extra.get(n)? {
                Extra::File(file) => Some(file),
                Extra::Device(_) => None,
            },
        }
    }

    /// What to read device `id` from; none if there is no such.
    pub fn target(&self, id: DeviceId) -> Option<Target<'_>> {
        match self.file(id) {
            Some(file) => Some(Target::File(file)),
            None => self.device(id).map(Target::Device),
        }
    }

    /// Whether a file is mounted rather than a device.
    pub fn is_file_backed(&self) -> bool {
        self.info().file.is_some()
    }

    /// Reads metadata of what is mounted.
    pub fn meta(&self) -> MetaReader<'_> {
        // SAFETY: the superblock is live, and its device or file stays for as long.
        unsafe { meta_of(self.as_ptr(), &self.info().file_meta) }
    }

    /// Keeps `inode` until unmount in one of [`INTERNAL_INODES`] slots, for [`Self::internal`].
    /// `EINVAL` if there is no such slot, `EBUSY` if it is taken.
    pub fn set_internal(&self, slot: usize, inode: InodeRef<'_, T>) -> Result {
        let cell = self.info().internal.get(slot).ok_or(EINVAL)?;
        let raw = inode.into_raw();
        cell.compare_exchange(
            core::ptr::null_mut(),
            raw,
            Ordering::Release,
            Ordering::Relaxed,
        )
        .map(|_| ())
        .map_err(|_| {
            // SAFETY: the reference that was not stored is still ours.
            unsafe { bindings::iput(raw) };
            EBUSY
        })
    }

    /// An inode kept by [`Self::set_internal`].
    pub fn internal(&self, slot: usize) -> Option<&Inode<T>> {
        let raw = self.info().internal.get(slot)?.load(Ordering::Acquire);
        // SAFETY: a set slot owns a reference to a ready inode of `T` until `put_super`, when no
        // reference to the superblock is in use any more.
        NonNull::new(raw).map(|i| unsafe { Inode::from_raw(i.as_ptr()) })
    }
}

/// A superblock that is being filled: it has a device but no data yet.
pub struct NewSuperBlock<'a, T: FileSystem> {
    sb: NonNull<bindings::super_block>,
    info: &'a mut SbInfo<T>,
}

/// # Safety
///
/// `sb` is live for `'a` and stands on the file of `file` if it has one, else on its block device.
unsafe fn meta_of<'a>(sb: *mut bindings::super_block, file: &'a FileMeta) -> MetaReader<'a> {
    file.reader().unwrap_or_else(|| {
        // SAFETY: `sb` is live; its device, if there is one, stays open for as long.
        unsafe {
            let bdev = (*sb).s_bdev;
            MetaReader::of_mapping(if bdev.is_null() {
                core::ptr::null_mut()
            } else {
                (*bdev).bd_mapping
            })
        }
    })
}

impl<T: FileSystem> NewSuperBlock<'_, T> {
    pub(crate) fn as_ptr(&self) -> *mut bindings::super_block {
        self.sb.as_ptr()
    }

    /// Sets the block size, a power of two from 512 to the page size. `EINVAL` if the device takes
    /// no such blocks.
    pub fn set_block_size(&mut self, size: u32) -> Result {
        if !size.is_power_of_two() || !(512..=kernel::page::PAGE_SIZE as u32).contains(&size) {
            return Err(EINVAL);
        }
        if self.info.file.is_some() || T::BACKING == Backing::Nothing {
            // SAFETY: The superblock is live. Others find it on lists, but look at neither field before
            // it is filled; no reference to the whole of it is made.
            unsafe {
                (*self.as_ptr()).s_blocksize = size as usize;
                (*self.as_ptr()).s_blocksize_bits = size.trailing_zeros() as u8;
            }
            return Ok(());
        }
        // SAFETY: the superblock has its device.
        if unsafe { bindings::sb_set_blocksize(self.as_ptr(), size as i32) } == 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Sets the UUID.
    pub fn set_uuid(&mut self, uuid: &[u8; 16]) {
        // SAFETY: the superblock is ours, the UUID as long as said.
        unsafe { helpers::super_set_uuid(self.as_ptr(), uuid.as_ptr(), uuid.len() as u32) };
    }

    /// Sets whether access is checked by POSIX ACLs.
    pub fn set_posix_acl(&mut self, on: bool) {
        let flag = SB_POSIXACL as usize;
        // SAFETY: The superblock is live, and its flags are changed under `s_umount`, which is held
        // while it is filled.
        unsafe {
            if on {
                (*self.as_ptr()).s_flags |= flag;
            } else {
                (*self.as_ptr()).s_flags &= !flag;
            }
        }
    }

    /// Reads metadata of what is mounted.
    pub fn meta(&self) -> MetaReader<'_> {
        // SAFETY: the superblock is live, and its device or file stays for as long.
        unsafe { meta_of(self.as_ptr(), &self.info.file_meta) }
    }

    /// What it shares with all superblocks of its type.
    pub fn global(&self) -> &T::Global {
        // SAFETY: a superblock that is being filled is live and of type `T`.
        unsafe { Registration::<T>::global_of(self.as_ptr()) }
    }

    /// What log lines about it need for longer than it is being filled.
    pub(crate) fn log_names(&self) -> Option<&log::Names> {
        self.info.names.as_ref()
    }

    /// Refuses a file on a stacked filesystem, or on one of this type that is itself a file: `ENOTBLK`. A read
    /// is a call into that filesystem, and no depth is added to the stack.
    fn check_not_stacked(&self, file: &BackingFile) -> Result {
        if file.is_nested(T::MAGIC) || file.stack_depth() != 0 {
            crate::err!(self, "file-backed mounts cannot be applied to stacked fses");
            return Err(ENOTBLK);
        }
        Ok(())
    }

    /// Adds the device at `path`, or the file where a file is mounted; they are numbered from 1 on.
    /// `EINVAL` where it is neither, or a file that is not read through the page cache, `ENOTBLK`
    /// where the file is on a stacked filesystem. May sleep.
    pub fn open_device(&mut self, path: &CStr) -> Result<DeviceId> {
        let extra = if self.info.file.is_some() {
            // SAFETY: The superblock is live, of type `T`, and owns the file.
            let file = unsafe {
                let fs = (*self.as_ptr()).s_type.cast();
                BackingFile::open(path, Registration::<T>::files_of(fs))?
            };
            if !file.is_regular() {
                return Err(EINVAL);
            }
            if !file.is_cached() {
                crate::err!(self, "device: {}", NotCached(&file));
                return Err(EINVAL);
            }
            self.check_not_stacked(&file)?;
            Extra::File(file)
        } else {
            // SAFETY: the superblock is being filled; the claim goes into its `SbInfo`.
            let claim = unsafe { ClaimedDevice::open(self.sb, path) };
            Extra::Device(claim.map_err(|e| if e == ENOTBLK { EINVAL } else { e })?)
        };
        self.info.extra.push(extra, GFP_KERNEL)?;
        Ok(self.info.extra.len())
    }
}

/// Why a file that [is not cached](BackingFile::is_cached) cannot be mounted, for the log.
pub(crate) struct NotCached<'a>(pub(crate) &'a BackingFile);

impl fmt::Display for NotCached<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fs = self.0.fs_type();
        write!(
            f,
            "a file on {fs} cannot be mounted as it is, but by a loop device"
        )
    }
}

impl<T: FileSystem> log::private::Sealed for NewSuperBlock<'_, T> {
    fn names(&self) -> (*const u8, *const u8) {
        let sb = self.as_ptr();
        // SAFETY: the superblock is live, and its type is registered as long; `s_id` is an array in
        // it that ends with a NUL.
        unsafe { ((*(*sb).s_type).name, (*sb).s_id.as_ptr()) }
    }

    /// A mount tells all that is wrong.
    fn limit(&self) -> Option<&log::Limit> {
        None
    }
}

impl<T: FileSystem> log::private::Sealed for SuperBlock<T> {
    fn names(&self) -> (*const u8, *const u8) {
        let sb = self.as_ptr();
        // SAFETY: the superblock is live, and its type is registered as long; `s_id` is an array in
        // it that ends with a NUL.
        unsafe { ((*(*sb).s_type).name, (*sb).s_id.as_ptr()) }
    }

    fn limit(&self) -> Option<&log::Limit> {
        self.info()
            .names
            .as_ref()
            .and_then(log::private::Sealed::limit)
    }
}

struct Tables<T>(PhantomData<T>);

impl<T: FileSystem> Tables<T> {
    const SUPER: &'static bindings::super_operations = &bindings::super_operations {
        alloc_inode: Some(inode::alloc_inode::<T>),
        destroy_inode: Some(inode::destroy_inode::<T>),
        free_inode: Some(inode::free_inode::<T>),
        evict_inode: Some(inode::evict_inode),
        put_super: Some(put_super::<T>),
        statfs: Some(statfs::<T>),
        show_options: Some(show_options::<T>),
        ..pin_init::zeroed()
    };
}

/// The callback of `get_tree_bdev_flags` and `get_tree_nodev`.
///
/// # Safety
///
/// Only to be called by the VFS, with a new superblock of type `T` that took over the `SbInfo` of
/// `fc`.
pub(crate) unsafe extern "C" fn fill_super<T: FileSystem>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> c_int {
    from_result(|| {
        // SAFETY: Both are live, and the superblock is being filled by this call, under `s_umount`.
        // Others find it on lists, so its fields are written one by one: no reference to the whole of
        // it is made. Its `SbInfo` came from `fc`, and nobody else has it before there is a root.
        let (info, fc) = unsafe {
            (*sb).s_op = Tables::<T>::SUPER;
            (*sb).s_magic = T::MAGIC as usize;
            (*sb).s_flags |= (SB_RDONLY | SB_NOATIME) as usize;
            (*sb).s_maxbytes = bindings::VFS_MAX_LFS_FILESIZE;
            (*sb).s_time_gran = 1;
            if T::XATTRS {
                (*sb).s_xattr = xattr::Handlers::<T>::ALL.as_ptr();
            }
            (*sb).s_export_op = dentry::export_operations::<T>();
            (
                &mut *(*sb).s_fs_info.cast::<SbInfo<T>>(),
                FsContext::<T>::from_raw(fc),
            )
        };
        let context = info.context.take().ok_or(EINVAL)?;
        let mut new = NewSuperBlock::<T> {
            sb: NonNull::new(sb).ok_or(EINVAL)?,
            info,
        };
        if let Some(file) = &new.info.file {
            new.check_not_stacked(file)?;
            // SAFETY: The superblock is live and being filled, and has the device number that it was
            // made with.
            unsafe {
                kernel::error::to_result(bindings::super_setup_bdi(sb))?;
                set_id_of_dev(sb);
            }
            // SAFETY: The superblock is being filled. The file is in its box, from which `kill_sb`
            // takes nothing before it has put the inode.
            unsafe { new.info.file_meta.init(sb, file)? };
        }
        // SAFETY: The superblock is live and being filled, and has its `s_id`.
        unsafe { helpers::super_set_sysfs_name_id(sb) };
        new.info.names = Some(log::Names::new(&new)?);
        let data = T::fill_super(&mut new, context, fc)?;
        new.info.data = Some(data);
        // SAFETY: The data is set, which makes it a `SuperBlock`; `new`, with the only `&mut` to the
        // `SbInfo`, is not used any more.
        let ready = unsafe { SuperBlock::<T>::from_raw(sb) };
        let root = T::root(ready, fc)?.into_raw();
        // SAFETY: `d_make_root` takes over the reference, also where it fails.
        let root = unsafe { bindings::d_make_root(root) };
        if root.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: the superblock is live, and not yet seen by others.
        unsafe { (*sb).s_root = root };
        let parent = Registration::<T>::directory_of(ready);
        // SAFETY: it is the first mount of this `SbInfo`, which `kill_sb` frees where it is; from
        // `s_root` on every way there is through `put_super`.
        unsafe { ready.info().directory.add(ready, parent) }?;
        T::mounted(ready)?;
        Ok(0)
    })
}

/// Names a superblock without a device by its number.
///
/// # Safety
///
/// `sb` is live and being filled.
unsafe fn set_id_of_dev(sb: *mut bindings::super_block) {
    // SAFETY: The superblock is live, and its device number does not change.
    let dev = unsafe { (*sb).s_dev };
    let (major, minor) = (
        dev >> inode::MINOR_BITS,
        dev & ((1 << inode::MINOR_BITS) - 1),
    );
    let mut id = [0; 32];
    if let Some(mut to) = kernel::str::NullTerminatedFormatter::new(&mut id) {
        let _ = core::fmt::Write::write_fmt(&mut to, fmt!("{major}:{minor}"));
    }
    // SAFETY: The superblock is live. Others may print the name meanwhile, which stays terminated, as
    // the last byte is a NUL before and after; no reference to it is made.
    unsafe { (*sb).s_id = id };
}

/// `file_system_type.kill_sb`.
///
/// # Safety
///
/// Only to be called by the VFS, with a superblock of type `T` that nobody uses any more.
pub(crate) unsafe extern "C" fn kill_sb<T: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: Nobody uses the superblock any more, and `s_fs_info` came with it from its context. It
    // is freed last, since inodes and the claims of devices refer to it.
    unsafe {
        let info = (*sb).s_fs_info.cast::<SbInfo<T>>();
        // Of what was mounted `put_super` puts them, when no other inode is left. Of what was not
        // they are the only ones, and reads may be on their way from devices that close below.
        if (*sb).s_root.is_null() {
            (*info).put_internal();
            inode::put_forgotten(sb);
        }
        if (*info).file.is_some() || T::BACKING == Backing::Nothing {
            bindings::kill_anon_super(sb);
        } else {
            bindings::kill_block_super(sb);
        }
        drop(KBox::from_raw(info));
        (*sb).s_fs_info = core::ptr::null_mut();
    }
}

/// # Safety
///
/// Only to be called by the VFS at unmount, when no inode but the internal ones is left.
unsafe extern "C" fn put_super<T: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: It has a root, so it has its data.
    let sb = unsafe { SuperBlock::<T>::from_raw(sb) };
    sb.info().directory.remove();
    T::put_super(sb);
    // SAFETY: No call into the filesystem is under way or will come, but for these inodes' own end. No
    // dentry and no file is left, and the VFS takes it that nobody else has an inode either.
    unsafe {
        sb.info().put_internal();
        inode::put_forgotten(sb.as_ptr());
    }
}

/// # Safety
///
/// Only to be called by the VFS, with a dentry of a mounted superblock of type `T`.
unsafe extern "C" fn statfs<T: FileSystem>(
    dentry: *mut bindings::dentry,
    buf: *mut kernel::bindings::kstatfs,
) -> c_int {
    // SAFETY: The VFS calls this with a dentry of a mounted superblock of the type, and with a buffer
    // that is this call's.
    let (sb, buf) = unsafe {
        (
            SuperBlock::<T>::from_raw((*dentry).d_sb),
            &mut *buf.cast::<bindings::kstatfs>(),
        )
    };
    let stat = T::statfs(sb);
    buf.f_type = T::MAGIC as isize;
    buf.f_bsize = sb.block_size() as isize;
    buf.f_blocks = stat.blocks;
    buf.f_bfree = 0;
    buf.f_bavail = 0;
    buf.f_files = stat.files;
    buf.f_ffree = stat.files_free;
    buf.f_namelen = stat.name_len as isize;
    // SAFETY: the superblock is live; its UUID is set once.
    let uuid = unsafe { (*sb.as_ptr()).s_uuid.b };
    let id = match (u128::from_le_bytes(uuid), sb.bdev()) {
        (0, None) => 0,
        // SAFETY: the device is open.
        (0, Some(dev)) => unsafe { helpers::huge_encode_dev((*dev.as_ptr()).bd_dev) },
        (uuid, _) => (uuid as u64) ^ (uuid >> 64) as u64,
    };
    buf.f_fsid.val = [id as i32, (id >> 32) as i32];
    to_c(Ok(()))
}

/// # Safety
///
/// Only to be called by the VFS, with a dentry of a mounted superblock of type `T`.
unsafe extern "C" fn show_options<T: FileSystem>(
    seq: *mut bindings::seq_file,
    root: *mut bindings::dentry,
) -> c_int {
    // SAFETY: The VFS calls this with a dentry of a mounted superblock of the type, and with the file
    // that is being read.
    unsafe {
        T::show_options(SuperBlock::from_raw((*root).d_sb), SeqFile::from_raw(seq));
    }
    0
}
