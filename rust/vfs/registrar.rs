// SPDX-License-Identifier: GPL-2.0-only

//! What a filesystem type registers with the kernel beside itself.
//!
//! Whatever the kernel may call at any time is owned here, by the
//! [`Registration`](crate::registration::Registration), and undone when that goes. A filesystem
//! gets handles at most, so it can neither forget to undo anything nor do it too early, or where it
//! must not sleep.

use crate::{
    lru::{
        Lru,
        Reclaim, //
    },
    shrinker::{
        Shrink,
        Shrinker, //
    },
    workqueue::{
        OwnedQueue,
        Priority,
        Queue, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The registrations of a filesystem type. Dropping it waits for all calls and all work; may sleep.
pub struct Registrar {
    shrinkers: KVec<KBox<dyn Send + Sync>>,
    queues: KVec<KBox<OwnedQueue>>,
}

impl Registrar {
    /// An empty one.
    ///
    /// # Safety
    ///
    /// When it is dropped, no code of the filesystem runs but what the drop waits for, nor will it
    /// after that.
    pub(crate) const unsafe fn new() -> Self {
        Self {
            shrinkers: KVec::new(),
            queues: KVec::new(),
        }
    }

    /// Makes a queue `name`, which does as much at a time as there can be CPUs. `ENOMEM`. May
    /// sleep.
    pub fn queue(&mut self, name: &CStr, priority: Priority) -> Result<Queue> {
        let queue = KBox::new(OwnedQueue::new(name, priority)?, GFP_KERNEL)?;
        // SAFETY: The box does not move when the list of boxes does, and goes with `self`, when all
        // code of the filesystem is over by the contract of `new`.
        let handle = unsafe { Queue::from_owned(&queue) };
        self.queues.push(queue, GFP_KERNEL)?;
        Ok(handle)
    }

    /// Has the kernel ask `data` for memory, as `name` in debugfs. `ENOMEM`. May sleep.
    pub fn shrinker<T: Shrink>(&mut self, name: &CStr, data: T) -> Result {
        self.own(Shrinker::new(name, data)?)
    }

    /// Makes lists of objects of a type, and has the kernel reclaim from them, as `name`. `ENOMEM`.
    /// May sleep. See [`Lru`].
    pub fn lru<T: Reclaim>(&mut self, name: &'static CStr) -> Result<Arc<Lru<T>>> {
        let reclaimer = Lru::register(name)?;
        let lru = (*reclaimer).clone();
        self.own(reclaimer)?;
        Ok(lru)
    }

    fn own(&mut self, shrinker: impl Send + Sync + 'static) -> Result {
        Ok(self
            .shrinkers
            .push(KBox::new(shrinker, GFP_KERNEL)?, GFP_KERNEL)?)
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        // Shrinkers may queue work. From then on only work does.
        self.shrinkers.clear();
        OwnedQueue::finish(self.queues.iter().map(|queue| &**queue));
    }
}
