// SPDX-License-Identifier: GPL-2.0-only

//! Chains of claims.

use core::mem;

use crate::{
    mode::ClusterMode,
    platform::{
        Cell,
        Item,
        List,
        NoMemory,
        Platform, //
    },
    state::{
        State,
        View, //
    },
};

/// Of a pcluster: the chain in which it is, if it is claimed. Guarded by the pcluster's mutex.
pub struct Seat<P: Platform>(Option<P::Cell>);

impl<P: Platform> Seat<P> {
    /// Of an idle pcluster.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Is the pcluster claimed?
    pub const fn is_taken(&self) -> bool {
        self.0.is_some()
    }

    /// Makes the pcluster idle. For its owner, once it is decoded and its outputs are consumed, before
    /// the mutex is unlocked.
    pub fn release(&mut self) {
        self.0 = None;
    }
}

impl<P: Platform> Default for Seat<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a reader claimed and has not submitted yet.
///
/// One call of `read_folio` or `readahead` has one. Dropping it with something in it is a mistake, and
/// fails the reads ([`Platform::abandon`]).
#[must_use = "what is claimed must be submitted"]
pub struct Chain<P: Platform> {
    own: Option<Own<P>>,
}

/// A chain that has claims.
struct Own<P: Platform> {
    /// What others see of it.
    cell: P::Cell,
    /// What the reader claimed since the chain began.
    claims: P::List,
}

impl<P: Platform> Chain<P> {
    /// An empty chain. Costs nothing before the first claim.
    pub const fn new() -> Self {
        Self { own: None }
    }

    /// Is there nothing to submit?
    pub const fn is_empty(&self) -> bool {
        self.own.is_none()
    }

    /// Claims `item`, whose seat is `seat`. The caller holds the pcluster's mutex, and no other one's.
    ///
    /// May sleep for memory. If there is none (`ENOMEM`), nothing has changed. Takes no further lock but
    /// where the pcluster is claimed by another chain and this one is not empty.
    pub fn claim(&mut self, item: &P::Item, seat: &mut Seat<P>) -> Result<ClusterMode, NoMemory> {
        let Some(theirs) = &mut seat.0 else {
            seat.0 = Some(self.push(item)?);
            return Ok(ClusterMode::Followed);
        };
        Ok(if self.hook(item, theirs) {
            ClusterMode::Hooked
        } else {
            ClusterMode::Inflight
        })
    }

    /// Closes the chain, and gives what is in it and what others have hooked to it, for submission.
    /// Does not sleep. Afterwards the chain is empty; a new one begins with the next claim.
    pub fn take(&mut self) -> Taken<P> {
        let Some(own) = self.own.take() else {
            return Taken::default();
        };
        let open = own.cell.with(State::close);
        Taken {
            claims: own.claims,
            hooked: open.map_or_else(P::List::default, |open| open.hooked),
        }
    }

    /// Adds an idle pcluster; gives the cell for its seat.
    fn push(&mut self, item: &P::Item) -> Result<P::Cell, NoMemory> {
        if let Some(own) = &mut self.own {
            own.claims.push(item.clone())?;
            return Ok(own.cell.clone());
        }
        let cell = P::Cell::new(State::open(item))?;
        let mut claims = P::List::default();
        claims.push(item.clone())?;
        self.own = Some(Own {
            cell: cell.clone(),
            claims,
        });
        Ok(cell)
    }

    /// Hands the chain to that of `item`, if that is its open tail. `seat` names a chain that `item` was in
    /// and is led on to where that has gone.
    fn hook(&mut self, item: &P::Item, seat: &mut P::Cell) -> bool {
        let Some(own) = &mut self.own else {
            return false;
        };
        // Ranks ascend, so this ends.
        let hooked_before = loop {
            if own.cell.same(seat) {
                return false;
            }
            match seat.with(|state| state.look(item.id())) {
                View::Forwarded(to) => *seat = to,
                View::Tail(hooked) => break hooked,
                View::Fixed => return false,
            }
        };
        let Some(mut open) = own.cell.with(State::leave) else {
            return false;
        };
        // From here on nobody else can find this chain open. What has changed in the other one since
        // has changed its tail, too.
        let hooked = open.may_join()
            && own.absorb(&mut open.hooked, hooked_before).is_ok()
            && seat.with(|state| state.hook(item.id(), &open, &mut own.claims));
        if hooked {
            let to = seat.clone();
            own.cell.with(|state| state.forward(to));
            self.own = None;
        } else {
            own.cell.with(|state| state.reopen(open));
        }
        hooked
    }
}

impl<P: Platform> Own<P> {
    /// Puts what was hooked to this chain with the claims, before which it belongs, and makes room for
    /// `more`.
    fn absorb(&mut self, hooked: &mut P::List, more: usize) -> Result<(), NoMemory> {
        if hooked.is_empty() {
            return self.claims.reserve(more);
        }
        hooked.reserve(self.claims.len().saturating_add(more))?;
        hooked.append(&mut self.claims)?;
        mem::swap(hooked, &mut self.claims);
        Ok(())
    }
}

impl<P: Platform> Default for Chain<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Drop for Chain<P> {
    fn drop(&mut self) {
        if !self.is_empty() {
            P::abandon(self.take());
        }
    }
}

/// What is to be submitted; as an iterator, in the order of decoding.
///
/// No pcluster may be decoded before one ahead of it that borrows a page in which both have pieces.
/// Where no page is shared in place, the order does not matter, and the list can be cut.
#[must_use = "what is claimed must be submitted"]
pub struct Taken<P: Platform> {
    /// What the reader claimed; decoded first, from the end.
    pub claims: P::List,
    /// What others hooked to it; decoded then, from the end.
    pub hooked: P::List,
}

impl<P: Platform> Default for Taken<P> {
    fn default() -> Self {
        Self {
            claims: P::List::default(),
            hooked: P::List::default(),
        }
    }
}

impl<P: Platform> Iterator for Taken<P> {
    type Item = P::Item;

    fn next(&mut self) -> Option<P::Item> {
        self.claims.pop().or_else(|| self.hooked.pop())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.claims.len().saturating_add(self.hooked.len());
        (len, Some(len))
    }
}

impl<P: Platform> ExactSizeIterator for Taken<P> {}
