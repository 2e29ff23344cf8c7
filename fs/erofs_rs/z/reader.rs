// SPDX-License-Identifier: GPL-2.0-only

//! Reading folios of compressed files: from folios to chains of pclusters.
//!
//! A folio is taken apart from its end to its beginning, since extents are found by their last byte,
//! and each part goes to the pcluster that decodes to it. What was claimed is then submitted and
//! decoded in the reverse order, so from the beginning of the file to its end: a page whose upper
//! half belongs to one pcluster and whose lower half to the next can take in the compressed data of
//! the latter, which is gone when the former is written over it.

use super::{
    chain::{
        Claim as Link,
        Kernel, //
    },
    map::Mapper,
    pcluster::{
        Key,
        Pcluster,
        Request, //
    },
    stats::Event,
    submit::Way,
    Shared, //
};
use crate::{
    options::CacheStrategy,
    super_block,
    trace,
    Erofs, //
};
use core::ops::Range;
use erofs_chain::{
    Chain,
    ClusterMode, //
};
use erofs_format::{
    meta::Source,
    zmap::{
        Cluster,
        Want,
        ZExtent,
        ZPlace, //
    }, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc, //
};
use vfs::{
    address_space::Operations,
    folio::{
        self,
        FolioPart,
        LockedFolio, //
    },
    inode::Inode,
    meta::MetaReader,
    page::Pool,
    readahead::Readahead, //
};

/// Fills page caches from compressed data.
pub(crate) struct Decoded;

impl Operations for Decoded {
    type FileSystem = Erofs;

    fn read_folio(inode: &Inode<Erofs>, folio: LockedFolio) -> Result {
        trace::read_folio(inode, || folio.range(), false);
        let index = folio.pos() >> PAGE_SHIFT;
        let range = folio.range();
        let mut reader = Reader::new(inode, range.start, false)?;
        reader.read_behind(range.start + PAGE_SIZE as u64 - 1, None);
        let scanned = reader.scan(folio);
        reader.read_before();
        let result = reader
            .submit(Way::of_read(inode.super_block().data()))
            .and(scanned);
        if let Err(e) = result {
            if e != EINTR {
                let (sb, nid) = (inode.super_block(), inode.data().nid.0);
                vfs::err!(sb, "read error {} @ {index} of nid {nid}", e.to_errno());
            }
        }
        result
    }

    fn readahead(inode: &Inode<Erofs>, mut folios: Readahead<'_>) {
        trace::readahead(inode, || folios.range(), false);
        let window = folios.range();
        let Ok(mut reader) = Reader::new(inode, window.start, true) else {
            return;
        };
        reader.read_behind(window.end - 1, Some(&mut folios));
        // From the last to the first, as far as memory goes for a list of them.
        let mut list = KVec::new();
        for folio in folios {
            if list.push(folio, GFP_KERNEL).is_err() {
                break;
            }
        }
        while let Some(folio) = list.pop() {
            let index = folio.pos() >> PAGE_SHIFT;
            if let Err(e) = reader.scan(folio) {
                if e != EINTR {
                    let (sb, nid) = (inode.super_block(), inode.data().nid.0);
                    vfs::err!(sb, "readahead error at folio {index} @ nid {nid}");
                }
            }
        }
        reader.read_before();
        let len = window.end - window.start;
        let way = Way::of_readahead(inode.super_block().data(), len);
        // Whoever needs what could not be read reads it again, and hears of it then.
        let _ = reader.submit(way);
    }
}

/// One call of `read_folio` or `readahead`.
pub(super) struct Reader<'a> {
    pub(super) inode: &'a Inode<Erofs>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) chain: Chain<Kernel>,
    pub(super) pool: Pool,
    pub(super) ahead: bool,
    mapper: Mapper<'a>,
    packed: Option<MetaReader<'a>>,
    /// Where the file is read from on.
    start: u64,
    /// The extent around the last byte that was looked at; what is above `cut` is done.
    extent: Option<ZExtent>,
    /// Its pcluster.
    claim: Option<Claim>,
}

struct Claim {
    pcluster: Arc<Pcluster>,
    mode: ClusterMode,
}

/// The page that pieces of a folio meet in.
struct Shore {
    /// Its number in the file.
    page: u64,
    /// Whether all that is above in it is decoded after what is below, by this reader.
    tight: bool,
}

impl<'a> Reader<'a> {
    /// For a file of an image that has compressed files: `EUCLEAN` if not.
    pub(super) fn new(inode: &'a Inode<Erofs>, start: u64, ahead: bool) -> Result<Self> {
        let shared = inode.super_block().data().compressed().ok_or(EUCLEAN)?;
        Ok(Self {
            inode,
            shared,
            chain: Chain::new(),
            pool: Pool::new(),
            ahead,
            mapper: Mapper::new(inode),
            packed: None,
            start,
            extent: None,
            claim: None,
        })
    }

    /// Finds the extent of byte `pos`. Others may have to read for that what only this reader's
    /// chain brings, so the chain goes first then.
    fn find(&mut self, pos: u64, want: Want) -> Result<ZExtent> {
        let holds = |e: &ZExtent| pos.checked_sub(e.la).is_some_and(|skip| skip < e.len);
        if let Some(extent) = self.extent.filter(holds) {
            return Ok(extent);
        }
        self.claim = None;
        self.extent = None;
        loop {
            if let Some(extent) = self.mapper.find(pos, want, self.chain.is_empty())? {
                self.extent = Some(extent);
                return Ok(extent);
            }
            self.submit(Way::Background)?;
        }
    }

    /// Sees to it that all of `folio` is read; what was claimed for it is still to be submitted. The
    /// folio ends by itself when its last part does, with an error if this returns one.
    fn scan(&mut self, folio: LockedFolio) -> Result {
        let mut rest = Some(folio.into_part());
        let mut shore = None;
        while let Some(part) = rest.take() {
            let (start, end) = (part.pos(), part.pos() + part.len() as u64);
            let extent = self.find(end - 1, Want::Read)?;
            let at = extent.la.max(start);
            let upper = if at > start {
                let (lower, upper) = part.split(at - start);
                rest = Some(lower);
                upper.ok_or(EIO)?
            } else {
                part
            };
            let tight = self.read_part(upper, &extent, shore.as_ref())?;
            shore = (at % PAGE_SIZE as u64 != 0).then(|| {
                let page = at >> PAGE_SHIFT;
                let above = shore.filter(|s| s.page == page);
                Shore {
                    page,
                    tight: tight && above.is_none_or(|s| s.tight),
                }
            });
        }
        Ok(())
    }

    /// Reads `part`, which lies in `extent`. Says whether its pcluster is sure to be decoded by this
    /// reader, after what is claimed later.
    fn read_part(
        &mut self,
        mut part: FolioPart,
        extent: &ZExtent,
        shore: Option<&Shore>,
    ) -> Result<bool> {
        let skip = part.pos() - extent.la;
        match extent.place {
            ZPlace::Hole => {
                part.zero(0..part.len())?;
                part.end(Ok(()));
                Ok(false)
            }
            ZPlace::Fragment { pos } => {
                self.read_fragment(&mut part, pos.checked_add(skip).ok_or(EUCLEAN)?)?;
                part.end(Ok(()));
                Ok(false)
            }
            ZPlace::Mapped(cluster) => self.attach(part, extent, &cluster, skip, shore),
        }
    }

    /// Copies from byte `pos` of the packed inode.
    fn read_fragment(&mut self, part: &mut FolioPart, pos: u64) -> Result {
        let sb = self.inode.super_block();
        // The packed inode would wait for its own folio.
        if sb.data().format.packed_nid == Some(self.inode.data().nid) {
            return Err(EUCLEAN);
        }
        let mut meta = match self.packed.take() {
            Some(meta) => meta,
            None => super_block::meta(sb, Source::Packed)?,
        };
        let len = part.len();
        if !self.chain.is_empty() && !meta.is_ready(pos, len) {
            self.claim = None;
            self.submit(Way::Background)?;
        }
        meta.read_to(pos, part, 0..len)?;
        self.packed = Some(meta);
        Ok(())
    }

    /// Hands `part` to the pcluster that decodes to it, `skip` bytes behind its beginning.
    fn attach(
        &mut self,
        part: FolioPart,
        extent: &ZExtent,
        cluster: &Cluster,
        skip: u64,
        shore: Option<&Shore>,
    ) -> Result<bool> {
        let block = self.inode.super_block().block_size();
        let claim = match self.claim.take() {
            Some(claim) => claim,
            None => {
                let pcluster = match cluster.inline {
                    Some(source) => self.read_inline(cluster, source)?,
                    None => self.shared.table.get(Key::from(cluster))?,
                };
                let mode = ClusterMode::Inflight;
                Claim { pcluster, mode }
            }
        };
        let (pcluster, mut mode) = (&claim.pcluster, claim.mode);
        let mut state = pcluster.state.lock();
        // A pcluster of ours stays so until its chain goes, with which `claim` goes, too. Of others'
        // anything may have become meanwhile.
        if !mode.ours() {
            mode = self
                .chain
                .claim(&Link(pcluster.clone()), &mut state.seat)
                .map_err(|_| ENOMEM)?;
            if mode.ours() {
                state.begin(pcluster.pages(block))?;
                if self.wants_cache(extent) {
                    state.allocate_cache();
                }
                if state.is_cached() || pcluster.inline.is_some() {
                    mode = ClusterMode::FollowedNoInplace;
                }
            }
            self.shared.stats.add(Event::from(mode), 1);
        }
        let request = Request {
            at: skip as u32,
            whole: extent.full.then_some(extent.len as u32),
            partial_ref: cluster.partial_ref,
            la: extent.la,
            exclusive: self.exclusive(&part, mode, shore),
            eager: !self.ahead,
            part,
        };
        let result = state.add(cluster.algorithm, request, &self.shared.stats);
        drop(state);
        self.claim = Some(Claim {
            pcluster: claim.pcluster,
            mode,
        });
        result?;
        Ok(mode == ClusterMode::Followed && block as usize == PAGE_SIZE)
    }

    /// Which pages of `part` may take in compressed data of its pcluster: those that it has from
    /// their beginning on, and the last one only if it has all of that, or if what is above is
    /// decoded later.
    fn exclusive(
        &self,
        part: &FolioPart,
        mode: ClusterMode,
        shore: Option<&Shore>,
    ) -> Range<usize> {
        let page = PAGE_SIZE as u64;
        let (start, end) = (part.pos(), part.pos() + part.len() as u64);
        let first = start / page;
        let from = start.div_ceil(page);
        let mut to = end.div_ceil(page);
        if let Some(shore) = shore.filter(|s| s.page + 1 == to) {
            let _ = (shore.tight, mode);
            to -= 1;
        }
        (from - first) as usize..(to.max(from) - first) as usize
    }

    /// A pcluster of its own for data among the metadata.
    fn read_inline(&mut self, cluster: &Cluster, source: Source) -> Result<Arc<Pcluster>> {
        let mut meta = super_block::meta(self.inode.super_block(), source)?;
        let len = cluster.len as usize;
        if !self.chain.is_empty() && !meta.is_ready(cluster.pa, len) {
            self.submit(Way::Background)?;
        }
        let mut bytes = KVec::from_elem(0u8, len, GFP_KERNEL)?;
        meta.read(cluster.pa, &mut bytes).inspect_err(|e| {
            vfs::err!(
                self.inode.super_block(),
                "failed to read inline data {} @ pa {} of nid {}",
                e.to_errno(),
                cluster.pa,
                self.inode.data().nid.0
            )
        })?;
        Pcluster::new_inline(Key::from(cluster), bytes)
    }

    /// Whether the compressed data of `extent` is worth keeping: there is more in it than is read.
    fn wants_cache(&self, extent: &ZExtent) -> bool {
        match self.inode.super_block().data().options.cache_strategy() {
            CacheStrategy::Disabled => false,
            CacheStrategy::Readahead => !extent.full,
            CacheStrategy::Readaround => !extent.full || extent.la < self.start,
        }
    }

    /// Reads on behind the end of what was asked for, `last` being its last byte: an algorithm that
    /// has to decode from the beginning on anyway had better be done with the extent.
    fn read_behind(&mut self, last: u64, folios: Option<&mut Readahead<'_>>) {
        let Ok(extent) = self.find(last, Want::ReadMore) else {
            return;
        };
        if !matches!(extent.place, ZPlace::Mapped(_)) {
            return;
        }
        let end = extent.la + extent.len;
        match folios {
            Some(folios) => {
                let page = PAGE_SIZE as u64;
                folios.expand(self.start..end.next_multiple_of(page));
            }
            None => self.read_more(last + 1..end),
        }
    }

    /// Reads what is left of the extent before the beginning of what was asked for.
    fn read_before(&mut self) {
        let Some(extent) = self.extent else {
            return;
        };
        if matches!(extent.place, ZPlace::Mapped(_)) {
            self.read_more(extent.la..self.start);
        }
    }

    /// Reads the pages that are wholly in `range`, as far as they can be had at once.
    fn read_more(&mut self, range: Range<u64>) {
        let page = PAGE_SIZE as u64;
        let first = range.start.div_ceil(page);
        for index in (first..range.end.min(self.inode.size()).div_ceil(page)).rev() {
            if let Some(folio) = folio::grab(self.inode, index * page) {
                // Nobody asked for it: who does will see what is wrong.
                let _ = self.scan(folio);
            }
        }
    }
}
