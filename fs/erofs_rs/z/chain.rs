// SPDX-License-Identifier: GPL-2.0-only

//! Chains of pclusters, for `erofs_chain`.

use super::{
    decode,
    pcluster::Pcluster, //
};
use erofs_chain::{
    Cell,
    Item,
    List,
    NoMemory,
    Platform,
    State,
    Taken, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// The kernel.
pub(crate) struct Kernel;

impl Platform for Kernel {
    type Item = Claim;
    type List = Claims;
    type Cell = Locked;

    fn abandon(taken: Taken<Self>) {
        for claim in taken {
            let _ = decode::fail(&claim.0, EIO, 0);
        }
    }
}

/// A pcluster that is in a chain.
#[derive(Clone)]
pub(crate) struct Claim(pub(crate) Arc<Pcluster>);

impl Item for Claim {
    type Id = usize;

    fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// Pclusters of a chain, the newest last.
#[derive(Default)]
pub(crate) struct Claims(KVec<Claim>);

impl Claims {
    /// In the order of decoding.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Pcluster>> {
        self.0.iter().rev().map(|claim| &claim.0)
    }

    /// Keeps those for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Arc<Pcluster>) -> bool) {
        self.0.retain(|claim| keep(&claim.0));
    }
}

impl List<Claim> for Claims {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn reserve(&mut self, more: usize) -> Result<(), NoMemory> {
        // An image can ask for long lists: that there is no memory for one is no fault of the kernel's.
        let reserved = self.0.reserve(more, GFP_KERNEL | __GFP_NOWARN);
        reserved.map_err(|_| NoMemory)
    }

    fn push(&mut self, item: Claim) -> Result<(), NoMemory> {
        // Most chains have a few.
        self.reserve(if self.0.is_empty() { 4 } else { 1 })?;
        self.0.push_within_capacity(item).map_err(|_| NoMemory)
    }

    fn pop(&mut self) -> Option<Claim> {
        self.0.pop()
    }

    fn append(&mut self, other: &mut Self) -> Result<(), NoMemory> {
        if self.0.capacity() - self.0.len() < other.0.len() {
            return Err(NoMemory);
        }
        for item in other.0.drain_all() {
            self.0.push_within_capacity(item).map_err(|_| NoMemory)?;
        }
        Ok(())
    }
}

/// A counted, locked value.
pub(crate) struct Locked(Arc<SpinLock<State<Kernel>>>);

impl Clone for Locked {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Cell<State<Kernel>> for Locked {
    fn new(value: State<Kernel>) -> Result<Self, NoMemory> {
        Arc::pin_init(new_spinlock!(value), GFP_KERNEL)
            .map(Self)
            .map_err(|_| NoMemory)
    }

    fn with<R>(&self, access: impl FnOnce(&mut State<Kernel>) -> R) -> R {
        access(&mut self.0.lock())
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
