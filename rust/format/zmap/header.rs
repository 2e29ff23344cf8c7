// SPDX-License-Identifier: GPL-2.0-only

//! The map header: 8 bytes behind an inode's xattr area that say which table there is, and what is
//! to be known of the file's tail.
//!
//! C: `z_erofs_fill_inode()`.

use zerocopy::little_endian::{
    U16,
    U32,
    U64, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use super::{
    compact::Packs,
    extents::Records,
    index::{
        Form,
        Table, //
    },
    walk::{
        Head,
        HeadSearch, //
    },
    Ask,
    Coding,
    Window, //
};
use crate::{
    inode::Layout,
    meta::{
        record,
        Area,
        BlockBits,
        Source, //
    },
    super_block::{
        incompat,
        wide, //
    },
    Error,
    Inode,
    Result,
    SuperBlock, //
};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    /// The fragment's position, or the size of inline data in the upper half, or the number of
    /// extents.
    u: U32,
    advise: U16,
    /// The algorithms of first and second heads, 4 bits each; or, with `clusterbits`, bits 32..48
    /// of the number of extents.
    algorithms: u8,
    /// The lcluster size as a power of 2 blocks in 4 bits, and bit 7.
    clusterbits: u8,
}

const HEADER_SIZE: u32 = size_of::<RawHeader>() as u32;

const _: () = assert!(HEADER_SIZE == 8);

/// Between the header and full indexes.
const FULL_INDEX_GAP: u64 = 8;

/// Bit 63 of the header: the whole file is in the packed inode, and the other bits say where.
const PACKED: u64 = 1 << 63;

/// Bits of `advise`.
mod advise {
    /// Of compact indexes: there are packs of 16.
    pub(super) const COMPACTED_2B: u16 = 0x01;
    /// Otherwise: extent records.
    pub(super) const EXTENTS: u16 = 0x01;
    /// Of extent records: their size, as a power of 2 times 4, in bits 1 and 2.
    pub(super) const RECORD_SIZE_SHIFT: u32 = 1;
    pub(super) const BIG_PCLUSTER_1: u16 = 0x02;
    pub(super) const BIG_PCLUSTER_2: u16 = 0x04;
    pub(super) const INLINE_PCLUSTER: u16 = 0x08;
    pub(super) const INTERLACED_PCLUSTER: u16 = 0x10;
    pub(super) const FRAGMENT_PCLUSTER: u16 = 0x20;
}

/// What the map header of a compressed inode says, checked, and where the file's tail is. It does
/// not change: the caller can keep it with the inode.
#[derive(Clone, Copy, Debug)]
pub struct Header(pub(super) Map);

#[derive(Clone, Copy, Debug)]
pub(super) enum Map {
    /// The whole file is in the packed inode.
    Packed { pos: u64 },
    /// There are indexes.
    Indexes(Indexes),
    /// There are extent records.
    Records(Records),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Indexes {
    pub(super) table: Table,
    /// The algorithms of first and second heads.
    pub(super) algorithms: [Coding; 2],
    /// Plain data is interlaced.
    pub(super) interlaced: bool,
    pub(super) tail: Tail,
}

/// The last extent of a file, if it is not where others are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    /// It is.
    None,
    /// The extent that begins in lcluster `lcn` is behind the index of the file's last byte, within
    /// a block.
    Inline { lcn: u64, pos: u64, size: u16 },
    /// The extent that begins in lcluster `lcn` is in the packed inode.
    Fragment { lcn: u64, pos: u64 },
}

impl Indexes {
    /// The map of a file whose last extent was found; inline data is `behind` the index of the last
    /// byte.
    fn found(mut self, block: BlockBits, behind: u64, head: &Head) -> Result<Map> {
        self.tail = match self.tail {
            Tail::None => Tail::None,
            Tail::Inline { size, .. } if u32::from(size) > block.rest(behind) => {
                return Err(Error::InlineAcrossBlocks);
            }
            Tail::Inline { size, .. } => Tail::Inline {
                lcn: head.lcn,
                pos: behind,
                size,
            },
            Tail::Fragment { pos, .. } => {
                // Full indexes have room for the upper half, where other extents have a block.
                let hi = match self.table.form {
                    Form::Full { .. } => head.start.wrapping_shl(32),
                    Form::Compact(_) => 0,
                };
                let pos = pos | hi;

                if head.lcn == 0 {
                    return Ok(Map::Packed { pos });
                }
                Tail::Fragment { lcn: head.lcn, pos }
            }
        };
        Ok(Map::Indexes(self))
    }
}

impl Header {
    /// Whether the whole file is in the packed inode.
    pub fn is_packed(&self) -> bool {
        matches!(self.0, Map::Packed { .. })
    }

    /// Whether lookups add up sizes from checkpoints: [`Lookup::resume()`].
    ///
    /// [`Lookup::resume()`]: super::Lookup::resume
    pub fn is_summed(&self) -> bool {
        matches!(&self.0, Map::Records(records) if records.is_summed())
    }
}

/// A lookup of an inode's map header.
///
/// The caller reads from [`HeaderLookup::wanted()`] and hands the bytes to
/// [`HeaderLookup::feed()`] until that gives the header.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLookup {
    block: BlockBits,
    source: Source,
    /// Big pclusters are a feature of the image.
    big: bool,
    compact: bool,
    /// Where the header is.
    pos: u64,
    size: u64,
    area: Area,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Header(Ask),
    Tail(HeadSearch, Indexes),
}

impl HeaderLookup {
    /// # Errors
    ///
    /// `EUCLEAN` if the inode is not compressed, or beyond any device.
    pub fn new(sb: &SuperBlock, inode: &Inode) -> Result<Self> {
        let Layout::Compressed { compact } = inode.layout else {
            return Err(Error::NotCompressed);
        };
        let pos = inode.body_pos().saturating_add(7) & !7;
        let ask = Ask::new(pos, HEADER_SIZE, u64::from(HEADER_SIZE))?;
        let source = inode.source();

        Ok(Self {
            block: sb.block,
            source,
            big: sb.features.has(incompat::BIG_PCLUSTER),
            compact,
            pos,
            size: inode.size,
            area: ask.area(source, sb.block),
            step: Step::Header(ask),
        })
    }

    /// What is to be read, within one block: all of it, or its first [`RECORD_MAX`] bytes or more.
    ///
    /// [`RECORD_MAX`]: super::RECORD_MAX
    pub fn wanted(&self) -> Area {
        self.area
    }

    /// Takes the bytes that [`Self::wanted()`] begins with. `None` means that more are wanted.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if there is an unknown algorithm, `EUCLEAN` if header or tail cannot be,
    /// `EIO` if `bytes` are too few, and those of an index.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Header>> {
        let window = Window::new(self.area, self.ask(), bytes)?;

        while let Some(bytes) = window.get(self.ask()) {
            let map = match &mut self.step {
                Step::Header(_) => self.header(bytes)?,
                Step::Tail(search, indexes) => match search.take(bytes)? {
                    Some(head) => Some(indexes.found(self.block, search.behind, &head)?),
                    None => None,
                },
            };

            if let Some(map) = map {
                return Ok(Some(Header(map)));
            }
        }
        self.area = self.ask().area(self.source, self.block);
        Ok(None)
    }

    fn ask(&self) -> Ask {
        match &self.step {
            Step::Header(ask) => *ask,
            Step::Tail(search, _) => search.walk.ask(),
        }
    }

    /// Takes the header itself. `None` if the file's last extent is to be found.
    fn header(&mut self, bytes: &[u8]) -> Result<Option<Map>> {
        let whole = record::<U64>(bytes)?.get();
        if whole & PACKED != 0 {
            let pos = whole ^ PACKED;
            return Ok(Some(Map::Packed { pos }));
        }

        let raw: &RawHeader = record(bytes)?;
        let advise = raw.advise.get();
        let has = |bit| advise & bit != 0;
        let bits = self.block.bits().wrapping_add(raw.clusterbits & 15);
        let end = self.pos.saturating_add(u64::from(HEADER_SIZE));

        if !self.compact && has(advise::EXTENTS) {
            let hi = u16::from_le_bytes([raw.algorithms, raw.clusterbits]);

            return Ok(Some(Map::Records(Records::new(
                end,
                advise.wrapping_shr(advise::RECORD_SIZE_SHIFT) & 3,
                bits,
                wide(raw.u, hi),
                has(advise::INTERLACED_PCLUSTER),
                has(advise::FRAGMENT_PCLUSTER),
            ))));
        }

        let algorithm = |head: u8, number: u8| {
            Coding::from_algorithm(number).ok_or(Error::HeadAlgorithm { head, number })
        };
        let algorithms = [
            algorithm(1, raw.algorithms & 15)?,
            algorithm(2, raw.algorithms.wrapping_shr(4))?,
        ];
        let (big1, big2) = (has(advise::BIG_PCLUSTER_1), has(advise::BIG_PCLUSTER_2));

        if !self.big && (big1 || big2) {
            return Err(Error::BigPcluster);
        }
        if self.compact && big1 != big2 {
            return Err(Error::BigPclusterHeads);
        }

        let form = match self.compact {
            true => Form::Compact(Packs::new(
                end,
                self.block.blocks(self.size),
                has(advise::COMPACTED_2B),
            )),
            false => Form::Full {
                base: end.saturating_add(FULL_INDEX_GAP),
            },
        };
        let table = Table {
            form,
            bits,
            big1,
            big2,
        };
        let inline_size = raw.u.get().wrapping_shr(16) as u16;
        // Where it begins, and the inline data's position, are still to be found.
        let tail = if has(advise::FRAGMENT_PCLUSTER) {
            Tail::Fragment {
                lcn: 0,
                pos: u64::from(raw.u.get()),
            }
        } else if has(advise::INLINE_PCLUSTER) && inline_size != 0 {
            Tail::Inline {
                lcn: 0,
                pos: 0,
                size: inline_size,
            }
        } else {
            Tail::None
        };
        let indexes = Indexes {
            table,
            algorithms,
            interlaced: has(advise::INTERLACED_PCLUSTER),
            tail,
        };

        match (tail, self.size.checked_sub(1)) {
            (Tail::None, _) | (_, None) => Ok(Some(Map::Indexes(indexes))),
            (_, Some(last)) => {
                let search = HeadSearch::new(table, last, u64::MAX)?;

                self.step = Step::Tail(search, indexes);
                Ok(None)
            }
        }
    }
}
