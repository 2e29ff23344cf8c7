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
        Request,
        State, //
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
        Coding,
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
    page::{
        self,
        Pool, //
    },
    readahead::Readahead, //
};

/// Fills page caches from compressed data.
pub(crate) struct Decoded;

impl Operations for Decoded {
    type FileSystem = Erofs;

    fn read_folio(inode: &Inode<Erofs>, folio: LockedFolio) -> Result {
        trace::read_folio(inode, || folio.range(), false);
        // With the chain open, folios of others are this reader's to end, and reclaim may wait for
        // one. Of a readahead the page cache sees to it.
        page::no_fs(|| read_folio(inode, folio))
    }

    fn readahead(inode: &Inode<Erofs>, mut folios: Readahead<'_>) {
        trace::readahead(inode, || folios.range(), false);
        let window = folios.range();
        let Ok(shared) = shared(inode) else {
            return;
        };
        let mut reader = Reader::new(inode, shared, window.start, true);
        reader.read_behind(window.end - 1, Some(&mut folios));
        // From the last to the first, as far as memory goes for a list of those before it.
        let mut last = None;
        let mut list = KVec::new();
        let pages = ((window.end - window.start) >> PAGE_SHIFT) as usize;
        for folio in folios {
            if let Some(before) = last.replace(folio) {
                let room = if list.is_empty() { pages.min(32) } else { 1 };
                if list.reserve(room, GFP_KERNEL | __GFP_NOWARN).is_err()
                    || list.push_within_capacity(before).is_err()
                {
                    break;
                }
            }
        }
        while let Some(folio) = last.take().or_else(|| list.pop()) {
            // The rest ends unread: nobody waits for it, and a task that was killed for want of memory
            // is to take no more.
            if vfs::task::is_killed() {
                break;
            }
            let index = folio.pos() >> PAGE_SHIFT;
            match reader.scan(folio) {
                // What is left is read when it is needed.
                Err(EINTR) => break,
                Err(_) => {
                    let (sb, nid) = (inode.super_block(), inode.data().nid.0);
                    vfs::err!(sb, "readahead error at folio {index} @ nid {nid}");
                }
                Ok(()) => {}
            }
        }
        reader.read_before();
        let len = window.end - window.start;
        let way = Way::of_readahead(inode.super_block().data(), len);
        reader.finish(way);
    }
}

#[inline]
fn read_folio(inode: &Inode<Erofs>, folio: LockedFolio) -> Result {
    let index = folio.pos() >> PAGE_SHIFT;
    let range = folio.range();
    let mut reader = Reader::new(inode, shared(inode)?, range.start, false);
    reader.read_behind(range.end - 1, None);
    reader.asked = true;
    let scanned = reader.scan(folio);
    reader.asked = false;
    reader.read_before();
    reader.finish(Way::of_read(inode.super_block().data()));
    // What was claimed before a map turned out to be wrong may fail, too; that is told.
    let result = reader.result.and(scanned);
    if let Err(e) = result {
        if e != EINTR {
            let (sb, nid) = (inode.super_block(), inode.data().nid.0);
            vfs::err!(sb, "read error {} @ {index} of nid {nid}", e.to_errno());
        }
    }
    result
}

/// What the compressed files of the mount have in common. `EUCLEAN` if there can be none.
fn shared(inode: &Inode<Erofs>) -> Result<&Arc<Shared>> {
    inode.super_block().data().compressed().ok_or(EUCLEAN)
}

/// How much a reader has claimed.
#[derive(Clone, Copy, Default)]
struct Load {
    /// Pages of compressed data.
    pages: usize,
    /// Parts of folios that wait for it.
    parts: usize,
}

impl core::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pages: self.pages + other.pages,
            parts: self.parts + other.parts,
        }
    }
}

impl Load {
    /// Whether it is to be read before there is more of it. An image can have a page of a file want a thousand
    /// times as many pages, and make parts as small as a byte; a list in one piece of memory has
    /// room for twice as many of these.
    fn is_too_much(self) -> bool {
        self.pages > 4096 || self.parts > 1 << 15
    }
}

/// One call of `read_folio` or `readahead`.
pub(super) struct Reader<'a> {
    pub(super) inode: &'a Inode<Erofs>,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) chain: Chain<Kernel>,
    pub(super) pool: Pool,
    ahead: bool,
    mapper: Mapper<'a>,
    packed: Option<MetaReader<'a>>,
    /// Where the file is read from on.
    start: u64,
    /// The extent around the last byte that was looked at.
    extent: Option<ZExtent>,
    /// Its pcluster.
    claim: Option<Claim>,
    /// Since the chain began.
    load: Load,
    /// In chains before, which went early or were hooked to others' and may still be on their way.
    early: Load,
    /// Counts what took away the chain.
    round: u32,
    /// The chain has folios that this reader took and that are read again for want of memory.
    pub(super) thrashes: bool,
    /// The folio that is scanned is the one that was asked for.
    asked: bool,
    /// The last error of it, or that there was no memory to read what was claimed.
    pub(super) result: Result,
}

struct Claim {
    link: Link,
    mode: ClusterMode,
}

/// What is above in a page.
struct Above {
    pcluster: Arc<Pcluster>,
    /// When it was claimed.
    round: u32,
}

/// The pages that `part` has all bytes of, by number from its first page on.
fn pages_of(part: &FolioPart) -> Range<usize> {
    let page = PAGE_SIZE as u64;
    let (start, end) = (part.pos(), part.pos() + part.len() as u64);
    let first = start / page;
    let from = start.div_ceil(page);
    let to = (end / page).max(from);
    (from - first) as usize..(to - first) as usize
}

impl<'a> Reader<'a> {
    #[inline(always)] // It is large, and is made where it stays.
    fn new(inode: &'a Inode<Erofs>, shared: &'a Arc<Shared>, start: u64, ahead: bool) -> Self {
        Self {
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
            load: Load::default(),
            early: Load::default(),
            round: 0,
            thrashes: false,
            asked: false,
            result: Ok(()),
        }
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
            self.let_go(Way::Background);
        }
    }

    /// Submits what was claimed so far, as what comes next may have to wait for it, or would be too much.
    fn let_go(&mut self, way: Way) {
        self.claim = None;
        self.round += 1;
        let load = core::mem::take(&mut self.load);
        if way == Way::Background {
            self.early = self.early + load;
        }
        self.submit(way);
    }

    /// Submits all that was claimed.
    fn finish(&mut self, way: Way) {
        // What was claimed last is its decoder's.
        self.claim = None;
        self.submit(way);
    }

    /// Tells readers apart while they live.
    pub(super) fn id(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Sees to it that all of `folio` is read; what was claimed for it is still to be submitted. The
    /// folio ends by itself when its last part does, with an error if this returns one.
    fn scan(&mut self, folio: LockedFolio) -> Result {
        let mut rest = Some(folio.into_part());
        // Who decodes to all that is above in the page that is looked at, if it is but one, and does
        // so after what is claimed next.
        let mut above: Option<Above> = None;
        while let Some(part) = rest.take() {
            // If that is what went before, nothing is left to others from here on: a chain of one
            // claim cannot be hooked.
            if (self.load + self.early).is_too_much() {
                self.let_go(Way::Wait);
                if vfs::task::is_killed() {
                    return Err(EINTR);
                }
            }
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
            let page = PAGE_SIZE as u64;
            let only = at % page != 0 && (end % page == 0 || at / page != end / page);
            above = self.read_part(upper, &extent, above.take(), only)?;
        }
        Ok(())
    }

    /// Reads `part`, which lies in `extent`. The pcluster, if that is sure to be decoded by this reader, after
    /// what is claimed later, and if it is the `only` one so far that its first page is of.
    fn read_part(
        &mut self,
        mut part: FolioPart,
        extent: &ZExtent,
        above: Option<Above>,
        only: bool,
    ) -> Result<Option<Above>> {
        let skip = part.pos() - extent.la;
        match extent.place {
            ZPlace::Hole => part.zero(0..part.len())?,
            ZPlace::Fragment { pos } => {
                self.read_fragment(&mut part, pos.checked_add(skip).ok_or(EUCLEAN)?)?
            }
            ZPlace::Mapped(cluster) => return self.attach(part, extent, &cluster, above, only),
        }
        part.end(Ok(()));
        Ok(None)
    }

    /// Copies from byte `pos` of the packed inode.
    fn read_fragment(&mut self, part: &mut FolioPart, pos: u64) -> Result {
        let sb = self.inode.super_block();
        // The packed inode would wait for its own folio.
        if sb.data().format.packed_nid == Some(self.inode.data().nid) {
            return Err(EUCLEAN);
        }
        let len = part.len();
        if pos.saturating_add(len as u64) > i64::MAX as u64 {
            return Err(EUCLEAN);
        }
        let mut meta = match self.packed.take() {
            Some(meta) => meta,
            None => super_block::meta(sb, Source::Packed)?,
        };
        if !self.chain.is_empty() && !meta.is_ready(pos, len) {
            self.let_go(Way::Background);
        }
        meta.read_to(pos, part, 0..len)?;
        self.packed = Some(meta);
        Ok(())
    }

    /// Hands `part` to the pcluster that decodes to it. That pcluster, if it is of this reader's chain, to stay
    /// there, may take in pages, and is the `only` one.
    fn attach(
        &mut self,
        part: FolioPart,
        extent: &ZExtent,
        cluster: &Cluster,
        above: Option<Above>,
        only: bool,
    ) -> Result<Option<Above>> {
        let Claim { link, mut mode } = match self.claim.take() {
            Some(claim) => claim,
            None => Claim {
                link: Link(match cluster.inline {
                    Some(source) => self.read_inline(cluster, source)?,
                    None => self.shared.table.get(Key::from(cluster))?,
                }),
                mode: ClusterMode::Inflight,
            },
        };
        let Link(pcluster) = &link;
        let mut state = pcluster.state.lock();
        // A pcluster of ours stays so until its chain goes, with which `claim` goes, too. Of others'
        // anything may have become meanwhile.
        if !mode.ours() {
            mode = match self.take_in(&link, &mut state, extent) {
                Ok(mode) => mode,
                Err(e) => {
                    self.shared.forget_useless(pcluster, &mut state);
                    return Err(e);
                }
            };
        }
        let mut request = Request {
            at: (part.pos() - extent.la) as u32,
            whole: extent.full.then_some(extent.len as u32),
            partial_ref: cluster.partial_ref,
            la: extent.la,
            exclusive: 0..0,
            eager: !self.ahead,
            asker: self.asked.then(|| self.id()),
            loan: None,
            part,
        };
        // Data that has to be moved before it is decoded is better read elsewhere at once.
        let in_place = match cluster.algorithm {
            Coding::Lz4 => extent.full && !cluster.partial_ref,
            coding => coding.algorithm().is_none(),
        };
        // The rest of the last page belongs to who is decoded next. Nothing is lent where a chain was hooked to
        // another, as they may be cut there: that is a new round, and the mode is `Hooked`.
        if let Some(above) = above.filter(|a| in_place && a.round == self.round) {
            if mode == ClusterMode::Followed && state.has_room(cluster.algorithm) {
                let end = request.part.pos() + request.part.len() as u64;
                drop(state);
                (request.part, request.loan) = above
                    .pcluster
                    .lend(request.part, end.next_multiple_of(PAGE_SIZE as u64));
                state = pcluster.state.lock();
            }
        }
        if in_place && mode.may_use_inplace() {
            request.exclusive = pages_of(&request.part);
        }
        let added = state.add(cluster.algorithm, request, &self.shared.stats);
        drop(state);
        if let Err(wanted) = added {
            wanted.end(Err(ENOMEM));
            return Err(ENOMEM);
        }
        self.load.parts += 1;
        let stays = only && mode == ClusterMode::Followed && self.shared.has_whole_pages();
        let above = stays.then(|| Above {
            pcluster: pcluster.clone(),
            round: self.round,
        });
        self.claim = Some(Claim { link, mode });
        Ok(above)
    }

    /// Claims the pcluster of `link`, and begins with it if it becomes this reader's.
    fn take_in(&mut self, link: &Link, state: &mut State, extent: &ZExtent) -> Result<ClusterMode> {
        let Link(pcluster) = link;
        if !state.seat.is_taken() {
            state.begin(pcluster.pages(self.shared.block))?;
        }
        let claimed = self.chain.claim(link, &mut state.seat);
        let mut mode = claimed.map_err(|_| ENOMEM)?;
        if mode == ClusterMode::Hooked {
            self.round += 1;
            self.early = self.early + core::mem::take(&mut self.load);
        }
        if mode.ours() {
            self.load.pages += pcluster.pages(self.shared.block);
            if self.wants_cache(extent) {
                state.allocate_cache(pcluster, &self.shared.table);
            }
            if state.is_cached() || pcluster.inline.is_some() {
                mode = ClusterMode::FollowedNoInplace;
            }
        }
        self.shared.stats.add(Event::from(mode), 1);
        Ok(mode)
    }

    /// A pcluster of its own for data among the metadata.
    fn read_inline(&mut self, cluster: &Cluster, source: Source) -> Result<Arc<Pcluster>> {
        let mut meta = super_block::meta(self.inode.super_block(), source)?;
        let len = cluster.len as usize;
        if !self.chain.is_empty() && !meta.is_ready(cluster.pa, len) {
            self.let_go(Way::Background);
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
                self.thrashes |= folio.is_workingset();
                // Nobody asked for it: who does will see what is wrong.
                if self.scan(folio) == Err(EINTR) {
                    return;
                }
            }
        }
    }
}
