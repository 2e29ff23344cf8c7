// SPDX-License-Identifier: GPL-2.0-only

//! Reads that end together: who is told, and what could not be read.
//!
//! A read may end in an interrupt. No code of the filesystem runs there, and nothing of its is
//! dropped: the last read of a [`Batch`] wakes whoever waits ([`Reads::wait`]), or queues a work that
//! goes on ([`Reads::then`]).

use crate::{
    completion::IoCompletion,
    workqueue::{
        Queues,
        Ready,
        Run,
        Work, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ops::Range,
    sync::atomic::{
        self,
        AtomicU32,
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

/// What the reads of a batch have in common.
///
/// # Invariants
///
/// `underway` is the number of [`Underway`]s; one that is not 0 was never 0. `then` is written by
/// [`Reads::then`] before its own `Underway` goes, and taken by whoever drops the last one.
#[pin_data]
struct Shared {
    underway: AtomicUsize,
    /// The first number that could not be read, and the one behind the last.
    failed: (AtomicU32, AtomicU32),
    then: UnsafeCell<Option<(Ready, Queues)>>,
    #[pin]
    over: IoCompletion,
}

// SAFETY: What is in `then` may be sent, and so may the rest.
unsafe impl Send for Shared {}

// SAFETY: By the invariants `then` is accessed by one after the other, which the count orders; the
// rest is `Sync`.
unsafe impl Sync for Shared {}

/// Reads that end together.
#[derive(Clone)]
pub struct Batch(Arc<Shared>);

impl Batch {
    /// Whether no read is under way, nor will be.
    pub fn is_over(&self) -> bool {
        // Acquire: what was read is seen by whoever looks at it after this.
        self.0.underway.load(Ordering::Acquire) == 0
    }

    /// The numbers of what could not be read, from the first one to the last, though there may be
    /// good ones between two reads that failed. To be asked when all is over.
    pub fn failed(&self) -> Range<u32> {
        let (start, end) = &self.0.failed;
        start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A read of a [`Batch`] that is not over. May be dropped in any context.
pub(crate) struct Underway(Batch);

impl Underway {
    pub(crate) fn batch(&self) -> &Batch {
        &self.0
    }

    /// Says that what has these numbers could not be read.
    pub(crate) fn fail(&self, numbers: Range<u32>) {
        let (start, end) = &self.0 .0.failed;
        // The count orders this with whoever looks at it when all is over.
        start.fetch_min(numbers.start, Ordering::Relaxed);
        end.fetch_max(numbers.end, Ordering::Relaxed);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let shared = &*self.0 .0;
        // Release: what was read is seen by whoever finds the batch to be over.
        if shared.underway.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        atomic::fence(Ordering::Acquire);
        // SAFETY: This was the last one, which comes after `Reads::then`, if that was called: its own
        // was dropped after it wrote this. There will be no other.
        match unsafe { (*shared.then.get()).take() } {
            Some((work, queues)) => queues.here().push_ready(work),
            None => shared.over.complete_all(),
        }
    }
}

/// The right to add reads to a [`Batch`], which is not over as long as this is there.
pub struct Reads(Underway);

impl Reads {
    /// A batch of which no read is under way. `ENOMEM`. May sleep.
    pub fn new() -> Result<Self> {
        let shared = Arc::pin_init(
            pin_init!(Shared {
                // INVARIANT: The result's.
                underway: AtomicUsize::new(1),
                failed: (AtomicU32::new(u32::MAX), AtomicU32::new(0)),
                then: UnsafeCell::new(None),
                over <- IoCompletion::new(),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self(Underway(Batch(shared))))
    }

    /// The batch.
    pub fn batch(&self) -> &Batch {
        self.0.batch()
    }

    /// Counts a read until the result is dropped.
    pub(crate) fn begin(&self) -> Underway {
        let batch = self.batch().clone();
        // INVARIANT: It is not 0, as `self` has one.
        batch.0.underway.fetch_add(1, Ordering::Relaxed);
        Underway(batch)
    }

    /// Waits until all reads are over; there will be no more. Gives the numbers of what could not be
    /// read, see [`Batch::failed`]. The task waits as for a device. May sleep.
    pub fn wait(self) -> Range<u32> {
        let batch = self.batch().clone();
        drop(self);
        batch.0.over.wait();
        batch.failed()
    }

    /// Has `work` done when all reads are over, by one of `queues`; there will be no more reads. Does
    /// not sleep.
    pub fn then<T: Run>(self, work: Pin<UniqueArc<Work<T>>>, queues: Queues) {
        // SAFETY: Nobody else looks at it before the last `Underway` goes, and `self` has one.
        unsafe { *self.batch().0.then.get() = Some((Ready::new(work), queues)) };
        // INVARIANT: Written before it goes, which is now.
        drop(self);
    }
}
