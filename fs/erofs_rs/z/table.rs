// SPDX-License-Identifier: GPL-2.0-only

//! The pclusters that are known of a mount, by where they lie.
//!
//! Whoever reads a pcluster finds it here, so that readers of the same data share one read and one
//! decoding, and so that compressed pages that were kept are found again. A pcluster may be taken
//! out at any time: who still has it goes on with it, and what it keeps goes with it. So nothing
//! needs to be counted or waited for.

use super::pcluster::{
    Key,
    Pcluster, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{
        Entry,
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// Readers of different pclusters seldom meet at one lock. A power of two.
const SHARDS: usize = 16;

type Shard = RBTree<Key, Arc<Pcluster>>;

/// The table of one mount.
pub(crate) struct Table {
    shards: KVec<Pin<KBox<SpinLock<Shard>>>>,
}

impl Table {
    pub(crate) fn new() -> Result<Self> {
        let mut shards = KVec::with_capacity(SHARDS, GFP_KERNEL)?;
        for _ in 0..SHARDS {
            let shard = KBox::pin_init(new_spinlock!(RBTree::new()), GFP_KERNEL)?;
            shards.push(shard, GFP_KERNEL)?;
        }
        Ok(Self { shards })
    }

    fn shard(&self, key: &Key) -> &SpinLock<Shard> {
        // Neighbours are spread over the shards; the multiplier is 2^64 divided by the golden ratio.
        let hash = key.pa.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        &self.shards[hash as usize % SHARDS]
    }

    /// The pcluster `key`, which is made if it is not known. `ENOMEM`. May sleep.
    pub(crate) fn get(&self, key: Key) -> Result<Arc<Pcluster>> {
        let shard = self.shard(&key);
        if let Some(found) = shard.lock().get(&key) {
            return Ok(found.clone());
        }
        let new = Pcluster::new(key)?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        // What is not needed is dropped after the lock.
        let mut guard = shard.lock();
        match guard.entry(key) {
            Entry::Occupied(other) => Ok(other.get().clone()),
            Entry::Vacant(entry) => Ok(entry.insert(new, node).clone()),
        }
    }

    /// Takes `pcluster` out.
    pub(crate) fn remove(&self, pcluster: &Arc<Pcluster>) {
        let mut shard = self.shard(&pcluster.key).lock();
        let node = match shard.get(&pcluster.key) {
            Some(known) if Arc::ptr_eq(known, pcluster) => shard.remove_node(&pcluster.key),
            _ => None,
        };
        drop(shard);
        drop(node);
    }

    /// The next pcluster behind `at`, in the order of shards and keys.
    pub(crate) fn next(&self, at: Cursor) -> Option<(Arc<Pcluster>, Cursor)> {
        let mut from = at.key;
        for number in at.shard..SHARDS {
            let shard = self.shards.get(number)?.lock();
            let cursor = shard.cursor_lower_bound(&from.unwrap_or(Key::FIRST));
            let found = cursor.and_then(|cursor| match cursor.current() {
                (key, _) if Some(*key) == from => Some(cursor.peek_next()?.1.clone()),
                (_, first) => Some(first.clone()),
            });
            if let Some(pcluster) = found {
                let key = Some(pcluster.key);
                return Some((pcluster, Cursor { shard: number, key }));
            }
            from = None;
        }
        None
    }
}

/// A place in a table.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    shard: usize,
    /// What was there last.
    key: Option<Key>,
}

impl Cursor {
    pub(crate) const START: Self = Self {
        shard: 0,
        key: None,
    };
}
