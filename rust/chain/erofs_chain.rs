// SPDX-License-Identifier: GPL-2.0-only

//! Who reads and decodes a compressed cluster (pcluster).
//!
//! Readers claim the pclusters that they need. The first one to claim an idle pcluster owns its I/O
//! and its decoding, and so completes what everybody wants of it; the others add their output and
//! wait. What one reader claimed is its [`Chain`]; [`ClusterMode`] is what a claim came to, and which pages may
//! be used for in-place I/O because of it. `Documentation/compression.md` draws the states and has the arguments
//! at length.
//!
//! | module   | what                                                    |
//! |----------|---------------------------------------------------------|
//! | [`mode`] | the cluster modes and their rules of in-place I/O       |
//! | `chain`  | chains, seats, and how one chain is hooked to another   |
//! | `state`  | what readers share of a chain, and its one legal course |
//!
//! There is no I/O, no allocation, no lock and no panic in this crate, and the compiler forbids
//! `unsafe`. It is generic over a [`Platform`], so that the model checker of `tests/model.rs` runs
//! the very source that the kernel module compiles.
//!
//! # How it is used
//!
//! A reader locks a pcluster's mutex, claims it with [`Chain::claim`], adds its output to it under the
//! same mutex, and goes on to the next one. At last it calls [`Chain::take`], submits the I/O of what
//! that gives, and decodes it in the order that [`Taken`] gives, when the I/O is complete. The decoder
//! of a pcluster takes the mutex, consumes the outputs, and calls [`Seat::release`] before it
//! unlocks: a reader that comes later finds it idle and claims it anew.
//!
//! Between its first claim and `take` a reader must not wait for a pcluster to be decoded, since it may be in
//! its own chain, or in that of a reader that waits in the same manner. A nested read (of the packed
//! inode) is such a wait: take and submit first.
//!
//! # Invariants
//!
//! 1. *One owner.* A pcluster is in one chain from its claim to its release, and in no other: its
//!    seat is taken exactly so long, and only the pcluster's mutex lets one look at the seat.
//! 2. *Nothing is lost.* What was claimed is either in the private list of its reader or in what
//!    was hooked to an open chain, and each open chain is taken. `Chain`'s drop sees to it.
//! 3. *The order is kept.* Two pclusters that one reader claimed as [`Followed`](ClusterMode::Followed)
//!    one after the other, or the second one as [`Hooked`](ClusterMode::Hooked), are decoded in the same chain, the
//!    second one before the first.
//! 4. *No ring.* A chain is forwarded while it is itself out of circulation, once, and only to an
//!    open chain, which gets a greater rank by it. Ranks of chains that are not open never change,
//!    and those of open ones only grow: along forwards, ranks ascend.
//! 5. *Bounded.* No rank exceeds a small number. So does no search for the chain that a
//!    pcluster is in now, and no recursion when the last seat that names a forwarded chain is
//!    released.
//!
//! Lock order: the pcluster's mutex, then the lock of one cell. No two cells are locked at once,
//! nothing sleeps, allocates or is dropped in a cell's lock.

// kbuild passes `no_std` itself.
#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod chain;
pub mod mode;
mod platform;
mod state;

pub use crate::{
    chain::{
        Chain,
        Seat,
        Taken, //
    },
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
        MAX_RANK, //
    },
};
