// SPDX-License-Identifier: GPL-2.0-only

//! Blocks, node numbers and ranges of metadata.

use zerocopy::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use crate::{
    Error,
    Result, //
};

/// The size of a slot that an inode number counts, as a base-2 logarithm.
const SLOT_BITS: u32 = 5;

/// Bit 63 of a nid: the inode is in the metabox inode's data.
const NID_METABOX: u64 = 1 << 63;

/// The size of a block, 512 bytes up to a page; from a checked superblock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockBits(u8);

impl BlockBits {
    /// The smallest block has 512 bytes; `max` is the base-2 logarithm of the largest.
    pub(crate) fn new(bits: u8, max: u8) -> Result<Self> {
        // No page is larger than 2 MiB, and no shift below can lose its meaning.
        if (9..=max.min(21)).contains(&bits) {
            Ok(Self(bits))
        } else {
            Err(Error::BlockBits(bits))
        }
    }

    /// The base-2 logarithm of the block size.
    #[inline]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The block size in bytes.
    #[inline]
    pub fn size(self) -> u32 {
        1u32.wrapping_shl(u32::from(self.0))
    }

    #[inline]
    fn mask(self) -> u64 {
        u64::from(self.size()).wrapping_sub(1)
    }

    /// The position of block `blk`, which has 48 bits at most.
    #[inline]
    pub fn pos(self, blk: u64) -> u64 {
        blk.wrapping_shl(u32::from(self.0))
    }

    /// The block in which byte `pos` is.
    #[inline]
    pub fn block(self, pos: u64) -> u64 {
        pos.wrapping_shr(u32::from(self.0))
    }

    /// Where in its block byte `pos` is.
    #[inline]
    pub fn offset(self, pos: u64) -> u32 {
        (pos & self.mask()) as u32
    }

    /// The first block boundary at or after `pos`.
    #[inline]
    pub fn round_up(self, pos: u64) -> u64 {
        pos.saturating_add(self.mask()) & !self.mask()
    }

    /// How many blocks `size` bytes take.
    #[inline]
    pub fn blocks(self, size: u64) -> u64 {
        self.block(self.round_up(size))
    }

    /// How many bytes there are from `pos` to the end of its block.
    #[inline]
    pub fn rest(self, pos: u64) -> u32 {
        self.size().wrapping_sub(self.offset(pos))
    }
}

/// A node number, as directory entries hold it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nid(pub u64);

impl Nid {
    /// Whether the inode is in the metabox inode's data, not on the device.
    #[inline]
    pub fn in_metabox(self) -> bool {
        self.0 & NID_METABOX != 0
    }

    /// The position of the inode from the start of the metadata area (or of the metabox).
    pub(crate) fn offset(self) -> Result<u64> {
        let slot = self.0 & !NID_METABOX;

        // A file offset is signed: what follows can add to this without overflow.
        if slot > (i64::MAX as u64).wrapping_shr(SLOT_BITS) {
            return Err(Error::NidRange);
        }
        Ok(slot.wrapping_shl(SLOT_BITS))
    }
}

/// What metadata is read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The primary device.
    Device,
    /// The data of the metabox inode ([`SuperBlock::metabox_nid`]).
    ///
    /// [`SuperBlock::metabox_nid`]: crate::SuperBlock::metabox_nid
    Metabox,
    /// The data of the packed inode ([`SuperBlock::packed_nid`]).
    ///
    /// [`SuperBlock::packed_nid`]: crate::SuperBlock::packed_nid
    Packed,
}

/// A range of metadata that the caller is to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Area {
    /// What to read from.
    pub source: Source,
    /// The first byte.
    pub pos: u64,
    /// The number of bytes.
    pub len: u32,
}

impl Area {
    /// The `len` bytes that begin `skip` bytes after this area's begin.
    #[inline]
    pub(crate) fn part(self, skip: u32, len: u32) -> Self {
        Self {
            source: self.source,
            pos: self.pos.saturating_add(u64::from(skip)),
            len,
        }
    }
}

/// The record that `bytes` begin with.
#[inline]
pub(crate) fn record<T>(bytes: &[u8]) -> Result<&T>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    match T::ref_from_prefix(bytes) {
        Ok((record, _)) => Ok(record),
        Err(_) => Err(Error::Short),
    }
}
