// SPDX-License-Identifier: GPL-2.0-only

//! Reads of one contiguous range of a device or file, into parts of folios.
//!
//! A [`Bio`] owns what it reads into, and ends that exactly once, whether it was read, failed, or
//! never submitted.
//!
//! C headers: [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::{
    backing::BackingFile,
    bdev::BlockDevice,
    bindings::{
        self,
        helpers, //
    },
    file_bio,
    folio::FolioPart, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::ForeignOwnable, //
};

/// Length of a sector, in bytes.
const SECTOR: u64 = 512;

/// What a read is from.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A block device.
    Device(BlockDevice<'a>),
    /// A file, which is read with its opener's credentials.
    File(&'a BackingFile),
}

/// A bio that was not submitted yet, without a type for what it is for. Its owner ends it.
///
/// # Invariants
///
/// `bio` is ours; its `bi_end_io` may be called, once, with what `bi_private` is. It is from
/// `BackingFile::alloc_bio` if it is `of_file`, which has a reference to the file then.
pub(crate) struct Unsent<'a> {
    bio: NonNull<bindings::bio>,
    pos: u64,
    of_file: bool,
    _p: PhantomData<Target<'a>>,
}

impl<'a> Unsent<'a> {
    /// Makes a read from byte `pos` of `target` on, for up to `segments` pieces. `EINVAL` if `pos` is
    /// not at a sector of a device; `private` is dropped then. May sleep.
    ///
    /// # Safety
    ///
    /// `end_io` takes a bio whose `bi_private` is a `P`, given away by [`ForeignOwnable`].
    pub(crate) unsafe fn new<P: ForeignOwnable>(
        target: Target<'a>,
        pos: u64,
        segments: usize,
        end_io: unsafe extern "C" fn(*mut bindings::bio),
        private: P,
    ) -> Result<Self> {
        let segments = segments.clamp(1, bindings::BIO_MAX_VECS as usize) as u16;
        let bio = match target {
            Target::Device(_) if pos % SECTOR != 0 => return Err(EINVAL),
            // SAFETY: the device is open for `'a`, for which the bio is not used longer, but where
            // it is submitted; then the queue is not torn down before it ends.
            Target::Device(device) => unsafe { helpers::bio_alloc_read(device.as_ptr(), segments) },
            // SAFETY: The bio is ended by `submit` or by `end_with`, which go by `of_file`.
            Target::File(file) => unsafe { file.alloc_bio(segments) },
        };
        let bio = NonNull::new(bio).ok_or(ENOMEM)?;
        // SAFETY: the bio is new and ours.
        unsafe {
            (*bio.as_ptr()).bi_iter.bi_sector = pos / SECTOR;
            (*bio.as_ptr()).bi_end_io = Some(end_io);
            (*bio.as_ptr()).bi_private = private.into_foreign();
        }
        // INVARIANT: as just set, and by the contract.
        Ok(Self {
            bio,
            pos,
            of_file: matches!(target, Target::File(_)),
            _p: PhantomData,
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::bio {
        self.bio.as_ptr()
    }

    fn len(&self) -> u32 {
        // SAFETY: the bio is ours.
        unsafe { (*self.as_ptr()).bi_iter.bi_size }
    }

    /// Position behind the last byte that it reads so far.
    pub(crate) fn end(&self) -> u64 {
        self.pos.saturating_add(self.len().into())
    }

    /// Whether `len` bytes can be read: whole sectors of a device.
    pub(crate) fn takes(&self, len: usize) -> bool {
        self.of_file || len as u64 % SECTOR == 0
    }

    /// Starts the read. A read of a file is over when this returns, unless the task was interrupted.
    /// May sleep.
    ///
    /// # Safety
    ///
    /// The segments are writable memory until the end of the bio, and nobody has references to it. This is the
    /// last that is done with it.
    pub(crate) unsafe fn submit(&self) {
        // SAFETY: the bio is ours, complete, and goes to the block layer or to `file_bio`, which end
        // it once; or it ends here. In each case this is the last that is done with it.
        unsafe {
            if self.len() == 0 {
                self.end_with(Ok(()));
            } else if self.of_file {
                file_bio::submit(self.as_ptr(), self.pos);
            } else {
                bindings::submit_bio(self.as_ptr());
            }
        }
    }

    /// Ends the bio without the block layer.
    ///
    /// # Safety
    ///
    /// This is the last that is done with it.
    pub(crate) unsafe fn end_with(&self, result: Result) {
        // SAFETY: the bio is ours and was not submitted. It goes to its `bi_end_io`.
        unsafe {
            let bio = self.as_ptr();
            if self.of_file {
                return file_bio::end(bio, result);
            }
            if let Err(e) = result {
                (*bio).bi_status = bindings::errno_to_blk_status(e.to_errno());
            }
            bindings::bio_endio(bio);
        }
    }
}

/// A read that was not submitted yet. Dropping it ends what it was to read into with `EIO`.
///
/// # Invariants
///
/// Its segments are parts of folios that were moved into it, and `last` is the folio of the last one.
pub struct Bio<'a> {
    bio: Unsent<'a>,
    last: *mut bindings::folio,
}

impl<'a> Bio<'a> {
    /// The most segments that there can be.
    pub const MAX_SEGMENTS: usize = bindings::BIO_MAX_VECS as usize;

    /// Makes a read from byte `pos` of `target` on, for up to `segments` pieces of contiguous
    /// memory. `EINVAL` if `pos` is not at a sector of a device. May sleep.
    ///
    /// Submit a bio before making the next: the reserve that makes this work when there is no
    /// memory has but few.
    pub fn new(target: Target<'a>, pos: u64, segments: usize) -> Result<Self> {
        // SAFETY: `end_io` takes a bio of a `Bio`, and does not look at `bi_private`.
        let bio = unsafe { Unsent::new(target, pos, segments, end_io, ())? };
        // INVARIANT: There is no segment yet.
        Ok(Self {
            bio,
            last: core::ptr::null_mut(),
        })
    }

    /// Position behind the last byte that it reads so far.
    pub fn end(&self) -> u64 {
        self.bio.end()
    }

    /// Adds `part` to the end; an error gives it back if there is no room for it, or if it is not of
    /// whole sectors of a device.
    pub fn add(&mut self, part: FolioPart) -> Result<(), FolioPart> {
        if !self.bio.takes(part.len()) {
            return Err(part);
        }
        let bio = self.bio.as_ptr();
        let (folio, range) = part.as_raw();
        // SAFETY: The bio is ours, and the range is within the folio.
        let (before, added, after) = unsafe {
            (
                (*bio).bi_vcnt,
                bindings::bio_add_folio(bio, folio, range.len(), range.start),
                (*bio).bi_vcnt,
            )
        };
        if !added {
            return Err(part);
        }
        if before == after && self.last == folio {
            // SAFETY: It lengthened the last segment, which ends with a part of the same folio, and
            // which [`end_parts`] will end in one piece.
            unsafe { part.join() };
        } else {
            self.last = folio;
            // INVARIANT: Moved into the bio.
            let _ = part.into_raw();
        }
        Ok(())
    }

    /// Starts the read. A read of a file is over when this returns, unless the task was interrupted:
    /// then a worker goes on with it. May sleep.
    pub fn submit(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: The parts are writable memory of ours, and `this` is not dropped.
        unsafe { this.bio.submit() };
    }
}

impl Drop for Bio<'_> {
    fn drop(&mut self) {
        // SAFETY: Nothing else is done with the bio, as it goes with this.
        unsafe { self.bio.end_with(Err(EIO)) };
    }
}

/// # Safety
///
/// Only to be called as `bi_end_io` of the bio of a [`Bio`].
unsafe extern "C" fn end_io(bio: *mut bindings::bio) {
    // SAFETY: The block layer is done with the bio, and gives it back.
    unsafe {
        let result = to_result(bindings::blk_status_to_errno((*bio).bi_status));
        end_parts(bio, result);
        bindings::bio_put(bio);
    }
}

/// Ends all parts that were moved into `bio`.
///
/// # Safety
///
/// `bio` is that of a [`Bio`], whose parts were not ended yet.
unsafe fn end_parts(bio: *mut bindings::bio, result: Result) {
    let mut at = bindings::folio_iter::default();
    // SAFETY: The bio is live until the caller puts it. Each segment is a part that was moved into it
    // (`Bio::add`), whose folio is locked until the part ends; so the iterator moves on before that.
    unsafe {
        helpers::bio_first_folio(&mut at, bio, 0);
        while let Some(folio) = NonNull::new(at.folio) {
            let range = at.offset..at.offset + at.length;
            helpers::bio_next_folio(&mut at, bio);
            FolioPart::from_raw(folio, range).end(result);
        }
    }
}
