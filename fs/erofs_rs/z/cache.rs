// SPDX-License-Identifier: GPL-2.0-only

//! Compressed pages that are kept, and letting them go.
//!
//! They belong to idle pclusters, and are counted as memory that can be had back. There is no page
//! cache for them: a pcluster owns its pages, whoever claims it has them, and whoever empties an
//! idle one frees them.

use super::{
    pcluster::{
        Pcluster,
        State, //
    },
    table::{
        Cursor,
        Node, //
    },
    Shared, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    }, //
};
use vfs::shrinker::{
    Shrink,
    Shrinker, //
};

impl Shared {
    /// A pcluster that kept `before` pages keeps `now`.
    pub(super) fn count_kept(&self, before: usize, now: usize) {
        if before == now {
            return;
        }
        // Wraps where it gets less: the sum never does.
        self.kept
            .fetch_add(now.wrapping_sub(before) as isize, Relaxed);
    }

    /// Takes `pcluster` out of the table if nobody has it and it keeps nothing; gives the memory of its
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

    /// Lets go up to about `pages` pages of idle pclusters from `from` on. Says how many, and where
    /// to go on.
    pub(super) fn free(&self, from: Cursor, pages: usize) -> (usize, Option<Cursor>) {
        let mut freed = 0;
        let mut at = from;
        // Most may be in use.
        let mut steps = pages.saturating_mul(8).saturating_add(128);
        while freed < pages && steps > 0 {
            steps -= 1;
            vfs::task::cond_resched();
            let Some((pcluster, next)) = self.table.next(at) else {
                return (freed, None);
            };
            at = next;
            // Whoever has the lock is using it.
            let Some(mut state) = pcluster.state.try_lock() else {
                continue;
            };
            let Some((before, slots)) = state.empty() else {
                continue;
            };
            self.count_kept(before, 0);
            self.table.remove(&pcluster);
            drop(state);
            drop(slots);
            freed += before;
        }
        (freed, Some(at))
    }

    /// Lets go all that nobody uses.
    pub(crate) fn drop_caches(&self) {
        self.free(Cursor::START, usize::MAX);
        self.table.drop_spares();
    }
}

/// What memory reclaim asks of a mount.
pub(crate) struct Reclaim {
    shared: Arc<Shared>,
    /// Where it goes on, so that all have their turn.
    at: Pin<KBox<SpinLock<Cursor>>>,
}

impl Reclaim {
    /// Registers it for `shared`.
    pub(crate) fn register(shared: Arc<Shared>) -> Result<Shrinker<Self>> {
        let at = KBox::pin_init(new_spinlock!(Cursor::START), GFP_KERNEL)?;
        Shrinker::new(c"erofs_rs", Self { shared, at })
    }
}

impl Shrink for Reclaim {
    fn count(&self) -> usize {
        self.shared.kept.load(Relaxed).max(0) as usize
    }

    fn scan(&self, pages: usize) -> usize {
        let from = *self.at.lock();
        let (freed, next) = self.shared.free(from, pages);
        *self.at.lock() = next.unwrap_or(Cursor::START);
        freed
    }
}

/// How many pages are kept.
pub(super) type Kept = Atomic<isize>;
