// SPDX-License-Identifier: GPL-2.0-only

//! Where compressed bytes come from.

use super::{
    CodecError,
    MAX_LEN, //
};
use crate::{
    bindings::{
        self,
        helpers, //
    },
    folio::FolioPart,
    page::{
        Alloc,
        Page,
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

/// Set in the pointer to a page that is the output's, too.
const IN_PLACE: usize = 1;

/// Compressed bytes: a slice of memory, or bytes of pages in a row.
///
/// # Invariants
///
/// Each page that is there is live for `'a`, and those bytes of it that are input are written by
/// nobody but the output that shares the page, if it is tagged with [`IN_PLACE`].
pub struct Input<'a> {
    source: Source<'a>,
    /// Of the first byte, in its page or in the slice.
    offset: usize,
    len: usize,
    place: Place,
    /// Pages that are in place of the output's.
    copies: Pool,
}

enum Source<'a> {
    Bytes(&'a [u8]),
    Pages(PageList, PhantomData<&'a Page>),
}

/// How the input's pages are among those of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not at all.
    Apart,
    /// So many of them, as page so and so and those behind it.
    InOrder { pages: usize, first: usize },
    /// Some of them, somewhere.
    Mixed,
}

impl<'a> Input<'a> {
    /// The bytes of `bytes`: [`empty`](Self::empty), with [`set_bytes`](Self::set_bytes).
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let mut input = Self::empty();
        input.set_bytes(bytes)?;
        Ok(input)
    }

    /// `len` bytes of pages: [`empty`](Self::empty), with [`set_pages`](Self::set_pages).
    pub fn from_pages(offset: usize, len: usize, alloc: Alloc) -> Result<Self> {
        let mut input = Self::empty();
        input.set_pages(offset, len, alloc)?;
        Ok(input)
    }

    /// Nothing yet.
    #[inline]
    pub fn empty() -> Self {
        // INVARIANT: there is no page yet.
        Self {
            source: Source::Bytes(&[]),
            offset: 0,
            len: 0,
            place: Place::Apart,
            copies: Pool::new(),
        }
    }

    /// Makes the bytes of `bytes` the input, if there is none. `EINVAL` if there is some, or if they are
    /// none or too many.
    #[inline]
    pub fn set_bytes(&mut self, bytes: &'a [u8]) -> Result {
        self.begin(0, bytes.len())?;
        self.source = Source::Bytes(bytes);
        Ok(())
    }

    /// Makes `len` bytes from byte `offset` of the first page on the input, if there is none. `EINVAL` if
    /// there is some, if that is beyond the page, or `len` is 0 or too large; `ENOMEM`. The pages are to be
    /// added, each of them.
    #[inline]
    pub fn set_pages(&mut self, offset: usize, len: usize, alloc: Alloc) -> Result {
        if offset >= PAGE_SIZE {
            return Err(EINVAL);
        }
        self.begin(offset, len)?;
        // INVARIANT: there is no page yet.
        self.source = Source::Pages(PageList::default(), PhantomData);
        match &mut self.source {
            Source::Pages(pages, _) => {
                make_places(pages, (offset + len).div_ceil(PAGE_SIZE), alloc)
            }
            Source::Bytes(_) => Ok(()),
        }
    }

    #[inline]
    fn begin(&mut self, offset: usize, len: usize) -> Result {
        if len == 0 || len > MAX_LEN || self.len != 0 {
            return Err(EINVAL);
        }
        (self.offset, self.len) = (offset, len);
        Ok(())
    }

    /// Length in bytes, not 0 if there is some.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Makes `page` the page `i`. `EBUSY` if it is lent to be written; `EINVAL` if there is no such
    /// page, or it is there.
    pub fn add_page(&mut self, i: usize, page: &'a Page) -> Result {
        if page.is_lent() {
            return Err(EBUSY);
        }
        // INVARIANT: while it is borrowed the page can neither go nor be lent.
        self.set(i, page.as_raw())
    }

    /// Makes a page of the output, its page `at`, the page `i`.
    ///
    /// # Safety
    ///
    /// The page is lent to the output for `'a`, and so are those bytes of it that are input; nothing is read into
    /// it meanwhile.
    pub(super) unsafe fn add_in_place(
        &mut self,
        i: usize,
        page: NonNull<bindings::page>,
        at: usize,
    ) -> Result {
        // INVARIANT: by the contract.
        self.set(i, page.map_addr(|addr| addr | IN_PLACE))?;
        self.place = match self.place {
            Place::Apart if at >= i => Place::InOrder {
                pages: 1,
                first: at - i,
            },
            Place::InOrder { pages, first } if first + i == at => Place::InOrder {
                pages: pages + 1,
                first,
            },
            _ => Place::Mixed,
        };
        Ok(())
    }

    fn set(&mut self, i: usize, page: NonNull<bindings::page>) -> Result {
        let Source::Pages(pages, _) = &mut self.source else {
            return Err(EINVAL);
        };
        match pages.get_mut(i) {
            Some(slot @ None) => *slot = Some(page),
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// The bytes of page `i` that are input.
    pub(super) fn of_page(&self, i: usize) -> Option<Range<usize>> {
        let Source::Pages(pages, _) = &self.source else {
            return None;
        };
        let end = (self.offset + self.len).checked_sub(i.checked_mul(PAGE_SIZE)?)?;
        let start = if i == 0 { self.offset } else { 0 };
        (i < pages.len()).then_some(start..end.min(PAGE_SIZE))
    }

    /// Whether a page of it is the output's, too.
    pub(super) fn is_in_place(&self) -> bool {
        self.place != Place::Apart
    }

    /// The byte of the pages of `output` that is the first one, if all the others follow there.
    pub(super) fn place(&self, output: &[Slot]) -> Option<usize> {
        let (Source::Pages(list, _), Place::InOrder { pages, first }) = (&self.source, self.place)
        else {
            return None;
        };
        let there = output.get(first..first + pages)?;
        let same = |(a, b): (&Slot, &Slot)| a.map(untagged) == *b;
        let all = pages == list.len() && list.iter().zip(there).all(same);
        all.then_some(first * PAGE_SIZE + self.offset)
    }

    /// The address of byte `pos`, and how many from it on follow there: at least one.
    pub(super) fn chunk(&self, pos: usize) -> Result<(*const u8, usize)> {
        let left = self.len.checked_sub(pos).filter(|n| *n > 0).ok_or(EINVAL)?;
        let at = self.offset + pos;
        match &self.source {
            Source::Bytes(bytes) => Ok((bytes.get(at..).ok_or(EINVAL)?.as_ptr(), left)),
            Source::Pages(pages, _) => {
                let page = pages.get(at / PAGE_SIZE).copied().flatten().ok_or(EINVAL)?;
                // SAFETY: The page is live: the input borrows it from its owner.
                let first = unsafe { address(untagged(page)) };
                let at = at % PAGE_SIZE;
                Ok((first.wrapping_add(at), left.min(PAGE_SIZE - at)))
            }
        }
    }

    /// Skips the zeros in front of the stream, which are within the first `most` bytes and do not go
    /// beyond the first page. It is corrupt if there is nothing else.
    pub(super) fn skip_padding(&mut self, most: usize) -> Result<(), CodecError> {
        if most == 0 {
            return Ok(());
        }
        let (first, len) = self.chunk(0).map_err(|_| CodecError::Incomplete)?;
        let len = len.min(most);
        // SAFETY: as many bytes of input are there, which nobody writes.
        let found = unsafe { bindings::memchr_inv(first.cast(), 0, len) };
        if found.is_null() {
            return Err(CodecError::Corrupt);
        }
        let skip = found.addr() - first.addr();
        self.offset += skip;
        self.len -= skip;
        Ok(())
    }

    /// Puts a copy, in a page of the input's own, in place of each page that is the output's; gives
    /// their number. Pages come from `pool`, or are looked for as `alloc` says.
    pub(super) fn detach(&mut self, pool: &mut Pool, alloc: Alloc) -> Result<usize> {
        let mut copied = 0;
        let mut i = 0;
        while let Some(Range { start, end }) = self.of_page(i) {
            let Source::Pages(pages, _) = &mut self.source else {
                break;
            };
            if let Some(page) = pages[i].as_mut().filter(|page| is_tagged(**page)) {
                let copy = pool.take(alloc)?;
                // SAFETY: both pages are live and differ, and the range is within a page.
                unsafe {
                    let from = address(untagged(*page)).add(start);
                    address(copy.as_raw())
                        .add(start)
                        .copy_from_nonoverlapping(from, end - start);
                }
                // INVARIANT: the copy lives as long as the input, and nobody else knows it.
                *page = copy.as_raw();
                self.copies.put(copy);
                copied += 1;
            }
            i += 1;
        }
        self.place = Place::Apart;
        Ok(copied)
    }

    /// Gives the copies back when the input is over, and has no page any more if there were some.
    pub(super) fn end(&mut self, pool: &mut Pool) {
        if self.copies.is_empty() {
            return;
        }
        if let Source::Pages(pages, _) = &mut self.source {
            pages.fill(None);
        }
        pool.append(&mut self.copies);
    }

    /// All of it in one range of addresses. None of it is in place.
    pub(super) fn map(&self) -> Result<Mapped<'_>, CodecError> {
        match &self.source {
            Source::Bytes(bytes) => Ok(Mapped {
                first: bytes.as_ptr().wrapping_add(self.offset),
                _span: None,
                _p: PhantomData,
            }),
            Source::Pages(pages, _) => {
                if pages.iter().any(Option::is_none) {
                    return Err(CodecError::Incomplete);
                }
                // SAFETY: The pages are live for as long as the input, which borrows them, and the span is
                // dropped before.
                let span = unsafe { Span::map(pages) }.map_err(|_| CodecError::NoMemory)?;
                Ok(Mapped {
                    first: span.as_ptr().wrapping_add(self.offset),
                    _span: Some(span),
                    _p: PhantomData,
                })
            }
        }
    }

    /// Copies `len` bytes from byte `from` on to byte `at` of `part`, which is no part of an output
    /// that shares pages with this. `EINVAL` if they go beyond either.
    pub fn copy_to(&self, from: usize, len: usize, part: &mut FolioPart, at: usize) -> Result {
        let mut done = 0;
        while done < len {
            let (first, there) = self.chunk(from + done)?;
            let n = there.min(len - done);
            // SAFETY: as many bytes are there, and none of them is the part's.
            unsafe { write(part, at + done, first, n)? };
            done += n;
        }
        Ok(())
    }
}

fn is_tagged(page: NonNull<bindings::page>) -> bool {
    page.addr().get() & IN_PLACE != 0
}

/// The page itself.
fn untagged(page: NonNull<bindings::page>) -> NonNull<bindings::page> {
    NonNull::new(page.as_ptr().map_addr(|addr| addr & !IN_PLACE)).unwrap_or(page)
}

/// Input in one range of addresses.
pub(super) struct Mapped<'a> {
    first: *const u8,
    _span: Option<Span>,
    _p: PhantomData<&'a ()>,
}

impl Mapped<'_> {
    pub(super) fn as_ptr(&self) -> *const u8 {
        self.first
    }
}

/// Copies `len` bytes from `from` to byte `at` of `part`. `EINVAL` if they go beyond it.
///
/// # Safety
///
/// There are as many bytes, and none of them is the part's.
pub(super) unsafe fn write(part: &mut FolioPart, at: usize, from: *const u8, len: usize) -> Result {
    let (folio, range) = part.as_raw();
    if at.checked_add(len).is_none_or(|end| end > range.len()) {
        return Err(EINVAL);
    }
    // SAFETY: `at + len` is within the part, as was just seen, and so the bytes are the part's, which
    // nobody else looks at; the caller has as many at `from`, none of which is the part's.
    unsafe { helpers::memcpy_to_folio(folio, range.start + at, from.cast(), len) };
    Ok(())
}
