// SPDX-License-Identifier: GPL-2.0-only

//! Reading ahead: the page cache offers folios, the filesystem takes them one by one.
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    folio::LockedFolio, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::page::PAGE_SIZE;

/// The folios of one call of `readahead`, in the order of the file (`readahead_folio`).
///
/// A folio that is taken is the taker's to end. The page cache takes back those that are not, so
/// leaving early is no error: they are read when they are needed.
pub struct Readahead<'a>(&'a mut bindings::readahead_control);

impl<'a> Readahead<'a> {
    /// # Safety
    ///
    /// `control` is that of a `readahead` callback under way, which uses it for `'a` only through
    /// the result.
    pub(crate) unsafe fn from_raw(control: *mut bindings::readahead_control) -> Self {
        // SAFETY: The caller has a live control block, which is used only through the result.
        Self(unsafe { &mut *control })
    }

    /// The bytes in the file of all the folios, before the first of them is taken.
    pub fn range(&self) -> Range<u64> {
        let control = core::ptr::from_ref(&*self.0).cast_mut();
        // SAFETY: the control block is live; both only read it.
        let (index, count) = unsafe {
            (
                helpers::readahead_index(control),
                helpers::readahead_count(control),
            )
        };
        let (start, page) = (index as u64 * PAGE_SIZE as u64, PAGE_SIZE as u64);
        start..start + u64::from(count) * page
    }

    /// Asks for `range` of the file rather than what was offered. The page cache adds as much of it as it can;
    /// nothing while only some of the folios were taken. May sleep.
    pub fn expand(&mut self, range: Range<u64>) {
        if self.0._batch_count != 0 {
            return;
        }
        let (Ok(start), Ok(len)) = (
            i64::try_from(range.start),
            usize::try_from(range.end.saturating_sub(range.start)),
        ) else {
            return;
        };
        // SAFETY: the control block is live. None of the folios that it offers was taken, or it would be offered
        // again: there is no batch, so it is before the first one or behind the last.
        unsafe { bindings::readahead_expand(self.0, start, len) };
    }
}

impl Iterator for Readahead<'_> {
    type Item = LockedFolio;

    fn next(&mut self) -> Option<LockedFolio> {
        // SAFETY: the control block is live. What it says of the folios that are left is true: `expand` does not
        // change it between two of them.
        let folio = NonNull::new(unsafe { helpers::readahead_folio(self.0) })?;
        // SAFETY: the folio was put into the page cache for this call, so it is locked, new, and
        // from now on ours. Its lock keeps it in the page cache, which has a reference.
        Some(unsafe { LockedFolio::from_raw(folio) })
    }
}
