// SPDX-License-Identifier: GPL-2.0-only

//! Indexes: what a table has for each lcluster of a file, and where it stands.
//!
//! C: `z_erofs_load_full_lcluster()`, `z_erofs_load_lcluster_from_disk()`.

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

use super::{
    compact,
    Ask, //
};
use crate::{
    meta::record,
    Error,
    Result, //
};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIndex {
    advise: U16,
    clusterofs: U16,
    /// The first block, or the distances to the heads: 16 bits before, 16 bits behind.
    u: U32,
}

const INDEX_SIZE: u32 = size_of::<RawIndex>() as u32;

const _: () = assert!(INDEX_SIZE == 8);

/// In the distance to the head: not a distance, which is 1, but the pcluster's number of blocks.
pub(super) const D0_CBLKCNT: u32 = 1 << 11;

/// Of which kind an extent is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Not compressed.
    Plain,
    /// Compressed by the inode's first algorithm.
    Head1,
    /// Compressed by the inode's second algorithm.
    Head2,
}

/// The type in the low two bits; `None`: no extent begins in the lcluster.
pub(super) fn kind(bits: u32) -> Option<Kind> {
    match bits & 3 {
        0 => Some(Kind::Plain),
        1 => Some(Kind::Head1),
        2 => None,
        _ => Some(Kind::Head2),
    }
}

/// What an index tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lcluster {
    /// An extent begins here.
    Head {
        kind: Kind,
        /// Where in the lcluster it begins.
        offset: u32,
        /// Its first block; `None` if it is a hole.
        start: Option<u32>,
        partial_ref: bool,
    },
    /// It all belongs to an extent that begins earlier.
    NonHead {
        /// How many lclusters ago that is.
        back: u32,
        /// How many lclusters it is to the next head, 0 if that was not asked for.
        ahead: u32,
        /// The number of blocks of the extent's pcluster.
        blocks: Option<u32>,
    },
}

/// How the indexes are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// One of 8 bytes for each lcluster.
    Full {
        /// Where they begin.
        base: u64,
    },
    /// Packs.
    Compact(compact::Packs),
}

/// The indexes of an inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) form: Form,
    /// The size of an lcluster as a base-2 logarithm, 9 to 27.
    pub(super) bits: u8,
    /// Pclusters can have more than a block: those of the first algorithm.
    pub(super) big1: bool,
    /// Those of the second one, and plain ones.
    pub(super) big2: bool,
}

/// An index in a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) lcn: u64,
    /// The record or the pack, and one more.
    pub(super) ask: Ask,
    /// The number of the index in its pack.
    pub(super) number: u32,
}

impl Spot {
    /// Where the next record or pack begins.
    pub(super) fn next(&self) -> u64 {
        self.ask.pos.saturating_add(u64::from(self.ask.need))
    }
}

impl Table {
    /// The position in the file at which lcluster `lcn` begins.
    pub(super) fn la(&self, lcn: u64) -> u64 {
        lcn.checked_shl(u32::from(self.bits)).unwrap_or(0)
    }

    /// The lcluster that byte `la` is in.
    pub(super) fn lcn(&self, la: u64) -> u64 {
        la.wrapping_shr(u32::from(self.bits))
    }

    /// Finds the index of lcluster `lcn`.
    ///
    /// # Errors
    ///
    /// Of compact indexes `EINVAL` if it is beyond them or the lclusters are too large at all,
    /// `EOPNOTSUPP` if they are too large for a pack of 16.
    pub(super) fn locate(&self, lcn: u64) -> Result<Spot> {
        match self.form {
            Form::Full { base } => {
                let pos = base.saturating_add(lcn.saturating_mul(u64::from(INDEX_SIZE)));

                Ok(Spot {
                    lcn,
                    ask: Ask::new(pos, INDEX_SIZE, u64::from(INDEX_SIZE.wrapping_mul(2)))?,
                    number: 0,
                })
            }
            Form::Compact(packs) => packs.locate(self.bits, lcn),
        }
    }

    /// Reads an index from its record or pack; where the next head is only if that is asked for.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if it cannot be.
    pub(super) fn parse(&self, spot: &Spot, bytes: &[u8], ahead: bool) -> Result<Lcluster> {
        let lcluster = match self.form {
            Form::Full { .. } => self.parse_full(record(bytes)?)?,
            Form::Compact(_) => compact::Pack::new(self, spot, bytes)?.index(spot.number, ahead)?,
        };

        match lcluster {
            Lcluster::Head { offset, .. } if offset.wrapping_shr(u32::from(self.bits)) != 0 => {
                Err(Error::ClusterOffset(spot.lcn))
            }
            _ => Ok(lcluster),
        }
    }

    fn parse_full(&self, raw: &RawIndex) -> Result<Lcluster> {
        const PARTIAL_REF: u16 = 1 << 15;
        const HOLE: u16 = 1 << 14;

        let advise = raw.advise.get();
        let u = raw.u.get();

        let Some(kind) = kind(u32::from(advise)) else {
            let back = u & 0xffff;
            let ahead = u.wrapping_shr(16);

            if back & D0_CBLKCNT == 0 {
                let blocks = None;
                return Ok(Lcluster::NonHead {
                    back,
                    ahead,
                    blocks,
                });
            }
            if !self.big1 && !self.big2 {
                return Err(Error::BlockCount);
            }
            return Ok(Lcluster::NonHead {
                back: 1,
                ahead,
                blocks: Some(back & !D0_CBLKCNT),
            });
        };

        Ok(Lcluster::Head {
            kind,
            offset: u32::from(raw.clusterofs.get()),
            start: (advise & HOLE == 0).then_some(u),
            partial_ref: advise & PARTIAL_REF != 0,
        })
    }
}
