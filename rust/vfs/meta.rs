// SPDX-License-Identifier: GPL-2.0-only

//! Reading metadata.
//!
//! What lies in the page cache of a block device can change at any time, since devices can be
//! written behind a mount. So no reference into it is ever handed out: [`MetaReader`]
//! makes a copy, and what was checked on the copy stays true.
//!
//! The page cache of a directory is another matter: only this module fills it, once, and nobody can
//! map or write it. [`FolioBytes`] lends it out without a copy. (Into that of a symlink the VFS
//! writes: the NUL behind the target.)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    error::from_ptr,
    folio::FolioPart, //
};
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        Range, //
    },
    ptr::NonNull, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Reads byte ranges of a device, an image file or an inode through the page cache.
///
/// It keeps the folio it read last, so that neighbouring small reads cost one look-up; that is what
/// a buffer of this kind is for: make one an operation, and drop it with the operation.
pub struct MetaReader<'a> {
    /// An address space that lives for `'a`; null reads as an I/O error.
    mapping: *mut bindings::address_space,
    /// Where it ends, at a page or within one.
    end: u64,
    /// Reading it is reading a file, which may have to wait for further reads.
    nested: bool,
    folio: Option<Cached>,
    _p: PhantomData<&'a ()>,
}

/// A folio that holds the bytes from `start` to `end` of its mapping.
struct Cached {
    folio: FolioRef,
    start: u64,
    end: u64,
}

/// An owned reference to an uptodate folio.
struct FolioRef(NonNull<bindings::folio>);

impl Drop for FolioRef {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { helpers::folio_put(self.0.as_ptr()) };
    }
}

/// Reads the folio around byte `pos` of `mapping`, uptodate. `EIO` beyond what a file can have: the
/// page cache takes any index, but positions are `loff_t` for who fills it. May sleep.
///
/// # Safety
///
/// `mapping` is live and has a `read_folio` that takes no file.
#[inline]
unsafe fn read_folio(mapping: *mut bindings::address_space, pos: u64) -> Result<FolioRef> {
    if i64::try_from(pos).is_err() {
        return Err(EIO);
    }
    // SAFETY: The caller has a live mapping, whose own `read_folio` is called where there is no filler,
    // and takes no file.
    let folio = unsafe {
        bindings::read_cache_folio(
            mapping,
            usize::try_from(pos >> PAGE_SHIFT).map_err(|_| EIO)?,
            None,
            core::ptr::null_mut(),
        )
    };
    let folio = from_ptr(folio, EIO)?;
    Ok(FolioRef(folio))
}

impl Cached {
    /// `EIO` if the folio is behind `end`, where its mapping ends.
    ///
    /// # Safety
    ///
    /// The folio is of a mapping, and so keeps its place while it is referenced.
    unsafe fn new(folio: FolioRef, end: u64) -> Result<Self> {
        // SAFETY: the folio is referenced.
        let (start, size) = unsafe {
            (
                helpers::folio_pos(folio.0.as_ptr()) as u64,
                helpers::folio_size(folio.0.as_ptr()) as u64,
            )
        };
        let end = start.checked_add(size).ok_or(EIO)?.min(end);
        Ok(Self { folio, start, end })
    }
}

/// The folio of `mapping`, which ends at `end`, with page `index`, if there is one that is uptodate.
///
/// # Safety
///
/// `mapping` is live.
unsafe fn find_folio(
    mapping: *mut bindings::address_space,
    index: u64,
    end: u64,
) -> Option<Cached> {
    // SAFETY: The caller has a live mapping.
    let folio = unsafe { helpers::filemap_get_folio(mapping, usize::try_from(index).ok()?) };
    let folio = FolioRef(from_ptr(folio, ENOENT).ok()?);
    // SAFETY: it is referenced, and of the mapping.
    unsafe {
        helpers::folio_test_uptodate(folio.0.as_ptr())
            .then(|| Cached::new(folio, end))?
            .ok()
    }
}

/// Up to this length records are copied by words, in bytes: a call costs more.
const SMALL: usize = 128;

/// Copies `n` bytes of `folio` from byte `offset` on, which may change meanwhile: any bytes are good
/// bytes.
///
/// # Safety
///
/// `offset + n` is within the folio, which is referenced, and there are `n` bytes to write at `to`.
#[inline]
unsafe fn copy(to: *mut u8, folio: *mut bindings::folio, offset: usize, n: usize) {
    let word = size_of::<u64>();
    if n > SMALL || offset % word != 0 || offset % PAGE_SIZE + n > PAGE_SIZE {
        // SAFETY: The caller has `n` bytes in the folio and room for as many. The copy is made by C.
        return unsafe { helpers::memcpy_from_folio(to.cast(), folio, offset, n) };
    }
    // SAFETY: the bytes are in one page, which is mapped as long as they are read, and words of it
    // are aligned as `offset` is. What others write meanwhile is no data race by the kernel's rules,
    // as the reads are volatile (`READ_ONCE`).
    unsafe {
        let from = helpers::kmap_local_folio(folio, offset)
            .cast::<u8>()
            .cast_const();
        for i in 0..n / word {
            let value = from.cast::<u64>().add(i).read_volatile();
            to.cast::<u64>().add(i).write_unaligned(value);
        }
        for i in n - n % word..n {
            to.add(i).write(from.add(i).read_volatile());
        }
        helpers::kunmap_local(from.cast());
    }
}

impl<'a> MetaReader<'a> {
    /// # Safety
    ///
    /// `mapping` is null, or is live for `'a` with a `read_folio` that takes no file.
    pub(crate) unsafe fn of_mapping(mapping: *mut bindings::address_space) -> Self {
        Self {
            mapping,
            end: u64::MAX,
            nested: false,
            folio: None,
            _p: PhantomData,
        }
    }

    /// Says that only the first `len` bytes of the mapping can be read.
    pub(crate) fn up_to(mut self, len: u64) -> Self {
        self.end = len;
        self
    }

    /// Says that the mapping is that of a file of the filesystem itself.
    pub(crate) fn nested(mut self) -> Self {
        self.nested = true;
        self
    }

    /// Fills `buf` from byte `pos` on. Errors are those of the device, `EIO` past the end of a file.
    /// May sleep.
    pub fn read(&mut self, pos: u64, buf: &mut [u8]) -> Result {
        self.each(pos, buf.len(), |folio, offset, done, n| {
            // SAFETY: `offset + n` is within the folio, and `done + n` within the buffer.
            unsafe { copy(buf.as_mut_ptr().add(done), folio, offset, n) };
            Ok(())
        })
    }

    /// The `len` bytes from byte `pos` on. Errors are those of [`read`](Self::read) and `ENOMEM`. May
    /// sleep.
    pub fn read_vec(&mut self, pos: u64, len: usize) -> Result<KVec<u8>> {
        let mut bytes = KVec::with_capacity(len, GFP_KERNEL)?;
        let to: *mut u8 = bytes.as_mut_ptr();
        self.each(pos, len, |folio, offset, done, n| {
            // SAFETY: `offset + n` is within the folio, and the vector has room for `len` bytes, of which
            // these are some.
            unsafe { copy(to.add(done), folio, offset, n) };
            Ok(())
        })?;
        // SAFETY: without an error `each` has gone through all of them.
        unsafe { bytes.inc_len(len) };
        Ok(bytes)
    }

    /// Fills `range` of `part` from byte `pos` on, as [`Self::read`] does. `EINVAL` if it goes beyond
    /// the part.
    pub fn read_to(&mut self, pos: u64, part: &mut FolioPart, range: Range<usize>) -> Result {
        self.each(pos, range.len(), |folio, offset, done, n| {
            // SAFETY: `offset + n` is within the folio, which is referenced and uptodate.
            unsafe { part.copy_from(range.start + done, folio, offset, n) }
        })
    }

    /// Whether what is read is a file of the filesystem itself, so that a read may have to wait for
    /// further ones.
    pub fn is_nested(&self) -> bool {
        self.nested
    }

    /// Whether `len` bytes from `pos` on can be read without I/O: they are in one page of the page
    /// cache, which is kept until they are read. Does not sleep.
    pub fn is_ready(&mut self, pos: u64, len: usize) -> bool {
        if self.mapping.is_null() {
            return true;
        }
        let holds = |c: &Cached| c.start <= pos && len as u64 <= c.end.saturating_sub(pos);
        if !self.folio.as_ref().is_some_and(holds) {
            // SAFETY: The mapping is live for `'a`, as whoever made the reader said (`of_mapping`).
            self.folio = unsafe { find_folio(self.mapping, pos >> PAGE_SHIFT, self.end) };
        }
        self.folio.as_ref().is_some_and(holds)
    }

    /// As [`read`](Self::read) where [`is_ready`](Self::is_ready) says so, and tells whether it did.
    pub fn read_ready(&mut self, pos: u64, buf: &mut [u8]) -> Result<bool> {
        if !self.is_ready(pos, buf.len()) {
            return Ok(false);
        }
        match &self.folio {
            Some(c) if c.start <= pos && buf.len() as u64 <= c.end.saturating_sub(pos) => {
                // SAFETY: The bytes are within the folio, which is referenced, and as many as the buffer's.
                unsafe {
                    let offset = (pos - c.start) as usize;
                    copy(buf.as_mut_ptr(), c.folio.0.as_ptr(), offset, buf.len());
                }
            }
            _ => self.read(pos, buf)?,
        }
        Ok(true)
    }

    /// Reads the page around byte `pos` into the page cache, where it is kept until it is read. Errors
    /// are those of [`read`](Self::read). May sleep.
    pub fn load(&mut self, pos: u64) -> Result {
        // It may be a long way down from here.
        self.folio = None;
        if !self.mapping.is_null() {
            // SAFETY: The mapping is live for `'a`, as whoever made the reader said (`of_mapping`); the
            // folio keeps its place while it is referenced.
            self.folio = Some(unsafe { Cached::new(read_folio(self.mapping, pos)?, self.end)? });
        }
        Ok(())
    }

    /// Calls `copy` with each folio that holds bytes of the `len` from `pos` on, the offset in it,
    /// how many bytes there were before, and how many there are.
    #[inline]
    fn each(
        &mut self,
        pos: u64,
        len: usize,
        mut copy: impl FnMut(*mut bindings::folio, usize, usize, usize) -> Result,
    ) -> Result {
        let (mapping, end) = (self.mapping, self.end);
        if mapping.is_null() {
            return Err(EIO);
        }
        let mut done = 0;
        while done < len {
            let at = pos.checked_add(done as u64).ok_or(EIO)?;
            let cached = match self.folio.take() {
                Some(cached) if (cached.start..cached.end).contains(&at) => cached,
                // SAFETY: The mapping is live for `'a`, as whoever made the reader said (`of_mapping`);
                // the folio keeps its place while it is referenced.
                _ => unsafe { Cached::new(read_folio(mapping, at)?, end)? },
            };
            if at >= cached.end {
                return Err(EIO);
            }
            let offset = (at - cached.start) as usize;
            let n = ((cached.end - at) as usize).min(len - done);
            copy(cached.folio.0.as_ptr(), offset, done, n)?;
            done += n;
            self.folio = Some(cached);
        }
        Ok(())
    }
}

/// The page cache of a directory.
///
/// # Invariants
///
/// The mapping is that of a ready directory that lives for `'a`; it has a `read_folio`, and none of
/// its operations writes to an uptodate folio, as all are of this crate.
#[derive(Clone, Copy)]
pub struct Pages<'a>(NonNull<bindings::address_space>, PhantomData<&'a ()>);

/// Bytes in the page cache of a directory.
///
/// # Invariants
///
/// `bytes` are `len` bytes in the folio, which is uptodate, always mapped, and from [`Pages`].
pub struct FolioBytes {
    bytes: NonNull<u8>,
    len: usize,
    _folio: FolioRef,
}

impl Pages<'_> {
    /// # Safety
    ///
    /// `mapping` is as the invariants say.
    pub(crate) unsafe fn new(mapping: *mut bindings::address_space) -> Self {
        // SAFETY: an inode's mapping is not null.
        Self(unsafe { NonNull::new_unchecked(mapping) }, PhantomData)
    }

    /// Reads `len` bytes from `pos` on, which one page must hold (`EIO`); what is behind the end
    /// reads as zeroes. May sleep.
    #[inline]
    pub fn bytes(self, pos: u64, len: usize) -> Result<FolioBytes> {
        if len > PAGE_SIZE - (pos as usize & (PAGE_SIZE - 1)) {
            return Err(EIO);
        }
        // SAFETY: The mapping is that of a directory that lives for `'a`, and has a `read_folio`.
        let folio = unsafe { read_folio(self.0.as_ptr(), pos)? };
        // SAFETY: the folio holds the page that `pos` is in. `NewInode::init` keeps folios of
        // directories out of high memory, so it is mapped.
        let bytes = unsafe { helpers::folio_pos_address(folio.0.as_ptr(), pos as i64) };
        // INVARIANT: `read_cache_folio` gives uptodate folios; the rest was just seen.
        Ok(FolioBytes {
            // SAFETY: a mapped address is not null.
            bytes: unsafe { NonNull::new_unchecked(bytes.cast()) },
            len,
            _folio: folio,
        })
    }
}

impl Deref for FolioBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: The bytes are in the folio, which is always mapped. They do not change while it is
        // referenced: it is uptodate, and of a directory, to which nothing writes then.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }
}

/// A page of metadata mapped for the C code that copies from it.
///
/// # Invariants
///
/// `base` is a local kernel mapping of the page of the folio that holds the byte asked for.
pub(crate) struct MappedMeta {
    base: *mut core::ffi::c_void,
    _folio: FolioRef,
}

impl MetaReader<'_> {
    /// Maps `len` bytes from `pos` on, which are in one page: `EIO` if not. May sleep. Mappings are
    /// to be undone by the task that made them, the latest first.
    pub(crate) fn map(self, pos: u64, len: u64) -> Result<MappedMeta> {
        let offset = pos as usize & (PAGE_SIZE - 1);
        if len > (PAGE_SIZE - offset) as u64 {
            return Err(EIO);
        }
        if self.mapping.is_null() || pos.saturating_add(len) > self.end {
            return Err(EIO);
        }
        let start = pos - offset as u64;
        // SAFETY: The mapping is live for `'a`, as whoever made the reader said (`of_mapping`).
        let folio = unsafe { read_folio(self.mapping, pos)? };
        // SAFETY: the folio holds `pos`, so it holds the page around it.
        let base = unsafe {
            let offset = start - helpers::folio_pos(folio.0.as_ptr()) as u64;
            helpers::kmap_local_folio(folio.0.as_ptr(), offset as usize)
        };
        Ok(MappedMeta {
            base,
            _folio: folio,
        })
    }
}

impl MappedMeta {
    /// Address of byte `pos`, which is in the page that was mapped.
    pub(crate) fn address(&self, pos: u64) -> *mut core::ffi::c_void {
        self.base.wrapping_byte_add(pos as usize & (PAGE_SIZE - 1))
    }
}

impl Drop for MappedMeta {
    fn drop(&mut self) {
        // SAFETY: `base` is a local mapping, which nobody else undoes.
        unsafe { helpers::kunmap_local(self.base) };
    }
}
