// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of uncompressed files lie.

use crate::{
    super_block::{
        self,
        fault_at, //
    },
    trace,
    Erofs, //
};
use core::ops::Range;
use erofs_format::{
    chunk::ChunkLookup,
    map::{
        map_blocks,
        Extent,
        Plan,
        Target, //
    },
    meta::Source, //
};
use kernel::prelude::*;
use vfs::{
    inode::Inode,
    iomap::{
        Mapping,
        Operations,
        Place, //
    },
    super_block::SuperBlock, //
};

/// How many bytes of chunk indexes are looked at in one go.
const INDEXES: usize = 128;

/// The mapping of uncompressed files.
pub(crate) struct Data;

impl Operations for Data {
    type FileSystem = Erofs;

    fn map(inode: &Inode<Erofs>, pos: u64, len: u64) -> Result<Mapping<'_>> {
        let sb = inode.super_block();
        let info = sb.data();
        let fault = |e| fault_at(sb, inode.data().nid, e);
        let extent = find(inode, pos, len)?;
        let place = match extent.target {
            Target::Hole => Place::Hole,
            Target::Mapped { device, pa } => {
                let (device, addr) = info.map_dev(device, pa).map_err(fault)?;
                Place::Device {
                    device: sb.device(device),
                    addr,
                }
            }
            Target::Inline(area) => Place::Inline {
                meta: super_block::meta(sb, area.source)?,
                pos: area.pos,
                device: inline_address(sb, area.source, area.pos).map_err(fault)?,
            },
        };
        Ok(Mapping {
            offset: extent.la,
            length: extent.len,
            place,
        })
    }

    fn on_read_folio(inode: &Inode<Erofs>, range: impl FnOnce() -> Range<u64>) {
        trace::read_folio(inode, range, true);
    }

    fn on_readahead(inode: &Inode<Erofs>, range: impl FnOnce() -> Range<u64>) {
        trace::readahead(inode, range, true);
    }
}

/// The device address of inline data; what is in the metabox has none.
fn inline_address(
    sb: &SuperBlock<Erofs>,
    source: Source,
    pos: u64,
) -> erofs_format::Result<Option<(Option<vfs::bdev::BlockDevice<'_>>, u64)>> {
    if source != Source::Device {
        return Ok(None);
    }
    let (device, addr) = sb.data().map_dev(0, pos)?;
    Ok(Some((sb.device(device), addr)))
}

/// The extent that byte `pos` of `inode` is in, `len` bytes of which are wanted. May sleep.
pub(crate) fn find(inode: &Inode<Erofs>, pos: u64, len: u64) -> Result<Extent> {
    trace::map_blocks_enter(inode, pos, len);
    let found = find_extent(inode, pos, len);
    trace::map_blocks_exit(inode, pos, len, &found);
    found
}

fn find_extent(inode: &Inode<Erofs>, pos: u64, len: u64) -> Result<Extent> {
    let sb = inode.super_block();
    let plan = map_blocks(&sb.data().format, inode.data(), pos);
    match plan.map_err(|e| fault_at(sb, inode.data().nid, e))? {
        Plan::Chunks(lookup) => find_chunks(inode, lookup),
        // All the way, as far as anyone asks.
        Plan::Extent(hole) if hole.target == Target::Hole => Ok(Extent { len, ..hole }),
        Plan::Extent(extent) => Ok(extent),
    }
}

fn find_chunks(inode: &Inode<Erofs>, mut lookup: ChunkLookup) -> Result<Extent> {
    let sb = inode.super_block();
    let mut meta = super_block::meta(sb, lookup.wanted().source)?;
    let mut buffer = [0; INDEXES];
    loop {
        let area = lookup.wanted();
        let bytes = &mut buffer[..INDEXES.min(area.len as usize)];
        meta.read(area.pos, bytes)?;
        let found = lookup.feed(bytes);
        if let Some(extent) = found.map_err(|e| fault_at(sb, inode.data().nid, e))? {
            return Ok(extent);
        }
    }
}
