// SPDX-License-Identifier: GPL-2.0-only

//! Open files.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    error::to_c,
    inode::Inode,
    iomap,
    registration::FileSystem, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

pub(crate) struct Tables<M>(PhantomData<M>);

impl<M: iomap::Operations> Tables<M> {
    /// A regular file that is mapped by `M`.
    pub(crate) const REGULAR: &'static bindings::file_operations = &bindings::file_operations {
        llseek: Some(iomap::llseek::<M>),
        read_iter: Some(read_iter::<M>),
        ..common::<M::FileSystem>()
    };
}

const fn common<T: FileSystem>() -> bindings::file_operations {
    bindings::file_operations {
        unlocked_ioctl: Some(ioctl::<T>),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: Some(compat_ioctl::<T>),
        mmap_prepare: Some(bindings::generic_file_readonly_mmap_prepare),
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        splice_read: Some(bindings::filemap_splice_read),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    }
}

/// # Safety
///
/// Only to be called by the VFS, with a file open for reading that is mapped by `M`.
unsafe extern "C" fn read_iter<M: iomap::Operations>(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: The VFS calls this with an open file that is mapped by `M`, so its inode is ready and
    // stays for the call, and with an iterator to read to.
    unsafe {
        if helpers::iov_iter_count(to) == 0 {
            return 0;
        }
        let inode = Inode::<M::FileSystem>::from_raw((*(*iocb).ki_filp).f_inode);
        let direct = (*iocb).ki_flags as u32 & bindings::IOCB_DIRECT != 0;
        if direct && inode.super_block().bdev().is_some() {
            return iomap::dio_rw::<M>(iocb, to);
        }
        bindings::filemap_read(iocb, to, 0)
    }
}

/// # Safety
///
/// Only to be called by the VFS, with an open file of type `T`.
pub(crate) unsafe extern "C" fn ioctl<T: FileSystem>(
    file: *mut bindings::file,
    cmd: u32,
    arg: usize,
) -> c_long {
    // SAFETY: The VFS calls this with an open file of the type, whose inode is ready and stays for the
    // call.
    let inode = unsafe { Inode::<T>::from_raw((*file).f_inode) };
    if cmd != bindings::VFS_FS_IOC_GETFSLABEL {
        return ENOTTY.to_errno() as c_long;
    }
    to_c(get_label(inode, arg)) as c_long
}

fn get_label<T: FileSystem>(inode: &Inode<T>, arg: usize) -> Result {
    let label = T::label(inode.super_block());
    let mut to = UserSlice::new(UserPtr::from_addr(arg), label.len() + 1).writer();
    to.write_slice(label)?;
    to.write_slice(&[0])
}

/// # Safety
///
/// As for [`ioctl`].
#[cfg(CONFIG_COMPAT)]
pub(crate) unsafe extern "C" fn compat_ioctl<T: FileSystem>(
    file: *mut bindings::file,
    cmd: u32,
    arg: usize,
) -> c_long {
    // A compat pointer is the low half of an address (`compat_ptr`).
    // SAFETY: The VFS calls this with an open file of the type, which `ioctl` asks for.
    unsafe { ioctl::<T>(file, cmd, arg as u32 as usize) }
}
