// SPDX-License-Identifier: GPL-2.0-only

//! Pages of files that compressed data is read into before they are decoded to (in-place I/O).
//!
//! A decoder must not look at a page that is still being read into: not all of them stand input that
//! changes meanwhile. Of a [`Page`](crate::page::Page) that is counted in the page itself; a page of a folio has no
//! room for it, as the folio's own counts are in the way. So reads into such pages are counted by the
//! [`Batch`] that they belong to, and there is but one [`FilePage`] of a page, which knows the batch that it is lent to.

use crate::{
    bindings,
    folio::PageHold,
    reads::{
        Batch,
        Underway, //
    }, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

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
        let same = matches!(&self.batch, Some(b) if b.is_same(batch));
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
