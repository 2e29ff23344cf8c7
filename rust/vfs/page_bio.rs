// SPDX-License-Identifier: GPL-2.0-only

//! Reads of one contiguous range of a device or file, into pages that something else owns.
//!
//! What is read is not yet what a file holds: it is to be decoded. So a [`PageBio`] only keeps its
//! pages in memory, and says with each ([`Lent`]) that it is being written; who owns their content is the
//! business of whoever waits for the end of the read. [`Bio`] is for folios that are good as they are read.
//!
//! [`Bio`]: crate::bio::Bio
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::{
    bindings,
    bio::{
        Target,
        Unsent, //
    },
    few::Few,
    file_page::FilePage,
    folio::PageHold,
    page::PageRef,
    reads::{
        Reads,
        Underway, //
    }, //
};
use core::{
    mem::ManuallyDrop,
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    types::ForeignOwnable, //
};

/// A page to be read into.
pub enum Lent<'a> {
    /// One that is owned by whoever lent it.
    Page(PageRef),
    /// One of a file.
    File(&'a mut FilePage),
}

/// The same in a bio.
enum Held {
    Page(PageRef),
    File(PageHold),
}

impl Held {
    fn as_raw(&self) -> NonNull<bindings::page> {
        match self {
            Self::Page(page) => page.as_raw(),
            Self::File(page) => page.as_raw(),
        }
    }
}

// A list of them is freed where a bio ends, in any context: it is never in more than one piece of memory.
const _: () = assert!(size_of::<Held>() * bindings::BIO_MAX_VECS as usize <= PAGE_SIZE);

/// What a bio carries: its pages, the numbers of what it reads, and that it is under way.
struct Load {
    pages: Few<Held, 4>,
    numbers: Range<u32>,
    underway: Underway,
}

/// A read that was not submitted yet. Dropping it ends it with `EIO`.
///
/// # Invariants
///
/// Its `bi_private` is a boxed [`Load`], which has all the pages of its segments.
pub struct PageBio<'a>(Unsent<'a>);

impl<'a> PageBio<'a> {
    /// Makes one of `reads`, from byte `pos` of `target` on, for up to `pages` pages. `EINVAL` if
    /// `pos` is not at a sector of a device, `ENOMEM`. May sleep.
    ///
    /// Submit a bio before making the next: the reserve that makes this work when there is no
    /// memory has but few.
    pub fn new(target: Target<'a>, pos: u64, pages: usize, reads: &Reads) -> Result<Self> {
        let pages = pages.clamp(1, bindings::BIO_MAX_VECS as usize);
        let load = Load {
            pages: Few::with_capacity(pages, GFP_KERNEL)?,
            // None: the first page sets both.
            numbers: Range {
                start: u32::MAX,
                end: 0,
            },
            underway: reads.begin(),
        };
        let load = KBox::new(load, GFP_KERNEL)?;
        // SAFETY: `end_io` takes a bio whose `bi_private` is a boxed `Load`.
        let bio = unsafe { Unsent::new(target, pos, pages, end_io, load)? };
        // INVARIANT: As just set; there is no segment yet.
        Ok(Self(bio))
    }

    /// Position behind the last byte that it reads so far.
    pub fn end(&self) -> u64 {
        self.0.end()
    }

    fn load(&mut self) -> &mut Load {
        // SAFETY: By the invariants `bi_private` is a boxed load, which nobody else has before the
        // bio is submitted.
        unsafe { &mut *(*self.0.as_ptr()).bi_private.cast::<Load>() }
    }

    /// Adds `range` of `page` to the end, as part of what has this `number` ([`Batch::failed`]).
    /// `EINVAL` if there is no room for it, or if the range is not within the page, or not of whole
    /// sectors of a device; `EBUSY` if a read of another batch may still write to it.
    ///
    /// [`Batch::failed`]: crate::reads::Batch::failed
    pub fn add(&mut self, page: Lent<'_>, range: Range<usize>, number: u32) -> Result {
        if range.start >= range.end || range.end > PAGE_SIZE || !self.0.takes(range.len()) {
            return Err(EINVAL);
        }
        let load = self.load();
        if load.pages.is_full() {
            return Err(EINVAL);
        }
        let page = match page {
            Lent::Page(page) => Held::Page(page),
            Lent::File(page) => Held::File(page.lend(&load.underway)?),
        };
        // SAFETY: The bio is ours, and the range is within the page.
        let added = unsafe {
            bindings::bio_add_page(
                self.0.as_ptr(),
                page.as_raw().as_ptr(),
                range.len() as u32,
                range.start as u32,
            )
        };
        if added as usize != range.len() {
            return Err(EINVAL);
        }
        let load = self.load();
        // INVARIANT: Moved into the load, which has room.
        let _ = load.pages.push(page);
        load.numbers.start = load.numbers.start.min(number);
        load.numbers.end = load.numbers.end.max(number.saturating_add(1));
        Ok(())
    }

    /// Starts the read. A read of a file is over when this returns, unless the task was interrupted:
    /// then a worker goes on with it. May sleep.
    pub fn submit(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: The load has a reference to each page, of which there are no Rust references, and
        // goes with the end of the bio. `this` is not dropped.
        unsafe { this.0.submit() };
    }
}

impl Drop for PageBio<'_> {
    fn drop(&mut self) {
        // SAFETY: Nothing else is done with the bio, as it goes with this.
        unsafe { self.0.end_with(Err(EIO)) };
    }
}

/// # Safety
///
/// Only to be called as `bi_end_io` of the bio of a `PageBio`.
unsafe extern "C" fn end_io(bio: *mut bindings::bio) {
    // SAFETY: The block layer is done with the bio, and gives it back with the load that is its own.
    let (result, load) = unsafe {
        let result = to_result(bindings::blk_status_to_errno((*bio).bi_status));
        let load = KBox::<Load>::from_foreign((*bio).bi_private);
        bindings::bio_put(bio);
        (result, load)
    };
    let Load {
        pages,
        numbers,
        underway,
    } = KBox::into_inner(load);
    if result.is_err() {
        underway.fail(numbers);
    }
    // The pages go before the batch is over.
    drop(pages);
    drop(underway);
}
