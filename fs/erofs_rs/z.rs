// SPDX-License-Identifier: GPL-2.0-only

//! Compressed files.
//!
//! | file | concern |
//! | --- | --- |
//! | `map.rs` | where the bytes of a compressed file lie |
//! | `reader.rs` | from folios to chains of pclusters |
//! | `reader/fragment.rs` | what is in the packed inode |
//! | `pcluster.rs` | compressed data, and who waits for what it decodes to |
//! | `chain.rs` | chains of pclusters, for `erofs_chain` |
//! | `table.rs` | the pclusters that are known of a mount |
//! | `submit.rs` | from a chain to reads, and from their end to decoding |
//! | `decode.rs` | from compressed pages to folios |
//! | `cache.rs` | letting go what is kept |
//! | `report.rs` | fiemap, `SEEK_HOLE`, `SEEK_DATA` |
//! | `config.rs` | what an image needs of the kernel to be decoded |
//! | `stats.rs` | what is counted of all that |
//!
//! `Documentation/compression.md` tells how they work together.

mod cache;
mod chain;
mod config;
mod decode;
mod map;
mod pcluster;
mod reader;
mod report;
mod stats;
mod submit;
mod table;

pub(crate) use self::{
    map::Known,
    reader::Decoded,
    report::Extents, //
};

use self::{
    config::Decoders,
    pcluster::Pcluster,
    stats::Stats,
    table::Table, //
};
use crate::Erofs;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use vfs::{
    codec::Contexts,
    log::Names,
    lru::Lru,
    registrar::Registrar,
    shrinker::Shrink,
    super_block::NewSuperBlock,
    workqueue::{
        Priority,
        Queues, //
    }, //
};

/// What all mounts share: memory for decoding, compressed data that is kept, and workers.
pub(crate) struct Global {
    kept: Arc<Lru<Pcluster>>,
    contexts: Arc<Contexts>,
    workers: Queues,
}

/// What memory reclaim asks of decoders.
struct ReclaimContexts(Arc<Contexts>);

impl Shrink for ReclaimContexts {
    fn count(&self) -> usize {
        self.0.count()
    }

    fn scan(&self, pages: usize) -> usize {
        self.0.shrink(pages)
    }
}

impl Global {
    pub(crate) fn new(registrar: &mut Registrar) -> Result<Self> {
        let contexts = Contexts::new()?;
        registrar.shrinker(c"erofs_rs-codecs", ReclaimContexts(contexts.clone()))?;
        Ok(Self {
            kept: registrar.lru(c"erofs_rs-kept")?,
            contexts,
            workers: Queues {
                // What was read by a device.
                interrupt: registrar.queue(c"erofs_rs", Priority::High)?,
                // What was read by a task, such as that of a loop device, or of dm-verity: as soon
                // as that one would do it. A reader of the first pclusters gets to join the last
                // ones, which it would have decoded once more.
                task: registrar.queue(c"erofs_rs-usual", Priority::Normal)?,
            },
        })
    }
}

/// What the compressed files of one mount have in common. It can outlive the mount for a moment, in
/// the hands of a worker.
pub(crate) struct Shared {
    pub(crate) stats: Stats,
    table: Arc<Table>,
    decoders: Decoders,
    workers: Queues,
    names: Names,
    /// Block size of the image, in bytes.
    block: u32,
}

impl Shared {
    /// Whether what is read fills pages: smaller blocks may end within one.
    fn has_whole_pages(&self) -> bool {
        self.block as usize == PAGE_SIZE
    }
}

/// Compressed data of a mount.
pub(crate) struct Mounted {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.shared.table.close();
    }
}

impl Mounted {
    /// For an image that has compressed files. Errors are those of its configuration, and `ENOMEM`.
    pub(crate) fn new(
        sb: &NewSuperBlock<'_, Erofs>,
        format: &erofs_format::SuperBlock,
    ) -> Result<Self> {
        let global = sb.global();
        let shared = Arc::new(
            Shared {
                stats: Stats::new()?,
                table: Table::new(global.kept.clone())?,
                decoders: Decoders::read(sb, format, &global.contexts)?,
                workers: global.workers,
                names: Names::of(sb)?,
                block: format.block.size(),
            },
            GFP_KERNEL,
        )?;
        Ok(Self { shared })
    }
}
