// SPDX-License-Identifier: GPL-2.0-only

//! Chunk-based files: an array behind the xattr area has an entry for each chunk, either a block
//! address (4 bytes) or an index (8 bytes) that also names a device.
//!
//! C: `erofs_map_chunks()`.

use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use crate::{
    map::{
        Extent,
        Target, //
    },
    meta::{
        record,
        Area,
        BlockBits, //
    },
    super_block::wide,
    Error,
    Inode,
    Result,
    SuperBlock, //
};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIndex {
    startblk_hi: U16,
    device_id: U16,
    startblk_lo: U32,
}

const _: () = assert!(size_of::<RawIndex>() == 8);

/// The chunk format of an inode, of which all bits are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChunkFormat {
    /// The size of a chunk as a base-2 logarithm, 9 to 52.
    bits: u8,
    /// 8-byte indexes, not a map of 4-byte block addresses.
    indexes: bool,
    /// 48-bit block addresses in the indexes.
    wide: bool,
}

impl ChunkFormat {
    const BLKBITS: u16 = 0x1f;
    const INDEXES: u16 = 0x20;
    const BIT48: u16 = 0x40;

    /// # Errors
    ///
    /// `EOPNOTSUPP` if there are unknown bits.
    pub(crate) fn parse(block: BlockBits, format: u16) -> Result<Self> {
        if format & !(Self::BLKBITS | Self::INDEXES | Self::BIT48) != 0 {
            return Err(Error::ChunkFormat(format));
        }
        Ok(Self {
            bits: block.bits().wrapping_add((format & Self::BLKBITS) as u8),
            indexes: format & Self::INDEXES != 0,
            wide: format & Self::BIT48 != 0,
        })
    }

    /// The size of a chunk in bytes.
    pub fn chunk_size(self) -> u64 {
        1u64.wrapping_shl(u32::from(self.bits))
    }

    /// The size of an entry in bytes.
    pub fn entry_size(self) -> u32 {
        match self.indexes {
            true => 8,
            false => 4,
        }
    }

    /// The entry that `bytes` begin with.
    fn entry(self, bytes: &[u8], device_mask: u16) -> Result<Entry> {
        if !self.indexes {
            let addr = record::<U32>(bytes)?.get();

            return Ok(match addr {
                u32::MAX => Entry::Hole,
                _ => Entry::At {
                    device: 0,
                    block: u64::from(addr),
                },
            });
        }

        let raw: &RawIndex = record(bytes)?;
        let (hi, null_hi) = match self.wide {
            true => (raw.startblk_hi.get(), u16::MAX),
            false => (0, 0),
        };
        let block = wide(raw.startblk_lo, hi);

        Ok(match block == wide(U32::new(u32::MAX), null_hi) {
            true => Entry::Hole,
            false => Entry::At {
                device: raw.device_id.get() & device_mask,
                block,
            },
        })
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Entry {
    Hole,
    At { device: u16, block: u64 },
}

/// A lookup of the extent that a position of a chunk-based file is in.
///
/// Neighbouring chunks that are holes, or that follow each other on one device, are one extent, as
/// far as their entries are in the same block. The caller reads from [`ChunkLookup::wanted()`] and
/// hands the bytes to [`ChunkLookup::feed()`] until that gives the extent.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLookup {
    format: ChunkFormat,
    block: BlockBits,
    device_mask: u16,
    /// The entries that are still to be seen.
    area: Area,
    /// The chunk that the lookup begins with, as a file position.
    la: u64,
    /// The chunks that belong together, so far, and the first one's entry.
    run: u64,
    first: Entry,
    /// From `la` to the file's end, rounded up to a block.
    limit: u64,
}

impl ChunkLookup {
    /// A lookup of byte `la`, which is in the file.
    pub(crate) fn new(
        sb: &SuperBlock,
        inode: &Inode,
        format: ChunkFormat,
        la: u64,
    ) -> Result<Self> {
        let shift = u32::from(format.bits);
        let unit = u64::from(format.entry_size());
        let first = la.wrapping_shr(shift);
        let last = inode.size.saturating_sub(1).wrapping_shr(shift);
        let mask = unit.wrapping_sub(1);
        let pos = (inode.body_pos().saturating_add(mask) & !mask)
            .saturating_add(first.saturating_mul(unit));

        if pos > i64::MAX as u64 {
            return Err(Error::NidRange);
        }
        let la = first.wrapping_shl(shift);
        let entries = last.saturating_sub(first).saturating_add(1);
        let len = entries
            .saturating_mul(unit)
            .min(u64::from(sb.block.rest(pos)));

        Ok(Self {
            format,
            block: sb.block,
            device_mask: sb.device_id_mask(),
            area: Area {
                source: inode.source(),
                pos,
                len: len as u32,
            },
            la,
            run: 0,
            first: Entry::Hole,
            limit: sb.block.round_up(inode.size).saturating_sub(la),
        })
    }

    /// The entries that can still belong to the extent, within one block. The caller can read as few
    /// of them as it likes, but at least [`ChunkFormat::entry_size()`] bytes.
    pub fn wanted(&self) -> Area {
        self.area
    }

    /// Takes the entries in `bytes`, a begin of [`Self::wanted()`]. `None` means that all of them
    /// belong to the extent, and that the next can, too.
    ///
    /// # Errors
    ///
    /// `EIO` if `bytes` has less than one entry.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Extent>> {
        let unit = self.format.entry_size();
        let take = (self.area.len as usize).min(bytes.len());
        let mut entries = bytes.get(..take).unwrap_or(bytes);

        if entries.len() < unit as usize {
            return Err(Error::Short);
        }
        while let Some(rest) = entries.get(unit as usize..) {
            let entry = self.format.entry(entries, self.device_mask)?;

            if self.run == 0 {
                self.first = entry;
            } else if entry != self.expected() {
                return Ok(Some(self.extent()));
            }
            self.run = self.run.saturating_add(1);
            self.area = self.area.part(unit, self.area.len.saturating_sub(unit));
            entries = rest;
        }
        Ok((self.area.len < unit).then(|| self.extent()))
    }

    /// The bytes of the chunks that belong together.
    fn len(&self) -> u64 {
        self.run.saturating_mul(self.format.chunk_size())
    }

    /// What the next chunk's entry must be to belong to the extent.
    fn expected(&self) -> Entry {
        match self.first {
            Entry::Hole => Entry::Hole,
            Entry::At { device, block } => Entry::At {
                device,
                block: block.saturating_add(self.block.block(self.len())),
            },
        }
    }

    fn extent(&self) -> Extent {
        Extent {
            la: self.la,
            len: self.len().min(self.limit),
            target: match self.first {
                Entry::Hole => Target::Hole,
                Entry::At { device, block } => Target::Mapped {
                    device,
                    pa: self.block.pos(block),
                },
            },
        }
    }
}
