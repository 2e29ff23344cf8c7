// SPDX-License-Identifier: GPL-2.0-only

//! Devices and files under a superblock.
//!
//! C headers: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    error::from_ptr, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    str::CString, //
};

/// A block device, open for `'a`.
#[derive(Clone, Copy)]
pub struct BlockDevice<'a>(NonNull<bindings::block_device>, PhantomData<&'a ()>);

impl BlockDevice<'_> {
    /// # Safety
    ///
    /// `bdev` is null or stays open for the lifetime of the result.
    pub(crate) unsafe fn from_raw(bdev: *mut bindings::block_device) -> Option<Self> {
        NonNull::new(bdev).map(|b| Self(b, PhantomData))
    }

    pub(crate) fn as_ptr(self) -> *mut bindings::block_device {
        self.0.as_ptr()
    }

    /// Alignment that direct I/O needs of memory, in bytes.
    pub fn dma_alignment(self) -> u32 {
        // SAFETY: the device is open.
        unsafe { helpers::bdev_dma_alignment(self.as_ptr()) + 1 }
    }

    /// Smallest addressable unit, in bytes.
    pub fn logical_block_size(self) -> u32 {
        // SAFETY: the device is open.
        unsafe { helpers::bdev_logical_block_size(self.as_ptr()) }
    }
}

/// A further block device claimed for a superblock; released when dropped.
///
/// # Invariants
///
/// `file` came from `fs_bdev_file_open_by_path` for `sb`, and `self` is dropped before `sb` is
/// freed: it is only kept in `SbInfo`.
pub(crate) struct ClaimedDevice {
    file: NonNull<bindings::file>,
    sb: NonNull<bindings::super_block>,
}

impl ClaimedDevice {
    /// Claims the block device at `path` read-only on behalf of `sb`. May sleep.
    ///
    /// # Safety
    ///
    /// `sb` is live and is being filled; the result goes into its `SbInfo`.
    pub(crate) unsafe fn open(sb: NonNull<bindings::super_block>, path: &CStr) -> Result<Self> {
        // SAFETY: `sb` and so its type are live; the path is a string.
        let file = unsafe {
            bindings::fs_bdev_file_open_by_path(
                path.as_char_ptr(),
                bindings::VFS_BLK_OPEN_READ,
                (*sb.as_ptr()).s_type.cast(),
                sb.as_ptr(),
            )
        };
        // INVARIANT: just opened so; the caller keeps the rest.
        Ok(Self {
            file: from_ptr(file, EINVAL)?,
            sb,
        })
    }

    pub(crate) fn device(&self) -> Option<BlockDevice<'_>> {
        // SAFETY: the file is an open block device, and stays so while `self` is borrowed.
        unsafe { BlockDevice::from_raw(bindings::file_bdev(self.file.as_ptr())) }
    }
}

impl Drop for ClaimedDevice {
    fn drop(&mut self) {
        // SAFETY: by the invariant this ends the claim that `open` made, and `sb` is still there.
        unsafe { bindings::fs_bdev_file_release(self.file.as_ptr(), self.sb.as_ptr()) };
    }
}

/// An open file that holds an image or a blob.
///
/// # Invariants
///
/// Owns one reference to an open file.
pub struct BackingFile(NonNull<bindings::file>);

// SAFETY: a file may be read from and put by any thread; each read takes its own position.
unsafe impl Send for BackingFile {}
// SAFETY: as above.
unsafe impl Sync for BackingFile {}

impl BackingFile {
    /// # Safety
    ///
    /// `file` is an open file; a reference to it moves to the result.
    pub(crate) unsafe fn from_raw(file: NonNull<bindings::file>) -> Self {
        Self(file)
    }

    /// Opens the file at `path` read-only with the caller's credentials. May sleep.
    pub(crate) fn open(path: &CStr) -> Result<Self> {
        let flags = (bindings::O_RDONLY | bindings::O_LARGEFILE) as i32;
        // SAFETY: the path is a string.
        let file = unsafe { bindings::filp_open(path.as_char_ptr(), flags, 0) };
        // INVARIANT: the reference of `filp_open` is ours.
        Ok(Self(from_ptr(file, EINVAL)?))
    }

    /// Its path as the opener sees it.
    pub(crate) fn path(&self) -> Result<CString> {
        let mut buf = KVec::<u8>::from_elem(0, bindings::PATH_MAX as usize, GFP_KERNEL)?;
        // SAFETY: the file is open, the buffer as long as said.
        let path = unsafe {
            bindings::file_path(
                self.0.as_ptr(),
                buf.as_mut_ptr().cast(),
                bindings::PATH_MAX as i32,
            )
        };
        let path = from_ptr(path, EINVAL)?;
        // SAFETY: `file_path` returns a string in the buffer.
        let path = unsafe { CStr::from_char_ptr(path.as_ptr()) };
        CString::try_from_fmt(fmt!("{path}"))
    }

    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: the file is open.
        unsafe { (*self.0.as_ptr()).f_inode }
    }

    /// Whether it is a regular file that is read through the page cache.
    pub(crate) fn is_regular(&self) -> bool {
        // SAFETY: an open file has an inode with a mode, a mapping and operations.
        unsafe {
            u32::from((*self.inode()).i_mode) & bindings::S_IFMT == bindings::S_IFREG
                && (*(*(*self.0.as_ptr()).f_mapping).a_ops)
                    .read_folio
                    .is_some()
        }
    }

    /// How deep its filesystem is stacked on others.
    pub(crate) fn stack_depth(&self) -> i32 {
        // SAFETY: an open file has an inode with a superblock.
        unsafe { (*(*self.inode()).i_sb).s_stack_depth }
    }

    /// Whether it lies on a superblock of this magic number that is itself backed by a file. Drivers
    /// of one format have one number, and may add nothing to the depth of the stack.
    pub(crate) fn is_nested(&self, magic: u32) -> bool {
        // SAFETY: an open file has an inode with a superblock.
        unsafe {
            let sb = (*self.inode()).i_sb;
            (*sb).s_magic == magic as usize && (*sb).s_bdev.is_null()
        }
    }

    /// Fills `buf` from byte `pos` on. `EIO` where the file is shorter. May sleep.
    pub(crate) fn read(&self, pos: u64, buf: &mut [u8]) -> Result {
        let mut iter = bindings::iov_iter::default();
        let segment = bindings::kvec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        // SAFETY: `buf` is writable for its length, and lives longer than the iterator, as does
        // `segment`.
        unsafe {
            bindings::iov_iter_kvec(&mut iter, ITER_DEST, &segment, 1, buf.len());
            self.read_iter(pos, &mut iter)
        }
    }

    /// Reads from byte `pos` on into all segments of `bio`. `EIO` where the file is shorter. May
    /// sleep.
    ///
    /// # Safety
    ///
    /// The segments of `bio` are writable memory, and are not used otherwise.
    pub(crate) unsafe fn read_bio(&self, pos: u64, bio: *mut bindings::bio) -> Result {
        let mut iter = bindings::iov_iter::default();
        // SAFETY: as the contract says.
        unsafe {
            let (len, segments) = ((*bio).bi_iter.bi_size as usize, (*bio).bi_vcnt.into());
            bindings::iov_iter_bvec(&mut iter, ITER_DEST, (*bio).bi_io_vec, segments, len);
            self.read_iter(pos, &mut iter)
        }
    }

    /// Fills `iter` from byte `pos` on. `EIO` where the file is shorter. May sleep.
    ///
    /// # Safety
    ///
    /// `iter` is over writable memory that is not used otherwise.
    unsafe fn read_iter(&self, pos: u64, iter: &mut bindings::iov_iter) -> Result {
        // No flags of the file: it is read through its page cache even if it was opened for direct
        // I/O, which memory at any address is not aligned for. And no completion: it waits.
        let mut iocb = bindings::kiocb {
            ki_filp: self.0.as_ptr(),
            ki_pos: i64::try_from(pos).map_err(|_| EIO)?,
            // SAFETY: for any context.
            ki_ioprio: unsafe { helpers::get_current_ioprio() } as u16,
            ..Default::default()
        };
        let _opener = self.as_opener();
        // SAFETY: the file is open; the memory is as the contract says, and not used any more when
        // this returns.
        while unsafe { helpers::iov_iter_count(iter) } != 0 {
            // SAFETY: as above.
            match unsafe { bindings::vfs_iocb_iter_read(self.0.as_ptr(), &mut iocb, iter) } {
                0 => return Err(EIO),
                n if n < 0 => return Err(Error::from_errno(n as i32)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Acts with the credentials of who opened the file, until the result is dropped.
    fn as_opener(&self) -> Opener<'_> {
        // SAFETY: an open file has its opener's credentials.
        let before = unsafe { helpers::override_creds((*self.0.as_ptr()).f_cred) };
        Opener {
            before,
            _file: PhantomData,
        }
    }
}

/// To read into memory (`enum iter_dir`).
const ITER_DEST: u32 = 0;

/// See [`BackingFile::as_opener`]. Not to be sent elsewhere: it is about the current task.
struct Opener<'a> {
    before: *const bindings::cred,
    _file: PhantomData<&'a BackingFile>,
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        // SAFETY: those that the task had before; this is still the same task.
        unsafe { helpers::revert_creds(self.before) };
    }
}

impl Drop for BackingFile {
    fn drop(&mut self) {
        // SAFETY: by the invariant the reference is ours.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}
