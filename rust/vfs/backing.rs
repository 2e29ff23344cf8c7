// SPDX-License-Identifier: GPL-2.0-only

//! Files under a superblock: one that is mounted like a device, and further ones.
//!
//! Their data is read by bios of their own ([`file_bio`]). The metadata of the one that is mounted
//! has a page cache, as that of a device has: the mapping of an inode of the superblock, which
//! nobody can look up.
//!
//! [`file_bio`]: crate::file_bio
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    bio::{
        Bio,
        Target, //
    },
    error::from_ptr,
    file_bio::FileBios,
    folio::LockedFolio,
    meta::MetaReader, //
};
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    error::from_result,
    prelude::*,
    str::CString, //
};

/// An open file that holds an image or a blob.
///
/// # Invariants
///
/// Owns one reference to an open file. `bios` is that of a registered filesystem type, which stays
/// registered while there are superblocks and contexts of it: they own such files.
pub struct BackingFile {
    file: NonNull<bindings::file>,
    bios: NonNull<FileBios>,
}

// SAFETY: A file may be read from and put by any thread; each read takes its own position.
unsafe impl Send for BackingFile {}
// SAFETY: All that is done by reference is to read it and to look at it.
unsafe impl Sync for BackingFile {}

impl BackingFile {
    /// # Safety
    ///
    /// `file` is an open file; a reference to it moves to the result. `bios` outlives that, and its
    /// bios.
    pub(crate) unsafe fn from_raw(file: NonNull<bindings::file>, bios: &FileBios) -> Self {
        let bios = NonNull::from(bios);
        Self { file, bios }
    }

    /// Opens the file at `path` read-only with the caller's credentials. May sleep.
    ///
    /// # Safety
    ///
    /// `bios` outlives the result, and its bios.
    pub(crate) unsafe fn open(path: &CStr, bios: &FileBios) -> Result<Self> {
        let flags = (bindings::O_RDONLY | bindings::O_LARGEFILE) as i32;
        // SAFETY: The path is a string.
        let file = unsafe { bindings::filp_open(path.as_char_ptr(), flags, 0) };
        // SAFETY: The reference of `filp_open` is ours; the rest is the contract.
        Ok(unsafe { Self::from_raw(from_ptr(file, EINVAL)?, bios) })
    }

    /// Its path as the opener sees it, byte for byte.
    pub(crate) fn path(&self) -> Result<CString> {
        let mut buf = KVec::<u8>::from_elem(0, bindings::PATH_MAX as usize, GFP_KERNEL)?;
        // SAFETY: The file is open, the buffer as long as said.
        let path = unsafe {
            bindings::file_path(
                self.file.as_ptr(),
                buf.as_mut_ptr().cast(),
                bindings::PATH_MAX as i32,
            )
        };
        let path = from_ptr(path, EINVAL)?;
        // SAFETY: `file_path` returns a string in the buffer.
        let path = unsafe { CStr::from_char_ptr(path.as_ptr()) };
        Ok(CString::try_from(path)?)
    }

    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: The file is open.
        unsafe { (*self.file.as_ptr()).f_inode }
    }

    /// Whether it is a regular file.
    pub(crate) fn is_regular(&self) -> bool {
        // SAFETY: An open file has an inode with a mode.
        unsafe { u32::from((*self.inode()).i_mode) & bindings::S_IFMT == bindings::S_IFREG }
    }

    /// Whether it is read through the page cache. Some filesystems fill that in other ways (tmpfs).
    pub(crate) fn is_cached(&self) -> bool {
        // SAFETY: An open file has a mapping with operations.
        unsafe {
            (*(*(*self.file.as_ptr()).f_mapping).a_ops)
                .read_folio
                .is_some()
        }
    }

    /// The type of its filesystem.
    pub(crate) fn fs_type(&self) -> &str {
        // SAFETY: An open file has an inode with a superblock, whose type has a name.
        let name = unsafe { CStr::from_char_ptr((*(*(*self.inode()).i_sb).s_type).name) };
        name.to_str().unwrap_or("?")
    }

    /// How deep its filesystem is stacked on others.
    pub(crate) fn stack_depth(&self) -> i32 {
        // SAFETY: An open file has an inode with a superblock.
        unsafe { (*(*self.inode()).i_sb).s_stack_depth }
    }

    /// Whether it lies on a superblock of this magic number that is itself backed by a file. Drivers
    /// of one format have one number, and may add nothing to the depth of the stack.
    pub(crate) fn is_nested(&self, magic: u32) -> bool {
        // SAFETY: An open file has an inode with a superblock.
        unsafe {
            let sb = (*self.inode()).i_sb;
            (*sb).s_magic == magic as usize && (*sb).s_bdev.is_null()
        }
    }

    /// A bio to read it, by [`FileBios::alloc`]; null without memory. May sleep.
    ///
    /// # Safety
    ///
    /// The bio ends by `file_bio::submit` or `file_bio::end`.
    pub(crate) unsafe fn alloc_bio(&self, segments: u16) -> *mut bindings::bio {
        // SAFETY: The file is open. By the invariants the type stays registered while `self` is
        // there; bios that outlive it have folios of its superblock, or are with a worker, which
        // the type waits for before it goes.
        unsafe { self.bios.as_ref().alloc(self.file, segments) }
    }
}

impl Drop for BackingFile {
    fn drop(&mut self) {
        // SAFETY: By the invariant the reference is ours.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}

/// The page cache of the metadata of a superblock's file.
///
/// # Invariants
///
/// Null, or a reference to an inode of that superblock, whose `i_private` is the [`BackingFile`],
/// and whose size is that of the file when it was mounted.
pub(crate) struct FileMeta(AtomicPtr<bindings::inode>);

impl FileMeta {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Makes it, where there is none. `ENOMEM`. May sleep.
    ///
    /// # Safety
    ///
    /// `sb` is being filled. `file` stays where it is until [`Self::put`] was called.
    pub(crate) unsafe fn init(&self, sb: *mut bindings::super_block, file: &BackingFile) -> Result {
        // SAFETY: The superblock is live, and makes inodes. The new one is ours alone.
        unsafe {
            let inode = NonNull::new(bindings::new_inode(sb)).ok_or(ENOMEM)?;
            let raw = inode.as_ptr();
            bindings::set_nlink(raw, 1);
            (*raw).i_size = helpers::i_size_read(file.inode());
            (*raw).i_private = core::ptr::from_ref(file).cast_mut().cast();
            (*(*raw).i_mapping).a_ops = MAPPING;
            // INVARIANT: As just set.
            self.0.store(raw, Ordering::Release);
        }
        Ok(())
    }

    /// Puts the inode; waits for its reads. May sleep.
    ///
    /// # Safety
    ///
    /// Nobody reads metadata any more, nor will.
    pub(crate) unsafe fn put(&self) {
        // SAFETY: It is null or a reference of ours; `iput` takes both.
        unsafe { bindings::iput(self.0.swap(core::ptr::null_mut(), Ordering::Relaxed)) };
    }

    /// Reads it; `None` where no file is mounted.
    pub(crate) fn reader(&self) -> Option<MetaReader<'_>> {
        let inode = NonNull::new(self.0.load(Ordering::Acquire))?.as_ptr();
        // SAFETY: By the invariants it has a mapping with a `read_folio` that takes no file. It is put
        // when nobody reads metadata any more.
        unsafe {
            let size = helpers::i_size_read(inode) as u64;
            Some(MetaReader::of_mapping((*inode).i_mapping).up_to(size))
        }
    }
}

const MAPPING: &bindings::address_space_operations = &bindings::address_space_operations {
    read_folio: Some(read_folio),
    ..pin_init::zeroed()
};

/// Reads as much of `folio` as the file has, and clears the rest.
///
/// # Safety
///
/// Only to be called by the page cache, with a locked folio of the inode of a [`FileMeta`], which
/// is to be read.
unsafe extern "C" fn read_folio(_file: *mut bindings::file, folio: *mut bindings::folio) -> c_int {
    from_result(|| {
        // SAFETY: The page cache hands over a locked folio, which has its mapping, whose inode has a
        // file by the invariants, which is there until the inode was put.
        let (file, size, folio) = unsafe {
            let inode = (*(*folio).__bindgen_anon_1.__bindgen_anon_1.mapping).host;
            (
                &*(*inode).i_private.cast::<BackingFile>(),
                helpers::i_size_read(inode) as u64,
                LockedFolio::from_raw(NonNull::new(folio).ok_or(EINVAL)?),
            )
        };
        let pos = folio.pos();
        let len = size.checked_sub(pos).filter(|len| *len != 0).ok_or(EIO)?;
        let (part, behind) = folio.into_part().split(len);
        if let Some(mut behind) = behind {
            behind.zero(0..behind.len())?;
            behind.end(Ok(()));
        }
        let mut bio = Bio::new(Target::File(file), pos, 1)?;
        bio.add(part).map_err(|_| EIO)?;
        bio.submit();
        Ok(0)
    })
}
