// SPDX-License-Identifier: GPL-2.0-only

//! Compact indexes: packs of 2 (8 bytes) or 16 (32 bytes) with one block address each.
//!
//! ```text
//! | 8 | 8 | ... up to a multiple of 32 | 32 | 32 | ... | 8 | 8 | ...
//!
//! pack: | index 0 | index 1 | ... | u32 address |      index: | type, 2 bits | value, low bits |
//! ```
//!
//! C: `z_erofs_load_compact_lcluster()`.

use zerocopy::little_endian::U32;

use super::{
    index::{
        kind,
        Kind,
        Lcluster,
        Spot,
        Table,
        D0_CBLKCNT, //
    },
    Ask,
};
use crate::{
    meta::record,
    Error,
    Result, //
};

/// The bytes of the address at the end of a pack.
const ADDRESS_SIZE: u32 = 4;

/// A value has at least as many bits as [`D0_CBLKCNT`] needs.
const VALUE_BITS_MIN: u32 = D0_CBLKCNT.ilog2() + 1;

/// Where the packs are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packs {
    /// Where the first one begins, a multiple of 8.
    base: u64,
    /// The number of indexes.
    total: u32,
    /// The indexes in packs of 2 before the packs of 16 begin, at most 7.
    first: u32,
    /// The indexes in packs of 16.
    middle: u32,
}

impl Packs {
    /// The packs at `base` of a file of `blocks` blocks, with packs of 16 or only packs of 2.
    pub(super) fn new(base: u64, blocks: u64, sixteens: bool) -> Self {
        // As in C, the count has 32 bits.
        let total = blocks as u32;
        let first = 8u32
            .wrapping_sub((base as u32 % 32).wrapping_shr(2))
            .wrapping_rem(8);
        let middle = match sixteens {
            true => total.saturating_sub(first) & !15,
            false => 0,
        };

        Self {
            base,
            total,
            first,
            middle,
        }
    }

    pub(super) fn locate(&self, bits: u8, lcn: u64) -> Result<Spot> {
        let Some(index) = u32::try_from(lcn).ok().filter(|&n| n < self.total) else {
            return Err(Error::IndexRange(lcn));
        };
        if bits > 14 {
            return Err(Error::LclusterSize(bits));
        }

        // Bytes of what precedes the index, if it is in packs of 2 at the begin.
        let (first, middle) = (u64::from(self.first), u64::from(self.middle));
        let (before, index, pack) = match index.checked_sub(self.first) {
            None => (0, u64::from(index), 2u32),
            Some(rest) => match rest.checked_sub(self.middle) {
                None => (first.wrapping_mul(4), u64::from(rest), 16),
                Some(rest) => (
                    first.wrapping_mul(4).wrapping_add(middle.wrapping_mul(2)),
                    u64::from(rest),
                    2,
                ),
            },
        };
        if pack == 16 && bits > 12 {
            return Err(Error::LclusterPack(bits));
        }

        let (size, unit) = match pack {
            16 => (32u32, 2u64),
            _ => (8, 4),
        };
        let pos = self
            .base
            .saturating_add(before)
            .saturating_add(index.wrapping_mul(unit));
        let mask = u64::from(size).wrapping_sub(1);
        let number = match pack {
            16 => (pos & mask).wrapping_shr(1),
            _ => (pos & mask).wrapping_shr(2),
        };

        Ok(Spot {
            lcn,
            ask: Ask::new(pos & !mask, size, u64::from(size.wrapping_mul(2)))?,
            number: number as u32,
        })
    }
}

/// A pack, as far as it can be read without a check.
pub(super) struct Pack<'a> {
    bytes: &'a [u8],
    /// The indexes, 2 or 16.
    count: u32,
    /// The bits of an index, 16 or 14.
    bits: u32,
    value_bits: u32,
    big: bool,
    address: u32,
}

impl<'a> Pack<'a> {
    /// The pack that `bytes` begin with.
    pub(super) fn new(table: &Table, spot: &Spot, bytes: &'a [u8]) -> Result<Self> {
        let (count, bits) = match spot.ask.need {
            32 => (16, 14),
            _ => (2, 16),
        };
        let end = spot.ask.need.wrapping_sub(ADDRESS_SIZE) as usize;
        let address = bytes.get(end..).ok_or(Error::Short)?;

        Ok(Self {
            bytes,
            count,
            bits,
            value_bits: u32::from(table.bits).max(VALUE_BITS_MIN),
            big: table.big1,
            address: record::<U32>(address)?.get(),
        })
    }

    /// The value and the type of index `number`.
    fn entry(&self, number: u32) -> Result<(u32, Option<Kind>)> {
        let at = number.wrapping_mul(self.bits);
        let word = self
            .bytes
            .get(at.wrapping_shr(3) as usize..)
            .ok_or(Error::Short)?;
        let word = record::<U32>(word)?.get().wrapping_shr(at & 7);
        let mask = 1u32.wrapping_shl(self.value_bits).wrapping_sub(1);

        Ok((word & mask, kind(word.wrapping_shr(self.value_bits))))
    }

    pub(super) fn index(&self, number: u32, ahead: bool) -> Result<Lcluster> {
        let (value, kind) = self.entry(number)?;

        if let Some(kind) = kind {
            let blocks = match self.big {
                true => self.blocks_before(number)?,
                false => self.heads_before(number)?.wrapping_add(1),
            };

            return Ok(Lcluster::Head {
                kind,
                offset: value,
                start: Some(self.address.wrapping_add(blocks)),
                partial_ref: false,
            });
        }

        let ahead = match ahead {
            true => self.ahead(number)?,
            false => 0,
        };
        if value & D0_CBLKCNT != 0 {
            if !self.big {
                return Err(Error::BlockCount);
            }
            return Ok(Lcluster::NonHead {
                back: 1,
                ahead,
                blocks: Some(value & !D0_CBLKCNT),
            });
        }

        let back = match number.checked_sub(1) {
            // The value of a pack's last index is the distance to the next head.
            Some(previous) if number.wrapping_add(1) == self.count => match self.entry(previous)? {
                (_, Some(_)) => 1,
                (value, None) if value & D0_CBLKCNT != 0 => 2,
                (value, None) => value.wrapping_add(1),
            },
            _ => value,
        };
        Ok(Lcluster::NonHead {
            back,
            ahead,
            blocks: None,
        })
    }

    /// How many lclusters it is from index `number`, no head, to the next head.
    fn ahead(&self, number: u32) -> Result<u32> {
        let mut distance = 0u32;
        let mut last = 0;

        for number in number..self.count {
            let (value, kind) = self.entry(number)?;

            if kind.is_some() {
                return Ok(distance);
            }
            distance = distance.wrapping_add(1);
            last = value;
        }
        Ok(match last & D0_CBLKCNT {
            0 => distance.wrapping_add(last).wrapping_sub(1),
            _ => distance,
        })
    }

    /// The heads before index `number` whose pclusters, a block each, are in the pack's blocks.
    fn heads_before(&self, mut number: u32) -> Result<u32> {
        let mut heads = 0u32;

        while let Some(previous) = number.checked_sub(1) {
            number = match self.entry(previous)? {
                (_, Some(_)) => previous,
                (value, None) => match previous.checked_sub(value) {
                    Some(head) => head,
                    None => break,
                },
            };
            heads = heads.wrapping_add(1);
        }
        Ok(heads)
    }

    /// The blocks of the pclusters before index `number`, from the pack's address on.
    fn blocks_before(&self, mut number: u32) -> Result<u32> {
        let mut blocks = 0u32;

        while let Some(previous) = number.checked_sub(1) {
            number = match self.entry(previous)? {
                (_, Some(_)) => {
                    blocks = blocks.wrapping_add(1);
                    previous
                }
                (value, None) if value & D0_CBLKCNT != 0 => {
                    blocks = blocks.wrapping_add(value & !D0_CBLKCNT);
                    previous.saturating_sub(1)
                }
                // It would be the lcluster with the number of blocks.
                (0 | 1, None) => return Err(Error::BlockCount),
                // To the lcluster with the number of blocks.
                (value, None) => previous.saturating_sub(value.wrapping_sub(2)),
            };
        }
        Ok(blocks)
    }
}
