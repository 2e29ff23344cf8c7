// SPDX-License-Identifier: GPL-2.0-only

//! Reads of one contiguous range of a device or file, into pages that something else owns.
//!
//! What is read is not yet what a file holds: it is to be decoded. So a [`PageBio`] only keeps its
//! pages in memory ([`Lent`]), and who owns their content is the business of whoever waits for
//! the end of the read. [`Bio`] is for folios that are good as they are read.
//!
//! [`Bio`]: crate::bio::Bio
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    bio::{
        Target,
        SECTOR, //
    },
    folio::FilePage,
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
    type Data: ForeignOwnable + Send + 'static;

    /// Called once for each bio, whether it was read, failed, or never submitted. Any context,
    /// interrupts too: may not sleep.
    fn complete(data: Self::Data, result: Result);
}

/// A page to be read into.
pub enum Lent {
    /// One that is owned by whoever lent it.
    Page(PageRef),
    /// One of a file.
    File(FilePage),
}

impl Lent {
    fn as_raw(&self) -> NonNull<bindings::page> {
        match self {
            Self::Page(page) => page.as_raw(),
            Self::File(page) => page.as_raw(),
        }
    }
}

/// What a bio carries: its pages, and the data for its end.
struct Load<C: PageCompletion> {
    pages: KVec<Lent>,
    data: C::Data,
}

/// A read that was not submitted yet. Dropping it completes it with `EIO`.
///
/// # Invariants
///
/// `bio` is ours. Its `bi_private` is a boxed [`Load`], which has all the pages of its segments.
pub struct PageBio<'a, C: PageCompletion> {
    bio: NonNull<bindings::bio>,
    pos: u64,
    target: Target<'a>,
    _p: PhantomData<C>,
}

impl<'a, C: PageCompletion> PageBio<'a, C> {
    /// Makes a read from byte `pos` of `target` on, for up to `pages` pages. `EINVAL` if `pos` is not
    /// at a sector of a device, `ENOMEM`; `data` is dropped then. May sleep.
    ///
    /// Submit a bio before making the next: the reserve that makes this work when there is no
    /// memory has but few.
    pub fn new(target: Target<'a>, pos: u64, pages: usize, data: C::Data) -> Result<Self> {
        let device = match target {
            Target::Device(_) if pos % SECTOR != 0 => return Err(EINVAL),
            Target::Device(device) => device.as_ptr(),
            Target::File(_) => core::ptr::null_mut(),
        };
        let pages = pages.clamp(1, bindings::BIO_MAX_VECS as usize);
        let load = Load::<C> {
            pages: KVec::with_capacity(pages, GFP_KERNEL)?,
            data,
        };
        let load = KBox::new(load, GFP_KERNEL)?;
        // SAFETY: the device is open for `'a`, for which the bio is not used longer, but where it is
        // submitted; then the queue is not torn down before it ends.
        let bio = unsafe { helpers::bio_alloc_read(device, pages as u16) };
        let bio = NonNull::new(bio).ok_or(ENOMEM)?;
        // SAFETY: the bio is new and ours.
        unsafe {
            (*bio.as_ptr()).bi_iter.bi_sector = pos / SECTOR;
            (*bio.as_ptr()).bi_end_io = Some(end_io::<C>);
            (*bio.as_ptr()).bi_private = load.into_foreign();
        }
        // INVARIANT: as just set; there is no segment yet.
        Ok(Self {
            bio,
            pos,
            target,
            _p: PhantomData,
        })
    }

    fn len(&self) -> u32 {
        // SAFETY: the bio is ours.
        unsafe { (*self.bio.as_ptr()).bi_iter.bi_size }
    }

    /// Position behind the last byte that it reads so far.
    pub fn end(&self) -> u64 {
        self.pos.saturating_add(self.len().into())
    }

    /// Says that nobody needs the data yet (`REQ_RAHEAD`).
    pub fn set_readahead(&mut self) {
        // SAFETY: the bio is ours.
        unsafe { (*self.bio.as_ptr()).bi_opf |= bindings::VFS_REQ_RAHEAD };
    }

    /// Adds `range` of `page` to the end. An error gives the page back if there is no room for it, or
    /// if the range is not within the page, or not of whole sectors of a device.
    pub fn add(&mut self, page: Lent, range: Range<usize>) -> Result<(), Lent> {
        let whole = |n: usize| matches!(self.target, Target::File(_)) || n as u64 % SECTOR == 0;
        if range.start >= range.end || range.end > PAGE_SIZE || !whole(range.len()) {
            return Err(page);
        }
        // SAFETY: by the invariants; nobody else has the load before the bio is submitted.
        let load = unsafe { &mut *(*self.bio.as_ptr()).bi_private.cast::<Load<C>>() };
        if load.pages.len() == load.pages.capacity() {
            return Err(page);
        }
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
            return Err(page);
        }
        // INVARIANT: moved into the load, which has room.
        let _ = load.pages.push_within_capacity(page);
        Ok(())
    }

    /// Starts the read. A read of a file is over when this returns. May sleep.
    pub fn submit(self) {
        let this = ManuallyDrop::new(self);
        let bio = this.bio.as_ptr();
        match this.target {
            // SAFETY: the bio is ours, complete, and goes to the block layer, which ends it once.
            Target::Device(_) if this.len() != 0 => unsafe { bindings::submit_bio(bio) },
            Target::Device(_) => this.end_with(Ok(())),
            // SAFETY: the bio is ours, its segments are writable memory.
            Target::File(file) => this.end_with(unsafe { file.read_bio(this.pos, bio) }),
        }
    }

    /// Ends the bio without the block layer. To be called once, as the last thing.
    fn end_with(&self, result: Result) {
        // SAFETY: the bio is ours and was not submitted. It goes to `end_io`.
        unsafe {
            let bio = self.bio.as_ptr();
            if let Err(e) = result {
                (*bio).bi_status = bindings::errno_to_blk_status(e.to_errno());
            }
            bindings::bio_endio(bio);
        }
    }
}

impl<C: PageCompletion> Drop for PageBio<'_, C> {
    fn drop(&mut self) {
        self.end_with(Err(EIO));
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
    let Load { pages, data } = KBox::into_inner(load);
    drop(pages);
    C::complete(data, result);
}
