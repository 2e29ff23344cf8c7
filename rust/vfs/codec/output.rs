// SPDX-License-Identifier: GPL-2.0-only

//! Where decoded bytes go to.

use super::{
    input::{
        write,
        Input, //
    },
    MAX_LEN, //
};
use crate::{
    bindings::helpers,
    file_page::FilePage,
    folio::FolioPart,
    page::{
        Alloc,
        Pool, //
    },
    span::{
        address,
        make_places,
        PageList,
        Slot,
        Span, //
    }, //
};
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// Room for decoded bytes: pages in a row, of parts of folios where they are wanted, and of its own
/// where they are not. The latter go to the reader's pool at the end.
///
/// # Invariants
///
/// Each page that is there is live for `'a`, and the bytes of it that are to be decoded are those of
/// a part that is lent for `'a`, or all of the page is in `scratch`. `owned` is the range of the
/// pages' bytes that is known to be so; between its ends it has all bytes of each page.
pub struct Output<'a> {
    pages: PageList,
    offset: usize,
    len: usize,
    owned: Range<usize>,
    scratch: Pool,
    reused: bool,
    pool: &'a mut Pool,
    alloc: Alloc,
    filled: bool,
    _p: PhantomData<&'a mut FolioPart>,
}

impl<'a> Output<'a> {
    /// Room for `len` bytes from byte `offset` of the first page on: [`empty`](Self::empty), with
    /// [`make_room`](Self::make_room).
    pub fn new(pool: &'a mut Pool, alloc: Alloc, offset: usize, len: usize) -> Result<Self> {
        let mut output = Self::empty(pool, alloc);
        output.make_room(offset, len)?;
        Ok(output)
    }

    /// Room for nothing yet. Pages that are needed come from `pool`, or are looked for as `alloc`
    /// says.
    #[inline]
    pub fn empty(pool: &'a mut Pool, alloc: Alloc) -> Self {
        // INVARIANT: there is no page yet.
        Self {
            pages: PageList::default(),
            offset: 0,
            len: 0,
            owned: 0..0,
            scratch: Pool::new(),
            reused: false,
            pool,
            alloc,
            filled: false,
            _p: PhantomData,
        }
    }

    /// Makes room for `len` bytes from byte `offset` of the first page on, where there was none. `EINVAL` if
    /// that is beyond the page, `len` is 0 or too large, or there is room already; `ENOMEM`.
    #[inline]
    pub fn make_room(&mut self, offset: usize, len: usize) -> Result {
        if offset >= PAGE_SIZE || len == 0 || len > MAX_LEN || self.len != 0 {
            return Err(EINVAL);
        }
        let pages = (offset + len).div_ceil(PAGE_SIZE);
        make_places(&mut self.pages, pages, self.alloc)?;
        // INVARIANT: there is no page yet.
        (self.offset, self.len) = (offset, len);
        self.owned = offset..offset + len;
        Ok(())
    }

    /// Offset of the first byte in its page.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Length in bytes, not 0 if there is room.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of pages.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Whether some of its own pages were used before.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) fn alloc(&self) -> Alloc {
        self.alloc
    }

    /// Has the bytes from `at` on decoded right into `part`.
    ///
    /// Gives it back if they cannot be: bytes of its pages that are wanted are not the part's, its
    /// place in the page is another one, or the place is taken. Then they are to be copied, by
    /// [`copy_to`](Output::copy_to).
    pub fn add(&mut self, at: usize, part: &'a mut FolioPart) -> Result<(), &'a mut FolioPart> {
        let (folio, range) = part.as_raw();
        if at >= self.len || (self.offset + at) % PAGE_SIZE != range.start % PAGE_SIZE {
            return Err(part);
        }
        // All in bytes of the output's pages: the part, and its first and last page.
        let there = self.offset + at..self.offset + at + range.len();
        let first = there.start / PAGE_SIZE;
        let last = (there.end - 1).min(self.pages.len() * PAGE_SIZE - 1) / PAGE_SIZE;
        let wanted = self.offset.max(first * PAGE_SIZE)
            ..(self.offset + self.len).min((last + 1) * PAGE_SIZE);
        if there.start > wanted.start || there.end < wanted.end {
            return Err(part);
        }
        let Some(slots) = self.pages.get_mut(first..=last) else {
            return Err(part);
        };
        if slots.iter().any(Option::is_some) {
            return Err(part);
        }
        for (n, slot) in slots.iter_mut().enumerate() {
            // SAFETY: the folio is live while a part of it is, and the page is one with bytes of it.
            let page = unsafe { helpers::folio_page(folio, range.start / PAGE_SIZE + n) };
            // INVARIANT: what is wanted of the page is the part's, which is lent for `'a`.
            *slot = NonNull::new(page);
        }
        if last + 1 == self.pages.len() {
            // INVARIANT: as far as the part goes in the last page.
            self.owned.end = there.end.min((last + 1) * PAGE_SIZE);
        }
        Ok(())
    }

    /// Makes `page`, which is page `at` of this, the page `i` of `input`: compressed bytes were read into a
    /// page that decoded ones go to. `EBUSY` if something may still be read into it; `EINVAL` if
    /// it is no page of a part that was added there, if bytes of input in it are not the part's, or if
    /// the input has no such page, or has it.
    pub fn share(
        &mut self,
        at: usize,
        page: &'a FilePage,
        input: &mut Input<'a>,
        i: usize,
    ) -> Result {
        // While it is borrowed it cannot be lent again, and there is no other one.
        if page.is_lent() {
            return Err(EBUSY);
        }
        if self.pages.get(at).copied().flatten() != Some(page.as_raw()) {
            return Err(EINVAL);
        }
        let bytes = input.of_page(i).ok_or(EINVAL)?;
        let start = at * PAGE_SIZE;
        if start + bytes.start < self.owned.start || start + bytes.end > self.owned.end {
            return Err(EINVAL);
        }
        // SAFETY: the page is a file's, so it is none of `scratch`; then those bytes of it that are in `owned` are a
        // part's that is lent to this. Nothing is read into it: it was not lent just now, and is borrowed.
        unsafe { input.add_in_place(i, page.as_raw(), at) }
    }

    /// Puts pages where there are none: they are needed to decode, and to copy what goes there on.
    /// `ENOMEM`.
    pub fn prepare(&mut self) -> Result {
        for slot in self.pages.iter_mut().filter(|slot| slot.is_none()) {
            self.reused |= !self.pool.is_empty();
            let page = self.pool.take(self.alloc)?;
            // INVARIANT: of `scratch`.
            *slot = Some(page.as_raw());
            self.scratch.put(page);
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.pages
    }

    /// All of its pages, of which none is missing, in one range of addresses. May sleep.
    pub(super) fn map(&self) -> Result<Span> {
        // SAFETY: The pages are live as long as this is, which the caller has for longer.
        unsafe { Span::map(&self.pages) }
    }

    /// Says that all of it was decoded or copied, so that it can be copied on.
    pub fn set_filled(&mut self) {
        self.filled = true;
    }

    /// What was used to decode `input` is the pool's again.
    pub(super) fn end(&mut self, input: &mut Input<'_>) {
        input.end(self.pool);
    }

    /// Copies `len` decoded bytes from byte `from` on to byte `at` of `part`. `EINVAL` if they go
    /// beyond either, or if nothing was decoded.
    pub fn copy_to(&self, from: usize, len: usize, part: &mut FolioPart, at: usize) -> Result {
        if !self.filled || from.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(EINVAL);
        }
        for (page, range, done) in pieces(&self.pages, self.offset + from, len) {
            let page = page.ok_or(EINVAL)?;
            // SAFETY: the page is live, and its bytes are this output's: not the part's.
            unsafe { write(part, at + done, address(page).add(range.start), range.len())? };
        }
        Ok(())
    }

    /// Copies `len` bytes of `input` from byte `from` on, as they are, to byte `at`. Those that go
    /// where there is no page are left out. `EINVAL` if they go beyond either.
    ///
    /// They are copied in order. Where pages are shared, bytes of input behind those that are copied
    /// may be overwritten before they are read: see [`detach`](Output::detach).
    pub fn copy_from(&mut self, at: usize, input: &Input<'_>, from: usize, len: usize) -> Result {
        if at.checked_add(len).is_none_or(|end| end > self.len)
            || from.checked_add(len).is_none_or(|end| end > input.len())
        {
            return Err(EINVAL);
        }
        for (page, range, done) in pieces(&self.pages, self.offset + at, len) {
            let Some(page) = page else { continue };
            // SAFETY: the page is live.
            let to = unsafe { address(page) };
            let mut n = range.start;
            while n < range.end {
                let (first, there) = input.chunk(from + done + n - range.start)?;
                let len = there.min(range.end - n);
                // SAFETY: as many bytes are there, and the others are this output's to write. They
                // may have some in common if the page is shared.
                unsafe { to.add(n).copy_from(first, len) };
                n += len;
            }
        }
        Ok(())
    }

    /// Copies the pages that `input` shares with this, so that they can be written; gives their number.
    /// `ENOMEM`.
    pub fn detach(&mut self, input: &mut Input<'_>) -> Result<usize> {
        input.detach(self.pool, self.alloc)
    }
}

/// The pages that have `len` bytes from byte `pos` of `pages` on: each with the range of bytes in it,
/// and how many were in those before it.
fn pieces(
    pages: &[Slot],
    pos: usize,
    len: usize,
) -> impl Iterator<Item = (Slot, Range<usize>, usize)> + '_ {
    let mut done = 0;
    core::iter::from_fn(move || {
        let at = pos + done;
        let start = at % PAGE_SIZE;
        let n = (len - done).min(PAGE_SIZE - start);
        let page = *pages.get(at / PAGE_SIZE)?;
        let item = (n > 0).then_some((page, start..start + n, done));
        done += n;
        item
    })
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        self.pool.append(&mut self.scratch);
    }
}
