// SPDX-License-Identifier: GPL-2.0-only

//! The pclusters that are known of a mount, by where they lie.
//!
//! Whoever reads a pcluster finds it here, so that readers of the same data share one read and one
//! decoding, and so that compressed pages that were kept are found again. A pcluster may be taken
//! out at any time: who still has it goes on with it, and what it keeps goes with it. So nothing
//! needs to be counted or waited for.
//!
//! Who reads a file from begin to end has as many taken out as it has made. Some of those that nobody
//! has any more are kept to become the next ones, with their lists: then no memory is looked for.

use super::pcluster::{
    Key,
    Pcluster,
    Wanted, //
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
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock,
        UniqueArc, //
    }, //
};
use vfs::lru::Lru;

/// Readers of different pclusters seldom meet at one lock. A power of two.
const SHARDS: usize = 16;

/// How many a shard keeps to become others. A readahead of 128 KiB in pclusters of a page makes a
/// dozen, and another one is often on its way.
const SPARES: usize = 2;

/// Memory for an entry.
pub(crate) type Node = RBTreeNodeReservation<Key, Arc<Pcluster>>;

struct Shard {
    known: RBTree<Key, Arc<Pcluster>>,
    spares: KVec<Spare>,
}

/// One that was taken out, and that nobody has.
struct Spare {
    pcluster: Pin<UniqueArc<Pcluster>>,
    node: Node,
}

/// The table of one mount.
pub(crate) struct Table {
    shards: KVec<Pin<KBox<SpinLock<Shard>>>>,
    /// Those that keep compressed data, of all mounts.
    pub(super) lru: Arc<Lru<Pcluster>>,
    /// The mount is gone.
    closed: Atomic<bool>,
}

impl Table {
    /// Makes an empty table, whose pclusters are listed in `lru` when they keep data. `ENOMEM`.
    pub(crate) fn new(lru: Arc<Lru<Pcluster>>) -> Result<Arc<Self>> {
        let mut shards = KVec::with_capacity(SHARDS, GFP_KERNEL)?;
        for _ in 0..SHARDS {
            let shard = Shard {
                known: RBTree::new(),
                spares: KVec::with_capacity(SPARES, GFP_KERNEL)?,
            };
            shards.push(
                KBox::pin_init(new_spinlock!(shard), GFP_KERNEL)?,
                GFP_KERNEL,
            )?;
        }
        let this = Self {
            shards,
            lru,
            closed: Atomic::new(false),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Ends the table with its mount: no pcluster keeps anything from now on. Those that do have
    /// references to the table. May sleep.
    pub(crate) fn close(&self) {
        // Each pcluster's lock orders it with `State::finish`.
        self.closed.store(true, Relaxed);
        self.empty();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    fn shard(&self, key: &Key) -> &SpinLock<Shard> {
        // Neighbours are spread over the shards; the multiplier is 2^64 divided by the golden ratio.
        let hash = key.pa.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        &self.shards[hash as usize % SHARDS]
    }

    /// The pcluster `key`, which is made if it is not known. `ENOMEM`. May sleep.
    pub(crate) fn get(&self, key: Key) -> Result<Arc<Pcluster>> {
        let shard = self.shard(&key);
        {
            let mut guard = shard.lock();
            let Shard { known, spares } = &mut *guard;
            match known.entry(key) {
                Entry::Occupied(found) => return Ok(found.get().clone()),
                Entry::Vacant(entry) => {
                    if let Some(Spare { pcluster, node }) = spares.pop() {
                        return Ok(entry.insert(Pcluster::reuse(pcluster, key), node).clone());
                    }
                }
            }
        }
        let new = Pcluster::new(key)?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        // What is not needed is dropped after the lock.
        let mut guard = shard.lock();
        match guard.known.entry(key) {
            Entry::Occupied(other) => Ok(other.get().clone()),
            Entry::Vacant(entry) => Ok(entry.insert(new, node).clone()),
        }
    }

    /// Takes `pcluster` out, if it is in; gives the memory of its entry.
    pub(crate) fn remove(&self, pcluster: &Arc<Pcluster>) -> Option<Node> {
        let mut shard = self.shard(&pcluster.key).lock();
        match shard.known.entry(pcluster.key) {
            Entry::Occupied(entry) if Arc::ptr_eq(entry.get(), pcluster) => {
                // The caller has it, so it does not go with its entry.
                Some(entry.remove_node().into_reservation())
            }
            _ => None,
        }
    }

    /// Keeps `pcluster`, which was taken out, to become another one, unless somebody else has it.
    /// `list` is what it wanted, and is empty.
    pub(crate) fn keep(&self, pcluster: Arc<Pcluster>, node: Node, list: KVec<Wanted>) {
        let shard = self.shard(&pcluster.key);
        let Some(pcluster) = Arc::into_unique_or_drop(pcluster) else {
            return;
        };
        pcluster.clear(list);
        // What there is no room for is dropped after the lock.
        let spare = Spare { pcluster, node };
        let _full = shard.lock().spares.push_within_capacity(spare);
    }

    /// Lets go those that were to become others.
    pub(crate) fn drop_spares(&self) {
        for shard in &self.shards {
            let next = || shard.lock().spares.pop();
            // Each is dropped without the lock.
            while next().is_some() {}
        }
    }

    /// The next pcluster behind `at`, in the order of shards and keys.
    pub(crate) fn next(&self, at: Cursor) -> Option<(Arc<Pcluster>, Cursor)> {
        let mut from = at.key;
        for number in at.shard..SHARDS {
            let shard = self.shards.get(number)?.lock();
            let cursor = shard.known.cursor_lower_bound(&from.unwrap_or(Key::FIRST));
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
