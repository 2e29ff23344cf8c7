// SPDX-License-Identifier: GPL-2.0-only

//! Kept compressed data, and its reclaim.
//!
//! Kept pages belong to idle pclusters: a claim takes them over, and whoever empties an idle
//! pcluster frees them. They are charged to the memory cgroup of the reader, and reclaimed in the
//! order of their last use, by one shrinker for all mounts (`vfs::lru`).

use super::{
    pcluster::{
        Pcluster,
        Slots,
        State, //
    },
    table::{
        Cursor,
        Node,
        Table, //
    },
    Shared, //
};
use kernel::sync::Arc;
use vfs::lru::{
    Link,
    Reclaim, //
};

/// A pcluster's place among those that keep compressed data.
pub(super) struct Keep {
    pub(super) link: Link<Pcluster>,
    pub(super) table: Arc<Table>,
}

/// The memory of an emptied pcluster.
pub(crate) struct Emptied {
    _slots: Slots,
    keep: Option<Keep>,
}

impl Emptied {
    pub(super) fn new(slots: Slots, keep: Option<Keep>) -> Self {
        Self {
            _slots: slots,
            keep,
        }
    }
}

impl Reclaim for Pcluster {
    type Taken = Emptied;

    fn take(&self) -> Option<Emptied> {
        // Whoever has the lock is using it.
        self.state.try_lock()?.empty()
    }

    fn taken(this: Arc<Self>, emptied: Emptied) {
        if let Some(keep) = &emptied.keep {
            keep.table.remove(&this);
        }
    }
}

impl Shared {
    /// Takes `pcluster` out of the table if it is idle and keeps nothing; returns the memory of its
    /// entry.
    pub(super) fn forget_useless(
        &self,
        pcluster: &Arc<Pcluster>,
        state: &mut State,
    ) -> Option<Node> {
        if !state.is_useless() {
            return None;
        }
        state.orphan = true;
        self.table.remove(pcluster)
    }

    /// Frees all compressed data that is kept for nobody.
    pub(crate) fn drop_caches(&self) {
        self.table.empty();
    }
}

impl Table {
    /// Empties all idle pclusters, and frees those that were to become others. May sleep.
    pub(super) fn empty(&self) {
        let mut at = Cursor::START;
        while let Some((pcluster, next)) = self.next(at) {
            at = next;
            vfs::task::cond_resched();
            let mut state = pcluster.state.lock();
            let emptied = state.empty();
            if emptied.is_some() {
                self.remove(&pcluster);
            }
            drop(state);
            drop(emptied);
        }
        self.drop_spares();
    }
}
