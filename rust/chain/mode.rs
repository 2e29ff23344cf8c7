// SPDX-License-Identifier: GPL-2.0-only

//! What a claim came to.
//!
//! A page of a file can be lent to a pcluster as room for its compressed data (in-place I/O). It is
//! read into the page, decoded from there, and what was decoded lands in the same page. When
//! several pclusters have pieces in that page, the borrower must be decoded before any of the others writes
//! its piece: decoding would otherwise read what another one wrote. Readers walk a page from its
//! end to its start, and a chain is decoded newest claim first, so the order is right where all of them are
//! in one chain. The modes say where that is certain.

/// What the claim of a pcluster came to, in the order of what it allows.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ClusterMode {
    /// Claimed by another chain that is on its way, or by this one before: the reader only adds
    /// its output, and waits.
    Inflight,
    /// The pcluster was the tail of another reader's chain, still open. This reader's chain up to here went to
    /// that owner, to be decoded right behind it, and a new chain begins. The reader adds its output.
    ///
    /// What was claimed *before* is decoded after this pcluster; the order with the *next* claim is not known.
    Hooked,
    /// In this reader's chain, but all its compressed pages are cached: it may be decoded ahead of the
    /// chain, with what needs no I/O. No other pcluster may, even if its pages are read meanwhile. [`Chain::claim`](crate::Chain::claim) does not give it: the reader
    /// lowers `Followed` to it when it has looked.
    FollowedNoInplace,
    /// In this reader's chain, decoded after the next claim and before the one before.
    Followed,
}

impl ClusterMode {
    /// Is the pcluster in this reader's chain, which owns its I/O and decoding? Only the owner binds
    /// cached pages to it.
    pub const fn ours(self) -> bool {
        matches!(self, Self::FollowedNoInplace | Self::Followed)
    }

    /// May a page be lent to this pcluster, or be borrowed from it for bookkeeping?
    ///
    /// The pcluster must have the page's first piece. The other pieces, if there are any, must be of
    /// claims before this one that all [share](Self::may_share_page_inplace) their page.
    pub const fn may_use_inplace(self) -> bool {
        matches!(self, Self::Hooked | Self::Followed)
    }

    /// May a page in which this pcluster has a piece be lent to the pcluster that is claimed next, because
    /// that one is sure to be decoded before it?
    pub const fn may_share_page_inplace(self) -> bool {
        matches!(self, Self::Followed)
    }
}
