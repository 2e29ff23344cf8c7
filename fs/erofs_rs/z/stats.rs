// SPDX-License-Identifier: GPL-2.0-only

//! What the reading of compressed files counts, for `/sys/fs/erofs_rs/DEVICE/stats`.

use core::fmt;
use erofs_chain::ClusterMode;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// A request for a pcluster, by its mode.
    Inflight,
    Hooked,
    FollowedNoInplace,
    Followed,
    /// Pages of files that took in compressed data, and pages that had to be allocated for that.
    InplaceIo,
    InplaceIoRefused,
    /// Pclusters that were decoded where they lay in their own output, or could not be.
    InplaceDecompress,
    InplaceDecompressRefused,
    /// Compressed pages that were kept from an earlier read.
    CacheHit,
    /// Pclusters that needed no read.
    Bypass,
    /// Compressed pages that were copied before they were decoded, as they were in the way.
    BouncePages,
    /// Pclusters decoded, and how many of them could not be.
    Decoded,
    Failed,
}

/// The names, in the order of [`Event`].
const NAMES: [&str; 13] = [
    "inflight",
    "hooked",
    "followed_noinplace",
    "followed",
    "inplace_io",
    "inplace_io_refused",
    "inplace_decompress",
    "inplace_decompress_refused",
    "cache_hits",
    "bypass",
    "bounce_pages",
    "decoded",
    "failed",
];

/// The counters of one mount.
pub(crate) struct Stats([Atomic<u64>; NAMES.len()]);

impl Stats {
    pub(crate) fn new() -> Self {
        Self([const { Atomic::new(0) }; NAMES.len()])
    }

    pub(crate) fn add(&self, event: Event, n: u64) {
        if n != 0 {
            self.0[event as usize].fetch_add(n, Relaxed);
        }
    }

    /// One `name value` a line.
    pub(crate) fn show(&self, to: &mut dyn fmt::Write) -> Result {
        for (name, value) in NAMES.iter().zip(&self.0) {
            writeln!(to, "{name} {}", value.load(Relaxed))?;
        }
        Ok(())
    }
}

impl From<ClusterMode> for Event {
    fn from(mode: ClusterMode) -> Self {
        match mode {
            ClusterMode::Inflight => Self::Inflight,
            ClusterMode::Hooked => Self::Hooked,
            ClusterMode::FollowedNoInplace => Self::FollowedNoInplace,
            ClusterMode::Followed => Self::Followed,
        }
    }
}
