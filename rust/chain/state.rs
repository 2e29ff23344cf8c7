// SPDX-License-Identifier: GPL-2.0-only

//! What readers share of a chain: may it be hooked to, and where has it gone.
//!
//! The course of a chain, each arrow one short lock of its cell:
//!
//! ```text
//!          open           leave            forward
//!  (new) --------> Open ---------> Joining --------> Forwarded
//!                 |    <---------
//!           close |      reopen
//!                 v
//!               Closed
//! ```
//!
//! Only the chain's reader follows these arrows. Others look, and hook theirs to an open one.

use core::mem;

use crate::platform::{
    Item,
    List,
    Platform, //
};

/// How many times one can be sent on until the chain is found that a pcluster is in.
///
/// What would go beyond it is not hooked.
pub const MAX_RANK: u8 = 8;

type Id<P> = <<P as Platform>::Item as Item>::Id;

/// What readers share of a chain; the content of a [`Platform::Cell`].
pub struct State<P: Platform>(Course<P>);

enum Course<P: Platform> {
    /// Its reader still adds to it, and others may hook theirs to its tail.
    Open(Open<P>),
    /// Its reader is about to hook it to another one: out of circulation.
    Joining,
    /// It was hooked to this one.
    Forwarded(P::Cell),
    /// Taken by its reader.
    Closed,
}

/// An open chain, without what its reader claimed.
pub(crate) struct Open<P: Platform> {
    /// The pcluster to be decoded last.
    tail: Id<P>,
    /// What was hooked to it, to be decoded from the end, behind what its reader claimed.
    pub(crate) hooked: P::List,
    /// Greater than that of each chain forwarded to it, and no greater than needed for that.
    rank: u8,
}

/// What the seat of a pcluster leads to.
pub(crate) enum View<P: Platform> {
    /// On to this one.
    Forwarded(P::Cell),
    /// To an open chain whose tail it is, to which so many pclusters were hooked before.
    Tail(usize),
    /// To where nothing can be hooked.
    Fixed,
}

impl<P: Platform> Open<P> {
    /// Can this be forwarded without a rank that is too great?
    pub(crate) fn may_join(&self) -> bool {
        self.rank < MAX_RANK
    }
}

impl<P: Platform> State<P> {
    /// A new chain of one pcluster.
    pub(crate) fn open(first: &P::Item) -> Self {
        Self(Course::Open(Open {
            tail: first.id(),
            hooked: P::List::default(),
            rank: 0,
        }))
    }

    /// What is here for one who comes from the seat of the pcluster `id`?
    pub(crate) fn look(&self, id: Id<P>) -> View<P> {
        match &self.0 {
            Course::Open(open) if open.tail == id => View::Tail(open.hooked.len()),
            Course::Forwarded(to) => View::Forwarded(to.clone()),
            Course::Open(_) | Course::Joining | Course::Closed => View::Fixed,
        }
    }

    /// Hooks all `claims` of another chain, which has left, to the pcluster `id`, if this is an open
    /// chain and that is its tail, and there is room in `claims` for what was hooked here before.
    pub(crate) fn hook(&mut self, id: Id<P>, joiner: &Open<P>, claims: &mut P::List) -> bool {
        let Course::Open(open) = &mut self.0 else {
            return false;
        };
        if open.tail != id || claims.append(&mut open.hooked).is_err() {
            return false;
        }
        mem::swap(&mut open.hooked, claims);
        open.tail = joiner.tail;
        open.rank = open.rank.max(joiner.rank.saturating_add(1));
        true
    }

    /// Takes an open chain out of circulation.
    pub(crate) fn leave(&mut self) -> Option<Open<P>> {
        self.replace(Course::Joining)
    }

    /// Takes an open chain out of circulation for good.
    pub(crate) fn close(&mut self) -> Option<Open<P>> {
        self.replace(Course::Closed)
    }

    fn replace(&mut self, by: Course<P>) -> Option<Open<P>> {
        match mem::replace(&mut self.0, by) {
            Course::Open(open) => Some(open),
            before => {
                self.0 = before;
                None
            }
        }
    }

    /// Puts it into circulation again: it could not be hooked.
    pub(crate) fn reopen(&mut self, open: Open<P>) {
        self.0 = Course::Open(open);
    }

    /// Says where it has gone.
    pub(crate) fn forward(&mut self, to: P::Cell) {
        self.0 = Course::Forwarded(to);
    }
}
