// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of an uncompressed file are.
//!
//! C: `erofs_map_blocks()`.

use crate::{
    chunk::ChunkLookup,
    inode::Layout,
    meta::Area,
    Error,
    Inode,
    Result,
    SuperBlock, //
};

/// A part of a file that is in one piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extent {
    /// Where it begins in the file, at or before the position that was asked for.
    pub la: u64,
    /// Its length; it contains the position that was asked for. The last block of a file counts
    /// fully, so an extent can end behind the file's end; a hole can be without end.
    pub len: u64,
    /// Where it is.
    pub target: Target,
}

/// Where an extent is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Nowhere: it reads as zeros.
    Hole,
    /// On a device, of which [`map_dev()`] finds the right one.
    ///
    /// [`map_dev()`]: crate::device::map_dev
    Mapped {
        /// The device's number in the image, 0 for the primary one.
        device: u16,
        /// The position there, in bytes.
        pa: u64,
    },
    /// In the metadata, beside the inode, within one block.
    Inline(Area),
}

/// What [`map_blocks()`] found.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// The extent.
    Extent(Extent),
    /// It is to be looked up in the file's chunk entries.
    Chunks(ChunkLookup),
}

/// Finds the extent that byte `la` of a file is in; behind the file's end there is a hole.
///
/// # Errors
///
/// `EOPNOTSUPP` if the file is compressed, `EUCLEAN` if its inline data goes over a block's end.
pub fn map_blocks(sb: &SuperBlock, inode: &Inode, la: u64) -> Result<Plan> {
    let hole = Extent {
        la,
        len: (i64::MAX as u64).saturating_sub(la),
        target: Target::Hole,
    };

    if inode.is_compressed() {
        return Err(Error::Compressed);
    }
    if la >= inode.size {
        return Ok(Plan::Extent(hole));
    }

    let blocks = sb.block.blocks(inode.size);
    let (start, blocks) = match inode.layout {
        Layout::Chunk(format) => {
            return ChunkLookup::new(sb, inode, format, la).map(Plan::Chunks);
        }
        Layout::Plain { start: None } => return Ok(Plan::Extent(hole)),
        Layout::Plain { start: Some(start) } => (start, blocks),
        Layout::Inline { start } => (start, blocks.saturating_sub(1)),
        Layout::Compressed { .. } => return Err(Error::Compressed),
    };

    let end = sb.block.pos(blocks);
    if la < end {
        return Ok(Plan::Extent(Extent {
            la,
            len: end.saturating_sub(la),
            target: Target::Mapped {
                device: 0,
                pa: sb.block.pos(start).saturating_add(la),
            },
        }));
    }

    // Less than a block is left, or just one.
    let pos = inode
        .body_pos()
        .saturating_add(u64::from(sb.block.offset(la)));
    let len = inode.size.saturating_sub(la);
    if len > u64::from(sb.block.rest(pos)) {
        return Err(Error::InlineAcrossBlocks);
    }
    Ok(Plan::Extent(Extent {
        la,
        len,
        target: Target::Inline(Area {
            source: inode.source(),
            pos,
            len: len as u32,
        }),
    }))
}
