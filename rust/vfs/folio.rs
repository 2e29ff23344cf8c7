// SPDX-License-Identifier: GPL-2.0-only

//! Folios that are being read: locked, owned, and ended exactly once.
//!
//! C ends a read by `folio_end_read`, and nothing but care makes it happen once. Here a
//! [`LockedFolio`] is a value: whoever has it ends it, hands it on (into a [`Bio`], into a job), or
//! drops it, which ends it with an error; nobody can do two of these. A folio whose bytes come from
//! several places is split into [`FolioPart`]s, each with bytes of its own. The last part that ends
//! ends the folio, with an error if one of them had any.
//!
//! While any part is left the folio stays locked, so it stays in its page cache, and the inode that
//! has the page cache stays too: eviction waits for the lock. That is why these types need no
//! lifetime. They may be ended and dropped in any context.
//!
//! [`Bio`]: crate::bio::Bio
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    error::from_ptr,
    file_page::FilePage,
    inode::Inode,
    registration::FileSystem, //
};
use core::{
    mem::ManuallyDrop,
    ops::Range,
    ptr::NonNull,
    sync::atomic::{
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// State of a folio in `folio.private`: bit 0 is set when a part had an error, the bits above count
/// the parts but one, and what keeps its pages ([`PageHold`]). A part is at least a byte, and of a page
/// there are no more of those than bios that it is in, so the count cannot overflow.
const ERROR: usize = 1;
const PART: usize = 2;

/// A whole locked folio that is to be read.
pub struct LockedFolio(FolioPart);

impl LockedFolio {
    /// # Safety
    ///
    /// `folio` is a locked folio of a page cache, not uptodate and without private data. The lock
    /// is the caller's, and moves to the result.
    pub(crate) unsafe fn from_raw(folio: NonNull<bindings::folio>) -> Self {
        // SAFETY: the folio is live while it is locked, and its private data is ours to use.
        let (base, len) = unsafe {
            *private(folio) = core::ptr::null_mut();
            (
                helpers::folio_pos(folio.as_ptr()) as u64,
                helpers::folio_size(folio.as_ptr()),
            )
        };
        // INVARIANT: the only part, as the count of zero says, with all bytes.
        Self(FolioPart {
            folio,
            place: Place::new(base, len >> PAGE_SHIFT),
            // There are no folios of 4 GiB (`MAX_PAGECACHE_ORDER`).
            range: 0..len as u32,
        })
    }

    /// Position of its first byte in the file.
    pub fn pos(&self) -> u64 {
        self.0.pos()
    }

    /// Its bytes in the file.
    pub fn range(&self) -> Range<u64> {
        let pos = self.pos();
        pos..pos + self.0.len() as u64
    }

    /// Returns whether it was evicted though it was in use (`folio_test_workingset`), and so is read
    /// again for want of memory.
    pub fn is_workingset(&self) -> bool {
        // SAFETY: The folio is live while it is locked.
        unsafe { helpers::folio_test_workingset(self.0.folio.as_ptr()) }
    }

    /// Ends the read of the folio: it is uptodate if `result` is good, and unlocked.
    pub fn end(self, result: Result) {
        self.0.end(result);
    }

    /// All of it as one part.
    pub fn into_part(self) -> FolioPart {
        self.0
    }
}

/// The folio of `inode`'s content that holds byte `pos`, new or found, if it is there to be read and
/// can be had without waiting. None if it is uptodate, locked by others, behind the end of the
/// file, read by others (iomap keeps data of its own with it), or if memory is short.
pub fn grab<T: FileSystem>(inode: &Inode<T>, pos: u64) -> Option<LockedFolio> {
    if pos >= inode.size() {
        return None;
    }
    let index = usize::try_from(pos >> PAGE_SHIFT).ok()?;
    // SAFETY: a ready inode has its mapping.
    let folio = unsafe { helpers::grab_folio_nowait((*inode.as_ptr()).i_mapping, index) };
    let folio = from_ptr(folio, ENOMEM).ok()?;
    // SAFETY: the folio is locked, and it and the reference are ours. A locked folio stays in the
    // page cache, which has a reference of its own. If it is not uptodate nobody else reads it:
    // that needs the lock. And if it has no private data, it is not iomap's.
    unsafe {
        let free = !helpers::folio_test_uptodate(folio.as_ptr())
            && !helpers::folio_test_private(folio.as_ptr());
        if !free {
            bindings::folio_unlock(folio.as_ptr());
        }
        let locked = free.then(|| LockedFolio::from_raw(folio));
        helpers::folio_put(folio.as_ptr());
        locked
    }
}

/// Where a folio is in its file, in which it stays as long as it is locked, and how many of its pages,
/// from the first one on, were not given away.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    /// Folios are at whole pages, so there is room for that many.
    const MOST: u64 = PAGE_SIZE as u64 - 1;

    /// Of a folio at byte `pos`. A larger one than there are today would give none.
    fn new(pos: u64, pages: usize) -> Self {
        let pages = pages as u64;
        Self(pos | if pages > Self::MOST { 0 } else { pages })
    }

    #[inline]
    fn pos(self) -> u64 {
        self.0 & !Self::MOST
    }

    #[inline]
    fn pages(self) -> usize {
        (self.0 & Self::MOST) as usize
    }
}

/// A part of a locked folio that is to be read, never empty.
///
/// # Invariants
///
/// The folio is locked. It is counted in `folio.private` how many parts it has, this is one of
/// them, and no other has a byte of `range`, which is within the folio and not empty. Of those of the
/// first `place.pages()` pages that have bytes of the part, no [`FilePage`] was ever made.
pub struct FolioPart {
    folio: NonNull<bindings::folio>,
    place: Place,
    range: Range<u32>,
}

// SAFETY: a folio may be unlocked by another task than locked it, in any context; parts have no
// bytes in common, and the count is atomic.
unsafe impl Send for FolioPart {}

/// Where a folio keeps its private data.
///
/// # Safety
///
/// `folio` is live.
unsafe fn private(folio: NonNull<bindings::folio>) -> *mut *mut c_void {
    // SAFETY: The caller has a live folio; only the address of `folio.private` is taken, which is in a
    // union of words.
    unsafe {
        &raw mut (*folio.as_ptr())
            .__bindgen_anon_1
            .__bindgen_anon_1
            .__bindgen_anon_3
            .private
    }
}

/// What is known of the parts of `folio`.
///
/// # Safety
///
/// The folio is locked, and has parts.
unsafe fn state(folio: &NonNull<bindings::folio>) -> &AtomicUsize {
    // SAFETY: the folio is live while it is locked, and its parts only use the word this way.
    unsafe { AtomicUsize::from_ptr(private(*folio).cast()) }
}

/// Ends one part of `folio`, and with the last one the folio.
///
/// # Safety
///
/// As for [`state`]; one that is counted is gone with this.
unsafe fn end_once(folio: NonNull<bindings::folio>, good: bool) {
    // SAFETY: The caller has a part of it, so the folio is locked and has parts.
    let state = unsafe { state(&folio) };
    if !good {
        state.fetch_or(ERROR, Ordering::Relaxed);
    }
    // Release: what was written to this part is seen by who ends the folio; acquire: that it is.
    let before = state.fetch_sub(PART, Ordering::AcqRel);
    if before >= PART {
        return;
    }
    // SAFETY: this was the last part, so the folio and its private data are all ours. It is locked,
    // and not uptodate.
    unsafe {
        *private(folio) = core::ptr::null_mut();
        bindings::folio_end_read(folio.as_ptr(), before & ERROR == 0);
    }
}

impl FolioPart {
    /// # Safety
    ///
    /// `folio` and `range` are those of a part that was given to [`FolioPart::into_raw`].
    pub(crate) unsafe fn from_raw(folio: NonNull<bindings::folio>, range: Range<usize>) -> Self {
        // SAFETY: the folio is locked.
        let base = unsafe { helpers::folio_pos(folio.as_ptr()) } as u64;
        // INVARIANT: as it was there; which pages were given away is not known any more.
        Self {
            folio,
            place: Place::new(base, 0),
            range: range.start as u32..range.end as u32,
        }
    }

    /// The folio, and the range of bytes in it. The duty to end the part moves to the caller.
    pub(crate) fn into_raw(self) -> (NonNull<bindings::folio>, Range<usize>) {
        let this = ManuallyDrop::new(self);
        (this.folio, this.inside())
    }

    pub(crate) fn as_raw(&self) -> (*mut bindings::folio, Range<usize>) {
        (self.folio.as_ptr(), self.inside())
    }

    /// Its bytes in the folio.
    #[inline]
    fn inside(&self) -> Range<usize> {
        self.range.start as usize..self.range.end as usize
    }

    fn state(&self) -> &AtomicUsize {
        // SAFETY: The folio is locked as long as it has parts, of which this is one.
        unsafe { state(&self.folio) }
    }

    /// Position of its first byte in the file.
    #[inline]
    pub fn pos(&self) -> u64 {
        self.place.pos() + u64::from(self.range.start)
    }

    /// Length in bytes, not 0.
    #[allow(clippy::len_without_is_empty)]
    #[inline]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Gives away the page `number` of those that hold bytes of the part, from 0 on: compressed data can
    /// be read into it. None if some of its bytes are not the part's, if it was given, or one behind it,
    /// or if the part was in a bio. Its bytes stay the part's, too: what is written by both is any of it.
    pub fn give(&mut self, number: usize) -> Option<FilePage> {
        let Range { start, end } = self.inside();
        let index = (start >> PAGE_SHIFT).checked_add(number)?;
        if index >= self.place.pages()
            || index << PAGE_SHIFT < start
            || (index + 1) << PAGE_SHIFT > end
        {
            return None;
        }
        // SAFETY: the folio is locked, and has that page.
        let page = NonNull::new(unsafe { helpers::folio_page(self.folio.as_ptr(), index) })?;
        // INVARIANT: the pages from this one on may have been given; no other part has bytes of it.
        self.place = Place::new(self.place.pos(), index);
        self.state().fetch_add(PART, Ordering::Relaxed);
        // INVARIANT: just counted.
        let hold = PageHold(page);
        // SAFETY: Of the pages before `place.pages()` no `FilePage` was made, and no other part has bytes
        // of this one, so none will be made by another; this part makes none of it again, as `place`
        // was just set.
        Some(unsafe { FilePage::new(hold) })
    }

    /// Splits off the rest behind the first `len` bytes, if there is any. 0 counts as 1, so that no
    /// part is empty.
    #[inline]
    pub fn split(mut self, len: u64) -> (Self, Option<Self>) {
        let len = len.clamp(1, self.len() as u64) as u32;
        let at = self.range.start + len;
        if at == self.range.end {
            return (self, None);
        }
        self.state().fetch_add(PART, Ordering::Relaxed);
        // INVARIANT: one part became two, which share the bytes.
        let rest = Self {
            folio: self.folio,
            place: self.place,
            range: at..self.range.end,
        };
        self.range.end = at;
        (self, Some(rest))
    }

    /// Makes one part of this one and `next`, which begins where this ends. Both come back if it does
    /// not.
    pub fn merge(mut self, next: Self) -> Result<Self, (Self, Self)> {
        if self.folio != next.folio || self.range.end != next.range.start {
            return Err((self, next));
        }
        // INVARIANT: of pages of this part, those from `place` on may have been given, if it has some; of
        // pages of the other one likewise.
        let last = (self.range.end as usize - 1) >> PAGE_SHIFT;
        if last < self.place.pages() || next.place.pages() < self.place.pages() {
            self.place = next.place;
        }
        // INVARIANT: the bytes of both, and one part less, which is done below.
        self.range.end = next.range.end;
        // SAFETY: this part has its bytes now, and lives on.
        unsafe { next.join() };
        Ok(self)
    }

    /// Makes this part one with another, which takes over its bytes and lives on.
    ///
    /// # Safety
    ///
    /// Another part of the same folio has the bytes of both from now on.
    pub(crate) unsafe fn join(self) {
        let this = ManuallyDrop::new(self);
        this.state().fetch_sub(PART, Ordering::Relaxed);
    }

    /// Copies `bytes` to byte `offset` of the part. `EINVAL` if they go beyond it.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result {
        let to = self.inner(offset..offset.checked_add(bytes.len()).ok_or(EINVAL)?)?;
        // SAFETY: The range is within this part, so nobody else has these bytes, and no Rust code has
        // references to bytes of a folio. A device or a decoder that writes to a page that was given
        // (`Self::give`) writes plain memory at the same time at worst: what is there is then either's
        // bytes, which nobody looks at before the part ends.
        unsafe {
            helpers::memcpy_to_folio(
                self.folio.as_ptr(),
                to.start,
                bytes.as_ptr().cast(),
                bytes.len(),
            )
        };
        Ok(())
    }

    /// Copies `n` bytes at `from` of `folio` to byte `offset` of the part. `EINVAL` if they go beyond
    /// it.
    ///
    /// # Safety
    ///
    /// The bytes are within `folio`, which is referenced.
    pub(crate) unsafe fn copy_from(
        &mut self,
        offset: usize,
        folio: *mut bindings::folio,
        from: usize,
        n: usize,
    ) -> Result {
        let to = self.inner(offset..offset.checked_add(n).ok_or(EINVAL)?)?;
        let mut done = 0;
        while done < n {
            let at = from + done;
            let len = (n - done).min(PAGE_SIZE - at % PAGE_SIZE);
            // SAFETY: The first range is within its folio, which the caller says, the second within this
            // part, as `inner` checked, and what is mapped is within a page. The mapping is undone at
            // once.
            unsafe {
                let bytes = helpers::kmap_local_folio(folio, at);
                helpers::memcpy_to_folio(self.folio.as_ptr(), to.start + done, bytes.cast(), len);
                helpers::kunmap_local(bytes);
            }
            done += len;
        }
        Ok(())
    }

    /// Zeroes `range` of the part. `EINVAL` if it goes beyond it.
    pub fn zero(&mut self, range: Range<usize>) -> Result {
        let range = self.inner(range)?;
        // SAFETY: The range is within this part, so nobody else has these bytes, and no Rust code has
        // references to bytes of a folio. A device that writes to a page that was given at the same
        // time leaves either's bytes, which nobody looks at before the part ends.
        unsafe { helpers::folio_zero_range(self.folio.as_ptr(), range.start, range.len()) };
        Ok(())
    }

    /// The range of the folio that is `range` of the part.
    fn inner(&self, range: Range<usize>) -> Result<Range<usize>> {
        if range.start > range.end || range.end > self.len() {
            return Err(EINVAL);
        }
        let start = self.inside().start;
        Ok(start + range.start..start + range.end)
    }

    /// Ends the read of this part, and with the last part that of the folio.
    pub fn end(self, result: Result) {
        let this = ManuallyDrop::new(self);
        // SAFETY: The folio is locked and this is one of its parts, which is not dropped again.
        unsafe { end_once(this.folio, result.is_ok()) };
    }
}

/// A page of a locked folio. It gives no access to the bytes; while it is there the folio stays locked, even if
/// all its parts have ended.
///
/// # Invariants
///
/// The folio of the page is locked, and this is counted in its private data as a part is.
pub(crate) struct PageHold(NonNull<bindings::page>);

// SAFETY: A folio may be unlocked by another task than locked it, in any context, and the count is
// atomic.
unsafe impl Send for PageHold {}

impl PageHold {
    pub(crate) fn as_raw(&self) -> NonNull<bindings::page> {
        self.0
    }

    fn folio(&self) -> NonNull<bindings::folio> {
        // SAFETY: the page is one of a locked folio, to which it belongs for as long.
        unsafe { NonNull::new_unchecked(helpers::page_folio(self.0.as_ptr())) }
    }
}

impl Clone for PageHold {
    fn clone(&self) -> Self {
        // SAFETY: The folio is locked as long as this is there, and counted in its private data.
        unsafe { state(&self.folio()) }.fetch_add(PART, Ordering::Relaxed);
        // INVARIANT: just counted.
        Self(self.0)
    }
}

impl Drop for PageHold {
    fn drop(&mut self) {
        // SAFETY: The folio is locked, and its private data counts this, which goes.
        unsafe { end_once(self.folio(), true) };
    }
}

impl Drop for FolioPart {
    fn drop(&mut self) {
        // SAFETY: The folio is locked and this is one of its parts, which goes.
        unsafe { end_once(self.folio, false) };
    }
}
