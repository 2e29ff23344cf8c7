// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of a compressed file are.
//!
//! A file is divided into extents; each is one piece of data, a pcluster, encoded on its own. Three
//! kinds of tables tell where they are:
//!
//! | table           | what it holds                                                 | module      |
//! |-----------------|---------------------------------------------------------------|-------------|
//! | full indexes    | 8 bytes for each lcluster, a fixed part of the file           | [`index`]   |
//! | compact indexes | the same in packs of 2 or 16, 4 or 2 bytes each               | [`compact`] |
//! | extent records  | 4, 8, 16 or 32 bytes for each extent                          | [`extents`] |
//!
//! The caller first runs a [`HeaderLookup`], once for an inode, then a [`Lookup`] for each position.
//! Behind a file's end no header is needed: [`behind_end()`].
//!
//! C: `z_erofs_map_blocks_iter()`, `z_erofs_map_sanity_check()`.

mod compact;
pub mod config;
mod extents;
mod header;
mod index;
mod lookup;
mod walk;

pub use self::{
    extents::Checkpoint,
    header::{
        Header,
        HeaderLookup, //
    },
    lookup::{
        Lookup,
        Plan, //
    },
};

use crate::{
    meta::{
        Area,
        BlockBits,
        Source, //
    },
    super_block::incompat,
    Error,
    Inode,
    Result,
    SuperBlock, //
};

/// The largest encoded size of a pcluster, in bytes.
pub const PCLUSTER_MAX_SIZE: u32 = 1 << 20;

/// The largest decoded size of a pcluster, in bytes.
pub const PCLUSTER_MAX_DSIZE: u64 = 12 << 20;

/// No record is longer, in bytes: a caller that reads this much of an area gets on.
pub const RECORD_MAX: u32 = 32;

/// Block addresses have fewer bits.
const ADDRESS_BITS: u32 = 48;

/// How much of an extent the caller wants to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Want {
    /// Where the extent is, and its length as far as that is known without a further record.
    Read,
    /// The whole length too if the algorithm is one that has to decode from the begin on.
    ReadMore,
    /// The whole length.
    Fiemap,
}

/// How the data of an extent is encoded.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Coding {
    /// Not at all: it is as in the file.
    Shifted,
    /// Not at all, but rotated so that its pages are the file's pages.
    Interlaced,
    /// LZ4, at the end of its blocks.
    Lz4,
    /// LZ4 in an image without [`LZ4_0PADDING`], at the beginning of its blocks: the stream ends where
    /// the extent is complete, and what follows in the last block is not part of it.
    ///
    /// [`LZ4_0PADDING`]: crate::super_block::incompat::LZ4_0PADDING
    Lz4Unpadded,
    /// MicroLZMA.
    Lzma,
    /// DEFLATE.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// From the number that an image gives to an algorithm. LZ4 counts as padded; [`Limits`] knows
    /// the image.
    pub(crate) fn from_algorithm(number: u8) -> Option<Self> {
        Some(match number {
            0 => Coding::Lz4,
            1 => Coding::Lzma,
            2 => Coding::Deflate,
            3 => Coding::Zstd,
            _ => return None,
        })
    }

    /// The algorithm's number in images; `None` if the data is not compressed.
    pub fn algorithm(self) -> Option<u8> {
        Some(match self {
            Coding::Shifted | Coding::Interlaced => return None,
            Coding::Lz4 | Coding::Lz4Unpadded => 0,
            Coding::Lzma => 1,
            Coding::Deflate => 2,
            Coding::Zstd => 3,
        })
    }

    /// Whether data is decoded as a stream: a part costs about what all before it costs.
    fn is_stream(self) -> bool {
        matches!(self, Coding::Lzma | Coding::Deflate | Coding::Zstd)
    }
}

/// A part of a compressed file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ZExtent {
    /// Where it begins in the file. Behind the file's end it is the end.
    pub la: u64,
    /// Its length. Together with `la` it contains the position that was asked for, but can end
    /// behind the file's end.
    pub len: u64,
    /// Whether `len` is the whole length; the extent may go on otherwise.
    pub full: bool,
    /// Where it is.
    pub place: ZPlace,
}

/// Where an extent of a compressed file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ZPlace {
    /// Nowhere: it reads as zeros.
    Hole,
    /// In the data of the packed inode, as in the file.
    Fragment {
        /// The position of the extent's first byte there. Not checked against its size.
        pos: u64,
    },
    /// In a pcluster.
    Mapped(Cluster),
}

/// A pcluster. The algorithm is one that the superblock names, the encoded size is not 0 and at most
/// [`PCLUSTER_MAX_SIZE`], the extent's length is at most [`PCLUSTER_MAX_DSIZE`], and it ends below
/// block 2^48.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cluster {
    /// Its position in bytes.
    pub pa: u64,
    /// Its encoded size in bytes.
    pub len: u32,
    /// How it is encoded.
    pub algorithm: Coding,
    /// Whether it can hold more than the extent: its decoded size is not known.
    pub partial_ref: bool,
    /// If it is in the metadata, within one block: in which. `pa` is a position there.
    pub inline: Option<Source>,
}

/// What is behind a file's end: a hole.
pub fn behind_end(inode: &Inode, la: u64) -> Option<ZExtent> {
    Some(ZExtent {
        la: inode.size,
        len: la.checked_sub(inode.size)?.saturating_add(1),
        full: true,
        place: ZPlace::Hole,
    })
}

/// What the checks of an extent need to know.
#[derive(Clone, Copy, Debug)]
struct Limits {
    block: BlockBits,
    algorithms: u16,
    /// LZ4 data is [`Coding::Lz4Unpadded`].
    unpadded: bool,
    /// The file's size.
    size: u64,
}

impl Limits {
    fn new(sb: &SuperBlock, inode: &Inode) -> Self {
        Self {
            block: sb.block,
            algorithms: sb.algorithms,
            unpadded: !sb.features.has(incompat::LZ4_0PADDING),
            size: inode.size,
        }
    }

    /// Lets an extent pass that can be read, and tells the two forms of LZ4 apart. The order of the
    /// checks is C's.
    fn check(&self, mut extent: ZExtent) -> Result<ZExtent> {
        let ZPlace::Mapped(cluster) = &mut extent.place else {
            return Ok(extent);
        };

        if self.unpadded && cluster.algorithm == Coding::Lz4 {
            cluster.algorithm = Coding::Lz4Unpadded;
        }
        let cluster = *cluster;
        let plen = u64::from(cluster.len);

        match cluster.algorithm.algorithm() {
            Some(number) => {
                let whole = extent.full && !cluster.partial_ref;

                if self.algorithms & 1u16.wrapping_shl(u32::from(number)) == 0 {
                    return Err(Error::AbsentAlgorithm(number));
                }
                if whole && extent.len < plen && extent.la.saturating_add(extent.len) < self.size {
                    return Err(Error::TooMuchCompressed(extent.la));
                }
            }
            None if extent.len > plen => return Err(Error::NotEnoughPlain(extent.la)),
            None => {}
        }
        if cluster.len > PCLUSTER_MAX_SIZE || extent.len > PCLUSTER_MAX_DSIZE {
            return Err(Error::PclusterSize(extent.la));
        }
        match cluster.pa.checked_add(plen) {
            Some(end) if self.block.block(end).wrapping_shr(ADDRESS_BITS) == 0 => Ok(extent),
            _ => Err(Error::PclusterAddress(cluster.pa)),
        }
    }
}

/// A record that a lookup needs next.
#[derive(Clone, Copy, Debug)]
struct Ask {
    pos: u64,
    /// Its length; 32 at most. It does not cross a block's end.
    need: u32,
    /// The length of all that can be of use behind `pos`.
    most: u64,
}

impl Ask {
    /// A record in a table that can be there: its position is a file offset.
    fn new(pos: u64, need: u32, most: u64) -> Result<Self> {
        if pos > i64::MAX as u64 {
            return Err(Error::NidRange);
        }
        Ok(Self { pos, need, most })
    }

    /// What the caller is to read: nothing beyond the block.
    fn area(self, source: Source, block: BlockBits) -> Area {
        Area {
            source,
            pos: self.pos,
            len: self.most.min(u64::from(block.rest(self.pos))) as u32,
        }
    }
}

/// Bytes that the caller has read.
#[derive(Clone, Copy)]
struct Window<'a> {
    pos: u64,
    bytes: &'a [u8],
}

impl<'a> Window<'a> {
    /// What was read from `area` on, which is asked for.
    ///
    /// # Errors
    ///
    /// `EIO` if it is less than `ask` needs.
    fn new(area: Area, ask: Ask, bytes: &'a [u8]) -> Result<Self> {
        let window = Self {
            pos: area.pos,
            bytes: bytes.get(..area.len as usize).unwrap_or(bytes),
        };

        match window.get(ask) {
            Some(_) => Ok(window),
            None => Err(Error::Short),
        }
    }

    /// The record that is asked for and all bytes behind it; `None` if it was not read.
    fn get(&self, ask: Ask) -> Option<&'a [u8]> {
        let skip = usize::try_from(ask.pos.checked_sub(self.pos)?).ok()?;

        self.bytes
            .get(skip..)
            .filter(|rest| rest.len() >= ask.need as usize)
    }
}
