// SPDX-License-Identifier: GPL-2.0-only

//! What the reading of compressed files counts, for `/sys/fs/erofs_rs/DEVICE/stats`.

use core::fmt;
use erofs_chain::ClusterMode;
use kernel::prelude::*;
use vfs::percpu::Counters;

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
pub(crate) struct Stats(Counters<{ NAMES.len() }>);

impl Stats {
    /// `ENOMEM`. May sleep.
    pub(crate) fn new() -> Result<Self> {
        Counters::new().map(Self)
    }

    pub(crate) fn add(&self, event: Event, n: usize) {
        if n != 0 {
            self.0.add(event as usize, n);
        }
    }

    /// One `name value` a line.
    pub(crate) fn show(&self, to: &mut dyn fmt::Write) -> Result {
        for (index, name) in NAMES.iter().enumerate() {
            writeln!(to, "{name} {}", self.0.sum(index))?;
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
