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
    file_page::{
        Batch,
        FilePage,
        Underway, //
    },
    folio::PageHold,
    page::PageRef, //
};
use core::{
    marker::PhantomData,
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

/// What happens when a read is over.
pub trait PageCompletion: 'static {
    /// What a bio carries for it.
    type Data: Send + 'static;

    /// Called once for each bio, whether it was read, failed, or never submitted. Any context,
    /// interrupts too: may not sleep.
    fn complete(data: Self::Data, result: Result);
}

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

/// What a bio carries: its pages, that it is under way, and the data for its end.
struct Load<C: PageCompletion> {
    pages: Few<Held, 4>,
    underway: Underway,
    data: C::Data,
}

/// A read that was not submitted yet. Dropping it completes it with `EIO`.
///
/// # Invariants
///
/// Its `bi_private` is a boxed [`Load`], which has all the pages of its segments.
pub struct PageBio<'a, C: PageCompletion> {
    bio: Unsent<'a>,
    _p: PhantomData<C>,
}

impl<'a, C: PageCompletion> PageBio<'a, C> {
    /// Makes a read of `batch`, from byte `pos` of `target` on, for up to `pages` pages. `EINVAL` if `pos` is
    /// not at a sector of a device, `ENOMEM`; `data` is dropped then. May sleep.
    ///
    /// Submit a bio before making the next: the reserve that makes this work when there is no
    /// memory has but few.
    pub fn new(
        target: Target<'a>,
        pos: u64,
        pages: usize,
        batch: &Batch,
        data: C::Data,
    ) -> Result<Self> {
        let pages = pages.clamp(1, bindings::BIO_MAX_VECS as usize);
        let load = Load::<C> {
            pages: Few::with_capacity(pages, GFP_KERNEL)?,
            underway: batch.begin(),
            data,
        };
        let load = KBox::new(load, GFP_KERNEL)?;
        // SAFETY: the end takes such a bio.
        let bio = unsafe { Unsent::new(target, pos, pages, end_io::<C>, load)? };
        // INVARIANT: as just set; there is no segment yet.
        Ok(Self {
            bio,
            _p: PhantomData,
        })
    }

    /// Position behind the last byte that it reads so far.
    pub fn end(&self) -> u64 {
        self.bio.end()
    }

    fn load(&mut self) -> &mut Load<C> {
        // SAFETY: by the invariants; nobody else has the load before the bio is submitted.
        unsafe { &mut *(*self.bio.as_ptr()).bi_private.cast::<Load<C>>() }
    }

    /// What its end will be given.
    pub fn data(&mut self) -> &mut C::Data {
        &mut self.load().data
    }

    /// Adds `range` of `page` to the end. `EINVAL` if there is no room for it, or if the range is not
    /// within the page, or not of whole sectors of a device; `EBUSY` if a read of another batch may
    /// still write to it.
    pub fn add(&mut self, page: Lent<'_>, range: Range<usize>) -> Result {
        if range.start >= range.end || range.end > PAGE_SIZE || !self.bio.takes(range.len()) {
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
        // SAFETY: the bio is ours, and the range is within the page.
        let added = unsafe {
            bindings::bio_add_page(
                self.bio.as_ptr(),
                page.as_raw().as_ptr(),
                range.len() as u32,
                range.start as u32,
            )
        };
        if added as usize != range.len() {
            return Err(EINVAL);
        }
        // INVARIANT: moved into the load, which has room.
        let _ = self.load().pages.push(page);
        Ok(())
    }

    /// Starts the read. A read of a file is over when this returns. May sleep.
    pub fn submit(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: the load has a reference to each page, of which there are no Rust references, and goes with the end
        // of the bio. `this` is not dropped.
        unsafe { this.bio.submit() };
    }
}

impl<C: PageCompletion> Drop for PageBio<'_, C> {
    fn drop(&mut self) {
        // SAFETY: it goes with this.
        unsafe { self.bio.end_with(Err(EIO)) };
    }
}

/// # Safety
///
/// Only to be called as `bi_end_io` of the bio of a `PageBio<'_, C>`.
unsafe extern "C" fn end_io<C: PageCompletion>(bio: *mut bindings::bio) {
    // SAFETY: the block layer is done with the bio, and gives it back with the load that is its own.
    let (result, load) = unsafe {
        let result = to_result(bindings::blk_status_to_errno((*bio).bi_status));
        let load = KBox::<Load<C>>::from_foreign((*bio).bi_private);
        bindings::bio_put(bio);
        (result, load)
    };
    let Load {
        pages,
        underway,
        data,
    } = KBox::into_inner(load);
    drop(pages);
    drop(underway);
    C::complete(data, result);
}
