// SPDX-License-Identifier: GPL-2.0-only

//! What the crate needs of the place where it runs.

use crate::{
    chain::Taken,
    state::State, //
};

/// Memory is short (`ENOMEM`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoMemory;

/// The kernel, or a test.
pub trait Platform: Sized {
    /// A counted reference to a pcluster.
    type Item: Item;
    /// Holds the claims of a chain.
    type List: List<Self::Item>;
    /// Holds what readers share of a chain.
    type Cell: Cell<State<Self>>;

    /// Ends what a reader claimed and cannot submit: each output of each of these pclusters fails, and
    /// the seats are released. May sleep; holds no lock.
    fn abandon(taken: Taken<Self>);
}

/// A counted reference to a pcluster.
pub trait Item: Clone {
    /// Tells pclusters apart as long as they live; the address, for example.
    type Id: Copy + Eq;

    /// Whose reference this is.
    fn id(&self) -> Self::Id;
}

/// A sequence of claims, the newest at the end. Dropped only when it is empty.
pub trait List<I>: Default {
    /// How many there are.
    fn len(&self) -> usize;

    /// Are there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for `more` further ones. May sleep; holds the pcluster's mutex.
    fn reserve(&mut self, more: usize) -> Result<(), NoMemory>;

    /// Adds one at the end; amortised, not more often than each doubling does it need memory. May sleep.
    fn push(&mut self, item: I) -> Result<(), NoMemory>;

    /// Removes the one at the end.
    fn pop(&mut self) -> Option<I>;

    /// Moves all of `other` behind the end, in its order, and leaves it empty; or, where there is not
    /// enough room, changes nothing. Called in a cell's lock: must neither sleep nor allocate, and frees nothing.
    fn append(&mut self, other: &mut Self) -> Result<(), NoMemory>;
}

/// A shared, counted, locked value: an `Arc` of a spinlock, for example.
pub trait Cell<T>: Clone {
    /// May sleep; holds the pcluster's mutex.
    fn new(value: T) -> Result<Self, NoMemory>;

    /// Calls `access` with the lock held. It does not sleep and locks nothing else, and takes a few dozen
    /// instructions. Readers only call it in process context, so interrupts can stay enabled.
    fn with<R>(&self, access: impl FnOnce(&mut T) -> R) -> R;

    /// Do both name the same value?
    fn same(&self, other: &Self) -> bool;
}
