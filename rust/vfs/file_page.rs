// SPDX-License-Identifier: GPL-2.0-only

//! Pages of files that compressed data is read into before they are decoded to (in-place I/O).
//!
//! A decoder must not look at a page that is still being read into: not all of them stand input that
//! changes meanwhile. Of a [`Page`](crate::page::Page) that is counted in the page itself; a page of a folio has no
//! room for it, as the folio's own counts are in the way. So reads into such pages are counted by the
//! [`Batch`] that they belong to, and there is but one [`FilePage`] of a page, which knows the batch that it is lent to.

use crate::{
    bindings,
    folio::PageHold, //
};
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Reads that are waited for together.
#[derive(Clone)]
pub struct Batch(Arc<AtomicUsize>);

impl Batch {
    /// One of which no read is under way. `ENOMEM`. May sleep.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(AtomicUsize::new(0), GFP_KERNEL)?))
    }

    /// Whether no read is under way.
    pub fn is_over(&self) -> bool {
        // Acquire: what was read is seen by who looks at it after this.
        self.0.load(Ordering::Acquire) == 0
    }

    /// Counts a read until the result is dropped.
    pub(crate) fn begin(&self) -> Underway {
        self.0.fetch_add(1, Ordering::Relaxed);
        Underway(self.clone())
    }
}

/// A read of a [`Batch`] that is not over. May be dropped in any context.
pub(crate) struct Underway(Batch);

impl Underway {
    pub(crate) fn batch(&self) -> &Batch {
        &self.0
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0 .0.fetch_sub(1, Ordering::Release);
    }
}

/// A page of a locked folio, to be read into. It gives no access to the bytes; while it is there the folio stays
/// locked, even if all its parts have ended. May be dropped in any context.
///
/// # Invariants
///
/// As long as the folio is locked there is no other one of this page. All reads into it that are not
/// over are of `batch`.
pub struct FilePage {
    hold: PageHold,
    batch: Option<Batch>,
}

impl FilePage {
    /// # Safety
    ///
    /// There was no other one of this page since its folio was locked.
    pub(crate) unsafe fn new(hold: PageHold) -> Self {
        // INVARIANT: by the contract; nobody reads into it.
        Self { hold, batch: None }
    }

    pub(crate) fn as_raw(&self) -> NonNull<bindings::page> {
        self.hold.as_raw()
    }

    /// Whether something may still be read into it.
    pub fn is_lent(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_over())
    }

    /// What a read needs to read into it; `EBUSY` if one of another batch may still do so. It is to be
    /// dropped before the read is over.
    pub(crate) fn lend(&mut self, read: &Underway) -> Result<PageHold> {
        let batch = read.batch();
        let same = matches!(&self.batch, Some(b) if Arc::ptr_eq(&b.0, &batch.0));
        if !same && self.is_lent() {
            return Err(EBUSY);
        }
        if !same {
            // INVARIANT: the reads of the former one are over, and `read` is of this one.
            self.batch = Some(batch.clone());
        }
        Ok(self.hold.clone())
    }
}
