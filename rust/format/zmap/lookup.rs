// SPDX-License-Identifier: GPL-2.0-only

//! The lookup of an extent, by whichever table an inode has.
//!
//! C: `z_erofs_map_blocks_fo()`, `z_erofs_get_extent_compressedlen()`,
//! `z_erofs_get_extent_decompressedlen()`.

use super::{
    behind_end,
    extents::{
        Checkpoint,
        Search, //
    },
    header::{
        Indexes,
        Map,
        Tail, //
    },
    index::{
        Kind,
        Lcluster, //
    },
    walk::{
        Head,
        HeadSearch,
        Walk, //
    },
    Ask,
    Cluster,
    Coding,
    Header,
    Limits,
    Want,
    Window,
    ZExtent,
    ZPlace, //
};
use crate::{
    meta::{
        Area,
        Source, //
    },
    Error,
    Inode,
    Result,
    SuperBlock, //
};

/// What [`Lookup::new()`] found.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // It is on the stack, to be taken apart at once.
pub enum Plan<'h> {
    /// The extent.
    Extent(ZExtent),
    /// It is to be looked up.
    Lookup(Lookup<'h>),
}

/// A lookup of the extent that a position of a compressed file is in.
///
/// The caller reads from [`Lookup::wanted()`] and hands the bytes to [`Lookup::feed()`] until that
/// gives the extent. On a file without end this can take as long: the caller sees to it that it can
/// be interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'h> {
    file: File,
    area: Area,
    table: Table<'h>,
}

/// What all steps of a lookup know of the file.
#[derive(Clone, Copy, Debug)]
struct File {
    limits: Limits,
    /// What its metadata is read from.
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Table<'h> {
    Indexes(IndexLookup<'h>),
    Records(Search),
}

impl Table<'_> {
    fn ask(&self) -> Ask {
        match self {
            Table::Indexes(lookup) => lookup.ask(),
            Table::Records(search) => search.ask,
        }
    }

    fn take(&mut self, file: &File, bytes: &[u8]) -> Result<Option<ZExtent>> {
        match self {
            Table::Indexes(lookup) => lookup.take(file, bytes),
            Table::Records(search) => search.take(bytes),
        }
    }
}

impl<'h> Lookup<'h> {
    /// A lookup of byte `la`, with the header of the same inode.
    ///
    /// # Errors
    ///
    /// Those of [`Self::feed()`].
    #[allow(clippy::new_ret_no_self)] // What needs no read is answered at once.
    pub fn new(
        sb: &SuperBlock,
        inode: &Inode,
        header: &'h Header,
        la: u64,
        want: Want,
    ) -> Result<Plan<'h>> {
        if let Some(hole) = behind_end(inode, la) {
            return Ok(Plan::Extent(hole));
        }

        let source = inode.source();
        let limits = Limits::new(sb, inode);
        let file = File { limits, source };

        // A lookup is large: it is put together where it stays.
        match &header.0 {
            Map::Packed { pos } => Ok(Plan::Extent(ZExtent {
                la: 0,
                len: inode.size,
                full: true,
                place: ZPlace::Fragment { pos: *pos },
            })),
            Map::Records(records) => {
                let search = Search::new(*records, sb.block, inode.size, la)?;

                if let Some(hole) = search.answer()? {
                    return Ok(Plan::Extent(hole));
                }
                Ok(Plan::Lookup(Self {
                    file,
                    area: search.ask.area(source, sb.block),
                    table: Table::Records(search),
                }))
            }
            Map::Indexes(indexes) => {
                // The last lcluster of a file with inline data does not count fully.
                let limit = match indexes.tail {
                    Tail::Inline { .. } => inode.size,
                    _ => u64::MAX,
                };
                let search = HeadSearch::new(indexes.table, la, limit)?;

                Ok(Plan::Lookup(Self {
                    file,
                    area: search.walk.ask().area(source, sb.block),
                    table: Table::Indexes(IndexLookup {
                        indexes,
                        la,
                        want,
                        step: Step::Head(search),
                    }),
                }))
            }
        }
    }

    /// Begins at the nearest of the checkpoints that the caller keeps for the inode. `kept` has
    /// those of [`Self::checkpoint()`], in order from the first. To be called before anything is
    /// fed.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if the records are beyond any device.
    pub fn resume(&mut self, kept: &[u64]) -> Result<()> {
        if let Table::Records(search) = &mut self.table {
            search.resume(kept)?;
            self.area = search.ask.area(self.file.source, self.file.limits.block);
        }
        Ok(())
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
    /// `EUCLEAN` if a record or the extent cannot be, `EOPNOTSUPP` if it is too large or has an
    /// unknown algorithm, `EINVAL` if there is no record, `EIO` if `bytes` are too few.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<ZExtent>> {
        let window = Window::new(self.area, self.table.ask(), bytes)?;

        while let Some(bytes) = window.get(self.table.ask()) {
            if let Some(extent) = self.table.take(&self.file, bytes)? {
                return self.file.limits.check(extent).map(Some);
            }
        }
        let ask = self.table.ask();
        self.area = ask.area(self.file.source, self.file.limits.block);
        Ok(None)
    }

    /// A position that is to be kept for [`Self::resume()`], if the last [`Self::feed()`] came by
    /// one; whether or not it gave the extent. One that is in the list already is to be left out.
    pub fn checkpoint(&mut self) -> Option<Checkpoint> {
        match &mut self.table {
            Table::Indexes(_) => None,
            Table::Records(search) => search.checkpoint(),
        }
    }
}

/// A lookup by indexes.
#[derive(Clone, Copy, Debug)]
struct IndexLookup<'h> {
    indexes: &'h Indexes,
    la: u64,
    want: Want,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The extent's head is to be found.
    Head(HeadSearch),
    /// The index behind the head tells how many blocks there are.
    Blocks(Walk, Head),
    /// The next extent's head is to be found.
    End(Walk, ZExtent),
}

impl IndexLookup<'_> {
    fn ask(&self) -> Ask {
        match &self.step {
            Step::Head(search) => search.walk.ask(),
            Step::Blocks(walk, _) | Step::End(walk, _) => walk.ask(),
        }
    }

    fn take(&mut self, file: &File, bytes: &[u8]) -> Result<Option<ZExtent>> {
        match &mut self.step {
            Step::Head(search) => match search.take(bytes)? {
                None => Ok(None),
                Some(head) => {
                    let walk = search.walk;
                    self.found(file, walk, head)
                }
            },
            Step::Blocks(walk, head) => {
                let lcluster = walk.read(bytes, false)?;

                let blocks = match (lcluster, walk.blocks) {
                    // No index between two heads: one block.
                    (Lcluster::Head { .. }, blocks) => blocks.unwrap_or(1),
                    (Lcluster::NonHead { back: 1, .. }, Some(blocks)) => blocks,
                    _ => return Err(Error::NoBlockCount(walk.lcn())),
                };
                let (walk, head) = (*walk, *head);
                self.cluster(file, walk, &head, blocks)
            }
            Step::End(walk, extent) => {
                let extent = *extent;
                let (lcn, begin) = (walk.lcn(), walk.table.la(walk.lcn()));

                let ahead = match walk.read(bytes, true)? {
                    Lcluster::Head { offset, .. } if lcn != walk.table.lcn(extent.la) => {
                        let end = begin.saturating_add(u64::from(offset));

                        // The byte's own index led over this head.
                        if end <= self.la {
                            return Err(Error::IndexOrder(self.la));
                        }
                        return Ok(Some(ended(extent, end)));
                    }
                    Lcluster::Head { .. } => 1,
                    // Old images have distances of 0.
                    Lcluster::NonHead { ahead, .. } => ahead.max(1),
                };
                let walk = *walk;
                self.go_on(file, walk, extent, lcn.saturating_add(u64::from(ahead)))
            }
        }
    }

    /// The extent's head was found: what is to be known of its pcluster?
    fn found(&mut self, file: &File, mut walk: Walk, head: Head) -> Result<Option<ZExtent>> {
        match self.indexes.tail {
            Tail::Inline { lcn, pos, size } if lcn == head.lcn => {
                let cluster = Cluster {
                    pa: pos,
                    len: u32::from(size),
                    algorithm: self.algorithm(head.kind, true),
                    partial_ref: head.partial_ref,
                    inline: Some(file.source),
                };
                return self.placed(file, walk, &head, ZPlace::Mapped(cluster));
            }
            Tail::Fragment { lcn, pos } if lcn == head.lcn => {
                return self.placed(file, walk, &head, ZPlace::Fragment { pos });
            }
            _ => {}
        }

        let big = match head.kind {
            Kind::Head1 => walk.table.big1,
            Kind::Plain | Kind::Head2 => walk.table.big2,
        };
        let next = head.lcn.saturating_add(1);
        let last = walk.table.la(next) >= file.limits.size;

        match walk.blocks {
            Some(blocks) => self.cluster(file, walk, &head, blocks),
            None if !big || last => self.cluster(file, walk, &head, 1),
            None => {
                walk.go(next)?;
                self.step = Step::Blocks(walk, head);
                Ok(None)
            }
        }
    }

    /// The extent is in a pcluster of so many blocks, or is a hole if there are none.
    fn cluster(
        &mut self,
        file: &File,
        walk: Walk,
        head: &Head,
        blocks: u32,
    ) -> Result<Option<ZExtent>> {
        let block = file.limits.block;
        let len = block.pos(u64::from(blocks));
        let place = match blocks {
            0 => ZPlace::Hole,
            _ => ZPlace::Mapped(Cluster {
                pa: block.pos(head.start),
                len: u32::try_from(len).unwrap_or(u32::MAX),
                algorithm: self.algorithm(head.kind, false),
                partial_ref: head.partial_ref,
                inline: None,
            }),
        };

        self.placed(file, walk, head, place)
    }

    fn algorithm(&self, kind: Kind, inline: bool) -> Coding {
        let [first, second] = self.indexes.algorithms;

        match kind {
            Kind::Plain if self.indexes.interlaced && !inline => Coding::Interlaced,
            Kind::Plain => Coding::Shifted,
            Kind::Head1 => first,
            Kind::Head2 => second,
        }
    }

    /// The extent's place is known. Is its end?
    fn placed(
        &mut self,
        file: &File,
        walk: Walk,
        head: &Head,
        place: ZPlace,
    ) -> Result<Option<ZExtent>> {
        let extent = ZExtent {
            la: head.la,
            len: head.end.saturating_sub(head.la),
            full: head.full,
            place,
        };
        let inline = matches!(self.indexes.tail, Tail::Inline { lcn, .. } if lcn == head.lcn);
        let stream = self.algorithm(head.kind, inline).is_stream();
        let block = u64::from(file.limits.block.size());

        match self.want {
            Want::Fiemap => self.go_on(file, walk, extent, walk.lcn()),
            Want::ReadMore if stream && extent.len >= block => {
                self.go_on(file, walk, extent, walk.lcn())
            }
            _ => Ok(Some(extent)),
        }
    }

    /// Goes on to lcluster `lcn`, which can be another extent's.
    fn go_on(
        &mut self,
        file: &File,
        mut walk: Walk,
        extent: ZExtent,
        lcn: u64,
    ) -> Result<Option<ZExtent>> {
        if walk.table.la(lcn) >= file.limits.size {
            return Ok(Some(ended(extent, file.limits.size)));
        }
        walk.go(lcn)?;
        self.step = Step::End(walk, extent);
        Ok(None)
    }
}

/// The extent, which ends at `end`.
fn ended(extent: ZExtent, end: u64) -> ZExtent {
    ZExtent {
        len: end.saturating_sub(extent.la),
        full: true,
        ..extent
    }
}
