// SPDX-License-Identifier: GPL-2.0-only

//! Directory entries, and finding them by file handle (NFS export).
//!
//! C headers: [`include/linux/dcache.h`](srctree/include/linux/dcache.h),
//! [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use crate::{
    bindings,
    inode::Inode,
    registration::FileSystem,
    super_block::SuperBlock, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// A dentry of a superblock of type `T`, whose name and parent do not change while it is borrowed:
/// as in `->lookup()`, where the parent's lock is held.
#[repr(transparent)]
pub struct Dentry<T: FileSystem>(Opaque<bindings::dentry>, PhantomData<T>);

impl<T: FileSystem> Dentry<T> {
    /// # Safety
    ///
    /// `dentry` is live and stable for `'a`, on a mounted superblock of type `T`.
    pub(crate) unsafe fn from_raw<'a>(dentry: *mut bindings::dentry) -> &'a Self {
        // SAFETY: `Dentry` is transparent over `dentry`, and the caller has one that is live and stable
        // for `'a`.
        unsafe { &*dentry.cast() }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::dentry {
        self.0.get()
    }

    /// Its name: any bytes but `/` and NUL.
    pub fn name(&self) -> &[u8] {
        // SAFETY: the name of a stable dentry is as long as it says.
        unsafe {
            let name = (*self.as_ptr()).__bindgen_anon_1.d_name;
            let len = name.__bindgen_anon_1.__bindgen_anon_1.len as usize;
            core::slice::from_raw_parts(name.name, len)
        }
    }
}

struct Tables<T>(PhantomData<T>);

impl<T: FileSystem> Tables<T> {
    const EXPORT: &'static bindings::export_operations = &bindings::export_operations {
        encode_fh: Some(encode_fh::<T>),
        fh_to_dentry: Some(fh_to_dentry::<T>),
        fh_to_parent: Some(fh_to_parent::<T>),
        get_parent: Some(get_parent::<T>),
        ..pin_init::zeroed()
    };
}

pub(crate) const fn export_operations<T: FileSystem>() -> *const kernel::bindings::export_operations
{
    core::ptr::from_ref(Tables::<T>::EXPORT).cast()
}

/// Words of a handle: key (high, low) and generation, then the same of the parent.
const WORDS: usize = 3;

/// A handle's words for `inode`.
///
/// # Safety
///
/// `inode` is a ready inode of type `T`.
unsafe fn encode_one<T: FileSystem>(inode: *mut bindings::inode) -> [u32; WORDS] {
    // SAFETY: The caller has a ready inode of the type.
    let (key, generation) = unsafe { (Inode::<T>::from_raw(inode).key(), (*inode).i_generation) };
    [(key >> 32) as u32, key as u32, generation]
}

/// # Safety
///
/// Only to be called by exportfs, with ready inodes of type `T` and room for `max_len` words.
unsafe extern "C" fn encode_fh<T: FileSystem>(
    inode: *mut bindings::inode,
    fh: *mut u32,
    max_len: *mut c_int,
    parent: *mut bindings::inode,
) -> c_int {
    let words = if parent.is_null() { WORDS } else { 2 * WORDS };
    // SAFETY: exportfs calls this with ready inodes of the type, or without a parent, and with room for
    // `max_len` words, in which what is written was seen to fit.
    unsafe {
        let room = core::mem::replace(&mut *max_len, words as c_int);
        if room < words as c_int {
            return bindings::fid_type_FILEID_INVALID as c_int;
        }
        fh.cast::<[u32; WORDS]>().write(encode_one::<T>(inode));
        if parent.is_null() {
            return bindings::fid_type_FILEID_INO64_GEN as c_int;
        }
        fh.cast::<[u32; WORDS]>()
            .add(1)
            .write(encode_one::<T>(parent));
    }
    bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int
}

/// A dentry of the inode with `key`, for exportfs.
///
/// # Safety
///
/// `sb` is a mounted superblock of type `T`.
unsafe fn obtain<T: FileSystem>(
    sb: *mut bindings::super_block,
    key: Result<u64>,
) -> *mut bindings::dentry {
    // SAFETY: The caller has a mounted superblock of the type, which has its data.
    let sb = unsafe { SuperBlock::<T>::from_raw(sb) };
    match key.and_then(|key| T::iget(sb, key)) {
        // SAFETY: `d_obtain_alias` takes over the reference.
        Ok(inode) => unsafe { bindings::d_obtain_alias(inode.into_raw()) },
        Err(e) => e.to_ptr(),
    }
}

/// # Safety
///
/// `fid` holds `len` words.
unsafe fn decode(fid: *mut bindings::fid, len: c_int, which: usize) -> Option<u64> {
    let end = (which + 1) * WORDS;
    if usize::try_from(len).ok()? < end {
        return None;
    }
    // SAFETY: the words are there, seen above.
    let [high, low] = unsafe {
        fid.cast::<u32>()
            .add(which * WORDS)
            .cast::<[u32; 2]>()
            .read()
    };
    Some(u64::from(high) << 32 | u64::from(low))
}

/// # Safety
///
/// Only to be called by exportfs, on a mounted superblock of type `T`.
unsafe extern "C" fn fh_to_dentry<T: FileSystem>(
    sb: *mut bindings::super_block,
    fid: *mut bindings::fid,
    len: c_int,
    ty: c_int,
) -> *mut bindings::dentry {
    if ty != bindings::fid_type_FILEID_INO64_GEN as c_int
        && ty != bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int
    {
        return core::ptr::null_mut();
    }
    // SAFETY: exportfs calls this with `len` words.
    match unsafe { decode(fid, len, 0) } {
        None => core::ptr::null_mut(),
        // SAFETY: exportfs calls this on a mounted superblock of the type.
        Some(key) => unsafe { obtain::<T>(sb, Ok(key)) },
    }
}

/// # Safety
///
/// As for [`fh_to_dentry`].
unsafe extern "C" fn fh_to_parent<T: FileSystem>(
    sb: *mut bindings::super_block,
    fid: *mut bindings::fid,
    len: c_int,
    ty: c_int,
) -> *mut bindings::dentry {
    if ty != bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int {
        return core::ptr::null_mut();
    }
    // SAFETY: exportfs calls this with `len` words.
    match unsafe { decode(fid, len, 1) } {
        None => core::ptr::null_mut(),
        // SAFETY: exportfs calls this on a mounted superblock of the type.
        Some(key) => unsafe { obtain::<T>(sb, Ok(key)) },
    }
}

/// # Safety
///
/// Only to be called by exportfs, with a directory of a mounted superblock of type `T`.
unsafe extern "C" fn get_parent<T: FileSystem>(
    child: *mut bindings::dentry,
) -> *mut bindings::dentry {
    // SAFETY: exportfs calls this with a directory's dentry on a mounted superblock of the type: it is
    // positive, and its inode stays for the call.
    unsafe {
        let dir = Inode::<T>::from_raw((*child).d_inode);
        obtain::<T>((*child).d_sb, T::parent(dir))
    }
}
