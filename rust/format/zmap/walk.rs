// SPDX-License-Identifier: GPL-2.0-only

//! From a position in a file to the lcluster in which its extent begins.
//!
//! C: `z_erofs_extent_lookback()`, the first half of `z_erofs_map_blocks_fo()`.

use super::{
    index::{
        Kind,
        Lcluster,
        Spot,
        Table, //
    },
    Ask,
};
use crate::{
    Error,
    Result, //
};

/// Goes from index to index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) table: Table,
    /// The index that is to be read, or was read last.
    pub(super) spot: Spot,
    /// The number of blocks that was told last, 0 by a hole. As in C this is not forgotten from
    /// one index to the next, whichever extent it belongs to.
    pub(super) blocks: Option<u32>,
}

impl Walk {
    #[inline]
    pub(super) fn new(table: Table, lcn: u64) -> Result<Self> {
        Ok(Self {
            table,
            spot: table.locate(lcn)?,
            blocks: None,
        })
    }

    pub(super) fn ask(&self) -> Ask {
        self.spot.ask
    }

    pub(super) fn lcn(&self) -> u64 {
        self.spot.lcn
    }

    pub(super) fn go(&mut self, lcn: u64) -> Result<()> {
        self.spot = self.table.locate(lcn)?;
        Ok(())
    }

    /// Goes back by a distance that an index gave.
    fn back(&mut self, distance: u32) -> Result<()> {
        match self.lcn().checked_sub(u64::from(distance)) {
            Some(lcn) if distance != 0 => self.go(lcn),
            _ => Err(Error::Lookback {
                distance,
                lcn: self.lcn(),
            }),
        }
    }

    /// Reads the index that was asked for.
    pub(super) fn read(&mut self, bytes: &[u8], ahead: bool) -> Result<Lcluster> {
        let lcluster = self.table.parse(&self.spot, bytes, ahead)?;

        match lcluster {
            Lcluster::Head { start: None, .. } => self.blocks = Some(0),
            Lcluster::NonHead {
                blocks: Some(blocks),
                ..
            } => self.blocks = Some(blocks),
            _ => {}
        }
        Ok(lcluster)
    }
}

/// An extent whose head was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The lcluster in which it begins.
    pub(super) lcn: u64,
    pub(super) kind: Kind,
    /// Where it begins in the file.
    pub(super) la: u64,
    /// Up to where it is known to go.
    pub(super) end: u64,
    /// Whether it ends there.
    pub(super) full: bool,
    /// Its first block; all ones if it is a hole.
    pub(super) start: u64,
    pub(super) partial_ref: bool,
}

/// The search for the head of the extent that a byte of the file is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadSearch {
    pub(super) walk: Walk,
    /// The byte's place in its lcluster; `None` if that one's index was read.
    offset: Option<u32>,
    end: u64,
    full: bool,
    /// What an extent that begins in the byte's own lcluster does not go beyond.
    limit: u64,
    /// Where the metadata behind the byte's index, or behind its pack, begins.
    pub(super) behind: u64,
}

impl HeadSearch {
    /// A search for byte `la`.
    #[inline]
    pub(super) fn new(table: Table, la: u64, limit: u64) -> Result<Self> {
        let lcn = table.lcn(la);
        let walk = Walk::new(table, lcn)?;

        Ok(Self {
            walk,
            offset: Some(la.wrapping_sub(table.la(lcn)) as u32),
            end: table.la(lcn.saturating_add(1)),
            full: false,
            limit,
            behind: walk.spot.next(),
        })
    }

    /// Takes the index that was asked for. `None` means that another one is.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<Head>> {
        let lcluster = self.walk.read(bytes, false)?;
        let begin = self.walk.table.la(self.walk.lcn());

        let back = match (lcluster, self.offset.take()) {
            (Lcluster::NonHead { back, .. }, _) => back,
            (Lcluster::Head { offset, .. }, Some(wanted)) if wanted < offset => {
                self.end = begin | u64::from(offset);
                self.full = true;
                1
            }
            (
                Lcluster::Head {
                    kind,
                    offset,
                    start,
                    partial_ref,
                },
                wanted,
            ) => {
                if wanted.is_some() {
                    self.end = self.end.min(self.limit);
                }
                return Ok(Some(Head {
                    lcn: self.walk.lcn(),
                    kind,
                    la: begin | u64::from(offset),
                    end: self.end,
                    full: self.full,
                    start: start.map_or(u64::MAX, u64::from),
                    partial_ref,
                }));
            }
        };
        self.walk.back(back)?;
        Ok(None)
    }
}
