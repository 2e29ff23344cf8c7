// SPDX-License-Identifier: GPL-2.0-only

//! Block devices under a superblock.
//!
//! C headers: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

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
use kernel::prelude::*;

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
