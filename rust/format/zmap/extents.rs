// SPDX-License-Identifier: GPL-2.0-only

//! Extent records.
//!
//! | size   | what a record holds                      | an extent is | search           |
//! |--------|------------------------------------------|--------------|------------------|
//! | 4      | encoded size                             | an lcluster  | sizes are summed |
//! | 8      | encoded size, position                   | an lcluster  | array            |
//! | 16, 32 | encoded size, position, place in the file | of any size | binary           |
//!
//! Records of 4 bytes are preceded by the position of the first extent. The caller can keep the
//! position of every [`STEP`]th one, so that a lookup does not have to sum up from the first.
//!
//! C: `z_erofs_map_blocks_ext()`.

use zerocopy::little_endian::{
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
    Ask,
    Cluster,
    Coding,
    ZExtent,
    ZPlace, //
};
use crate::{
    meta::{
        record,
        BlockBits, //
    },
    Error,
    Result, //
};

/// A record of 8 bytes.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawArrayRecord {
    plen: U32,
    pstart: U32,
}

/// A record of 16 bytes.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    plen: U32,
    pstart_lo: U32,
    pstart_hi: U32,
    lstart_lo: U32,
}

/// A record of 32 bytes.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawWideRecord {
    base: RawRecord,
    lstart_hi: U32,
    reserved: [u8; 12],
}

const _: () = assert!(size_of::<RawArrayRecord>() == 8);
const _: () = assert!(size_of::<RawRecord>() == 16);
const _: () = assert!(size_of::<RawWideRecord>() == 32);

/// The first extent's position, before records of 4 bytes.
const BASE_SIZE: u32 = 8;

/// How many records of 4 bytes there are from one checkpoint to the next.
pub(super) const STEP: u64 = 64;

/// The fields of `plen`.
mod plen {
    pub(super) const SIZE: u32 = (1 << 21) - 1;
    pub(super) const PARTIAL_REF: u32 = 1 << 27;
    pub(super) const FORMAT_SHIFT: u32 = 28;
}

/// The position of an extent that is kept, so that sizes need not be summed up from the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// Its place in the list of checkpoints.
    pub index: u64,
    /// The position.
    pub pa: u64,
}

/// The records of an inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    /// Where they begin.
    base: u64,
    /// Their size as a base-2 logarithm, 2 to 5.
    size_bits: u8,
    /// The size of an lcluster as a base-2 logarithm.
    bits: u8,
    /// Their number, for a binary search.
    count: u64,
    /// Plain data can be interlaced.
    interlaced: bool,
    /// The last extent is in the packed inode.
    fragment: bool,
}

/// What a record says.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    plen: u32,
    pa: u64,
}

impl Records {
    /// The records behind a header that ends at `end`.
    pub(super) fn new(
        end: u64,
        size: u16,
        bits: u8,
        count: u64,
        interlaced: bool,
        fragment: bool,
    ) -> Self {
        let size_bits = (size as u8).wrapping_add(2);
        let mask = 1u64.wrapping_shl(u32::from(size_bits)).wrapping_sub(1);

        Self {
            base: end.saturating_add(mask) & !mask,
            size_bits,
            bits,
            count,
            interlaced,
            fragment,
        }
    }

    pub(super) fn is_summed(&self) -> bool {
        self.size_bits == 2
    }

    /// Record `index`; `count` from it on can be of use.
    fn ask(&self, index: u64, count: u64) -> Result<Ask> {
        let size = 1u32.wrapping_shl(u32::from(self.size_bits));
        let unit = u64::from(size);
        let skip = match self.is_summed() {
            true => u64::from(BASE_SIZE),
            false => 0,
        };
        let pos = index.saturating_mul(unit).saturating_add(skip);

        Ask::new(
            self.base.saturating_add(pos),
            size,
            count.saturating_mul(unit),
        )
    }
}

/// A search for the record of the extent that byte `la`, in the file, is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    records: Records,
    block: BlockBits,
    la: u64,
    /// The file's size.
    size: u64,
    pub(super) ask: Ask,
    step: Step,
    checkpoint: Option<Checkpoint>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The first position is to be read.
    Base,
    /// The size of `index` is to be read, which is at `pa`.
    Sum { index: u64, pa: u64 },
    /// The lcluster's record is to be read.
    Array,
    /// The record is one of `left..right`, or the one before them: `found`.
    Binary {
        left: u64,
        right: u64,
        found: Option<(u64, Extent)>,
        /// Where the next extent begins.
        end: u64,
    },
}

impl Search {
    pub(super) fn new(records: Records, block: BlockBits, size: u64, la: u64) -> Result<Self> {
        let index = la.wrapping_shr(u32::from(records.bits));
        let base = Ask {
            pos: records.base,
            need: BASE_SIZE,
            most: 0,
        };
        let mut search = Self {
            records,
            block,
            la,
            size,
            ask: base,
            step: Step::Base,
            checkpoint: None,
        };

        match records.size_bits {
            2 => {
                let most = search.sums(0).saturating_mul(4);
                let most = most.saturating_add(u64::from(BASE_SIZE));
                search.ask = Ask::new(records.base, BASE_SIZE, most)?;
            }
            3 => {
                search.step = Step::Array;
                search.ask = records.ask(index, 1)?;
            }
            _ => search.narrow(0, records.count, None, size)?,
        }
        Ok(search)
    }

    /// The lcluster's number.
    fn index(&self) -> u64 {
        self.la.wrapping_shr(u32::from(self.records.bits))
    }

    /// How many records are to be summed from `index` on before there is an answer or a checkpoint.
    fn sums(&self, index: u64) -> u64 {
        let wanted = self.index().saturating_sub(index).saturating_add(1);

        wanted.min(STEP.saturating_sub(index % STEP))
    }

    fn sum(&mut self, index: u64, pa: u64) -> Result<()> {
        self.step = Step::Sum { index, pa };
        self.ask = self.records.ask(index, self.sums(index))?;
        Ok(())
    }

    /// Begins at the nearest of the checkpoints that were kept.
    pub(super) fn resume(&mut self, checkpoints: &[u64]) -> Result<()> {
        let kept = self
            .index()
            .wrapping_div(STEP)
            .min(checkpoints.len() as u64);
        let last = usize::try_from(kept).unwrap_or(0).checked_sub(1);

        match last.and_then(|last| checkpoints.get(last)) {
            Some(&pa) if self.records.is_summed() => self.sum(kept.saturating_mul(STEP), pa),
            _ => Ok(()),
        }
    }

    pub(super) fn checkpoint(&mut self) -> Option<Checkpoint> {
        self.checkpoint.take()
    }

    fn narrow(
        &mut self,
        left: u64,
        right: u64,
        found: Option<(u64, Extent)>,
        end: u64,
    ) -> Result<()> {
        let rest = right.saturating_sub(left);
        let middle = left.saturating_add(rest.wrapping_shr(1));

        self.step = Step::Binary {
            left,
            right,
            found,
            end,
        };
        if left < right {
            self.ask = self.records.ask(middle, right.saturating_sub(middle))?;
        }
        Ok(())
    }

    /// The answer, if there is one without a record.
    pub(super) fn answer(&self) -> Result<Option<ZExtent>> {
        match self.step {
            Step::Binary {
                left,
                right,
                found,
                end,
            } if left >= right => {
                let last = left >= self.records.count;

                self.extent(found, end, last).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Takes the record that was asked for, and can take those behind it. `None` means that another
    /// one is asked for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<ZExtent>> {
        match self.step {
            Step::Base => {
                self.sum(0, record::<U64>(bytes)?.get())?;
                Ok(None)
            }
            Step::Sum { index, pa } => self.take_sizes(index, pa, bytes),
            Step::Array => {
                let raw: &RawArrayRecord = record(bytes)?;

                self.lcluster(Extent {
                    plen: raw.plen.get(),
                    pa: u64::from(raw.pstart.get()),
                })
                .map(Some)
            }
            Step::Binary {
                left,
                right,
                found,
                end,
            } => {
                self.compare(left, right, found, end, bytes)?;
                self.answer()
            }
        }
    }

    fn take_sizes(&mut self, mut index: u64, mut pa: u64, bytes: &[u8]) -> Result<Option<ZExtent>> {
        for size in bytes.chunks_exact(4).take(self.sums(index) as usize) {
            let plen = record::<U32>(size)?.get();

            if index == self.index() {
                return self.lcluster(Extent { plen, pa }).map(Some);
            }
            // What does not fit is beyond any device.
            pa = pa.saturating_add(u64::from(plen & plen::SIZE));
            index = index.saturating_add(1);
            if index % STEP == 0 {
                self.checkpoint = Some(Checkpoint {
                    index: index.wrapping_div(STEP).wrapping_sub(1),
                    pa,
                });
            }
        }
        self.sum(index, pa)?;
        Ok(None)
    }

    /// Takes the record in the middle of a binary search. As in C, records in a wrong order lead to
    /// a wrong extent, but not out of the file.
    fn compare(
        &mut self,
        left: u64,
        right: u64,
        found: Option<(u64, Extent)>,
        end: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let raw: &RawRecord = record(bytes)?;
        let hi = match self.records.size_bits {
            4 => 0,
            _ => record::<RawWideRecord>(bytes)?.lstart_hi.get(),
        };
        let start = join(raw.lstart_lo.get(), hi);
        let middle = left.saturating_add(right.saturating_sub(left).wrapping_shr(1));

        if start > self.la {
            if start > end {
                return Err(Error::ExtentOrder(start));
            }
            return self.narrow(left, middle, found, start);
        }

        let extent = Extent {
            plen: raw.plen.get(),
            pa: join(raw.pstart_lo.get(), raw.pstart_hi.get()),
        };
        let left = middle.saturating_add(1);
        // Of an extent that begins here only the end is still to be found.
        let right = match start == self.la {
            true => right.min(left.saturating_add(1)),
            false => right,
        };
        self.narrow(left, right, Some((start, extent)), end)
    }

    /// The extent that is an lcluster.
    fn lcluster(&self, extent: Extent) -> Result<ZExtent> {
        let shift = u32::from(self.records.bits);
        let index = self.index();
        let start = index.wrapping_shl(shift);
        let end = index.saturating_add(1).wrapping_shl(shift).min(self.size);
        let last = self.size.saturating_sub(1).wrapping_shr(shift) == index;

        self.extent(Some((start, extent)), end, last)
    }

    /// The extent up to `end`, which is the `last` one or not.
    fn extent(&self, found: Option<(u64, Extent)>, end: u64, last: bool) -> Result<ZExtent> {
        let (la, place) = match found {
            None => (self.la, ZPlace::Hole),
            Some((la, extent)) => (la, self.place(la, extent, last)?),
        };

        Ok(ZExtent {
            la,
            len: end.saturating_sub(la),
            full: true,
            place,
        })
    }

    fn place(&self, la: u64, Extent { plen, pa }: Extent, last: bool) -> Result<ZPlace> {
        let len = plen & plen::SIZE;

        if last && self.records.fragment {
            let hi = match self.records.is_summed() {
                true => 0,
                false => pa.wrapping_shl(32),
            };
            let pos = u64::from(plen) | hi;
            return Ok(ZPlace::Fragment { pos });
        }
        if len == 0 {
            return Ok(ZPlace::Hole);
        }

        let algorithm = match plen.wrapping_shr(plen::FORMAT_SHIFT).checked_sub(1) {
            Some(number) => {
                let number = number as u8;
                let unknown = Error::ExtentAlgorithm { number, la };

                Coding::from_algorithm(number).ok_or(unknown)?
            }
            None if self.records.interlaced
                && self.block.offset(pa) == 0
                && self.block.offset(u64::from(len)) == 0 =>
            {
                Coding::Interlaced
            }
            None => Coding::Shifted,
        };
        Ok(ZPlace::Mapped(Cluster {
            pa,
            len,
            algorithm,
            partial_ref: plen & plen::PARTIAL_REF != 0,
            inline: None,
        }))
    }
}

fn join(lo: u32, hi: u32) -> u64 {
    u64::from(lo) | u64::from(hi).wrapping_shl(32)
}
