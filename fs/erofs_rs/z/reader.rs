// SPDX-License-Identifier: GPL-2.0-only

//! Reading folios of compressed files: from folios to chains of pclusters.
//!
//! A folio is taken apart from its end to its beginning, since extents are found by their last byte,
//! and each part goes to the pcluster that decodes to it. What was claimed is then submitted and
//! decoded in the reverse order, so from the beginning of the file to its end: a page whose upper
//! half belongs to one pcluster and whose lower half to the next can take in the compressed data of
//! the latter, which is gone when the former is written over it.

mod fragment;

use self::fragment::Fragment;
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
    trace,
    Erofs, //
};
use core::ops::Range;
use erofs_chain::{
    Chain,
    ClusterMode, //
};
use erofs_format::zmap::{
    Cluster,
    Coding,
    Want,
    ZExtent,
    ZPlace, //
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

    fn readahead(inode: &Inode<Erofs>, folios: Readahead<'_>) {
        trace::readahead(inode, || folios.range(), false);
        let start = folios.range().start;
        let Ok(shared) = shared(inode) else {
            return;
        };
        if is_internal(inode) {
            if let Ok(mut reader) = Reader::boxed(inode, shared, start, true) {
                reader.read_ahead(folios);
            }
        } else {
            on_stack(inode, shared, start, true, |reader| {
                reader.read_ahead(folios)
            });
        }
    }
}

#[inline(always)]
fn read_folio(inode: &Inode<Erofs>, folio: LockedFolio) -> Result {
    let start = folio.range().start;
    let shared = shared(inode)?;
    if is_internal(inode) {
        Reader::boxed(inode, shared, start, false)?.read_folio(folio)
    } else {
        on_stack(inode, shared, start, false, |reader| {
            reader.read_folio(folio)
        })
    }
}

/// Whether reading other files reads this one. Then there is less of the stack.
fn is_internal(inode: &Inode<Erofs>) -> bool {
    let (format, nid) = (&inode.super_block().data().format, inode.data().nid);
    format.packed_nid == Some(nid) || format.metabox_nid == Some(nid)
}

#[inline(never)] // Where it is in a box, there is no room for it on the stack.
fn on_stack<'a, R>(
    inode: &'a Inode<Erofs>,
    shared: &'a Arc<Shared>,
    start: u64,
    ahead: bool,
    read: impl FnOnce(&mut Reader<'a>) -> R,
) -> R {
    read(&mut Reader::new(inode, shared, start, ahead))
}

/// What the compressed files of the mount have in common. `EUCLEAN` if there can be none.
fn shared(inode: &Inode<Erofs>) -> Result<&Arc<Shared>> {
    inode.super_block().data().compressed().ok_or(EUCLEAN)
}

/// The folios of a readahead from the last to the first.
struct Backwards {
    last: Option<LockedFolio>,
    before: KVec<LockedFolio>,
}

impl Backwards {
    /// Takes the folios, which have `len` bytes, as far as memory goes for a list of those before the last.
    #[inline(never)]
    fn new(folios: Readahead<'_>, len: u64) -> Self {
        let (mut last, mut before) = (None, KVec::new());
        let pages = (len >> PAGE_SHIFT) as usize;
        for folio in folios {
            if let Some(folio) = last.replace(folio) {
                let room = if before.is_empty() { pages.min(32) } else { 1 };
                if before.reserve(room, GFP_KERNEL | __GFP_NOWARN).is_err()
                    || before.push_within_capacity(folio).is_err()
                {
                    break;
                }
            }
        }
        Self { last, before }
    }

    fn next(&mut self) -> Option<LockedFolio> {
        self.last.take().or_else(|| self.before.pop())
    }
}

// Log lines are made in frames of their own: these are large.

#[cold]
#[inline(never)]
fn tell_unread(inode: &Inode<Erofs>, index: u64, error: Error) {
    if error != EINTR {
        let (sb, nid) = (inode.super_block(), inode.data().nid.0);
        let error = error.to_errno();
        vfs::err!(sb, "read error {error} @ {index} of nid {nid}");
    }
}

#[cold]
#[inline(never)]
fn tell_unread_ahead(inode: &Inode<Erofs>, index: u64) {
    let (sb, nid) = (inode.super_block(), inode.data().nid.0);
    vfs::err!(sb, "readahead error at folio {index} @ nid {nid}");
}

#[cold]
#[inline(never)]
fn tell_unread_inline(inode: &Inode<Erofs>, pa: u64, error: Error) {
    let (sb, nid) = (inode.super_block(), inode.data().nid.0);
    let error = error.to_errno();
    vfs::err!(
        sb,
        "failed to read inline data {error} @ pa {pa} of nid {nid}"
    );
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
///
/// What is known of the folio that is being read is in it, and not in frames. So all calls can return to
/// [`fill`](Self::fill) before something is read for which another reader is needed (a file of the
/// filesystem itself) or a lower filesystem. A reader within a reader is in a box.
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
    /// What is left of the folio that is read.
    rest: Option<FolioPart>,
    /// What of it is to be read from the packed inode.
    fragment: Option<Fragment>,
    /// Who decodes to all that is above in the page that is looked at, if it is but one, and does so
    /// after what is claimed next.
    above: Option<Above>,
    /// The folio that is scanned is the one that was asked for.
    asked: bool,
    /// The last error of it, or that there was no memory to read what was claimed.
    pub(super) result: Result,
}

struct Claim {
    link: Link,
    mode: ClusterMode,
}

/// Why reading a folio stopped.
enum Stop {
    /// All of it is claimed or read.
    End,
    /// What was claimed is to be read before there is more of it.
    TooMuch,
    /// Metadata is to be loaded.
    Map,
    /// So is the data of a pcluster, at this position.
    Inline(u64),
    /// A part is to be read from the packed inode.
    Fragment,
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
            rest: None,
            fragment: None,
            above: None,
            asked: false,
            result: Ok(()),
        }
    }

    #[inline(never)]
    fn boxed(
        inode: &'a Inode<Erofs>,
        shared: &'a Arc<Shared>,
        start: u64,
        ahead: bool,
    ) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self::new(inode, shared, start, ahead),
            GFP_KERNEL,
        )?)
    }

    /// Reads `folio`, which somebody waits for.
    #[inline(never)]
    fn read_folio(&mut self, folio: LockedFolio) -> Result {
        let index = folio.pos() >> PAGE_SHIFT;
        self.read_behind(folio.range().end - 1, None);
        self.asked = true;
        let filled = self.fill(folio);
        self.asked = false;
        self.read_before();
        self.finish(Way::of_read(self.inode.super_block().data()));
        // What was claimed before a map turned out to be wrong may fail, too; that is told.
        let result = self.result.and(filled);
        if let Err(e) = result {
            tell_unread(self.inode, index, e);
        }
        result
    }

    /// Reads as many of `folios` as there is memory for.
    #[inline(never)]
    fn read_ahead(&mut self, mut folios: Readahead<'_>) {
        let window = folios.range();
        let len = window.end - window.start;
        self.read_behind(window.end - 1, Some(&mut folios));
        let mut backwards = Backwards::new(folios, len);
        while let Some(folio) = backwards.next() {
            // The rest ends unread: nobody waits for it, and a task that was killed for want of memory
            // is to take no more.
            if vfs::task::is_killed() {
                break;
            }
            let index = folio.pos() >> PAGE_SHIFT;
            match self.fill(folio) {
                // What is left is read when it is needed.
                Err(EINTR) => break,
                Err(_) => tell_unread_ahead(self.inode, index),
                Ok(()) => {}
            }
        }
        self.read_before();
        self.finish(Way::of_readahead(self.inode.super_block().data(), len));
    }

    /// Finds the extent of byte `pos`. `None` if metadata is to be loaded for that.
    fn find(&mut self, pos: u64, want: Want) -> Result<Option<ZExtent>> {
        let holds = |e: &ZExtent| pos.checked_sub(e.la).is_some_and(|skip| skip < e.len);
        if !self.extent.as_ref().is_some_and(holds) {
            self.claim = None;
            self.extent = None;
            self.extent = self.mapper.find(pos, want)?;
        }
        Ok(self.extent)
    }

    /// Loads the metadata that was missing. Others may have to read for that what only this reader's
    /// chain brings, so the chain goes first then.
    fn load_map(&mut self) -> Result {
        if self.mapper.is_nested() && !self.chain.is_empty() {
            self.let_go(Way::Background);
        }
        self.mapper.load()
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
    fn fill(&mut self, folio: LockedFolio) -> Result {
        self.above = None;
        self.rest = Some(folio.into_part());
        let filled = self.fill_rest();
        if filled.is_err() {
            self.rest = None;
            self.fragment = None;
        }
        filled
    }

    /// Does what has to wait, and what nests, between two steps that do not.
    fn fill_rest(&mut self) -> Result {
        loop {
            match self.scan()? {
                Stop::End => return Ok(()),
                Stop::TooMuch => {
                    // If that is what went before, nothing is left to others from here on: a chain of
                    // one claim cannot be hooked.
                    self.let_go(Way::Wait);
                    if vfs::task::is_killed() {
                        return Err(EINTR);
                    }
                }
                Stop::Map => self.load_map()?,
                Stop::Inline(pa) => self
                    .load_map()
                    .inspect_err(|e| tell_unread_inline(self.inode, pa, *e))?,
                Stop::Fragment => self.load_fragment()?,
            }
        }
    }

    /// Goes on with the folio from its end to its beginning, as far as nothing has to be waited for.
    #[inline(never)]
    fn scan(&mut self) -> Result<Stop> {
        while let Some(part) = self.rest.take() {
            if (self.load + self.early).is_too_much() {
                if !self.chain.is_empty() {
                    self.rest = Some(part);
                    return Ok(Stop::TooMuch);
                }
                if vfs::task::is_killed() {
                    return Err(EINTR);
                }
            }
            let (start, end) = (part.pos(), part.pos() + part.len() as u64);
            let Some(extent) = self.find(end - 1, Want::Read)? else {
                self.rest = Some(part);
                return Ok(Stop::Map);
            };
            if let (ZPlace::Mapped(cluster), None) = (&extent.place, &self.claim) {
                let Some(link) = self.link(cluster)? else {
                    self.rest = Some(part);
                    return Ok(Stop::Inline(cluster.pa));
                };
                let mode = ClusterMode::Inflight;
                self.claim = Some(Claim { link, mode });
            }
            let at = extent.la.max(start);
            let mut part = if at > start {
                let (lower, upper) = part.split(at - start);
                self.rest = Some(lower);
                upper.ok_or(EIO)?
            } else {
                part
            };
            let above = self.above.take();
            match &extent.place {
                ZPlace::Hole => {
                    part.zero(0..part.len())?;
                    part.end(Ok(()));
                }
                ZPlace::Fragment { pos } => {
                    let pos = pos.checked_add(at - extent.la).ok_or(EUCLEAN)?;
                    if !self.read_fragment(part, pos)? {
                        return Ok(Stop::Fragment);
                    }
                }
                ZPlace::Mapped(cluster) => {
                    let page = PAGE_SIZE as u64;
                    let only = at % page != 0 && (end % page == 0 || at / page != end / page);
                    self.above = self.attach(part, &extent, cluster, above, only)?;
                }
            }
        }
        Ok(Stop::End)
    }

    /// The pcluster of `cluster`. `None` if its data is among metadata that is to be loaded.
    fn link(&mut self, cluster: &Cluster) -> Result<Option<Link>> {
        let pcluster = match cluster.inline {
            None => self.shared.table.get(Key::from(cluster))?,
            Some(source) => {
                let len = cluster.len as usize;
                let read = self.mapper.read_inline(source, cluster.pa, len);
                match read.inspect_err(|e| tell_unread_inline(self.inode, cluster.pa, *e))? {
                    Some(bytes) => Pcluster::new_inline(Key::from(cluster), bytes)?,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Link(pcluster)))
    }

    /// Hands `part` to the pcluster that decodes to it. That pcluster, if it is of this reader's chain, to stay
    /// there, may take in pages, and is the `only` one.
    #[inline(never)]
    fn attach(
        &mut self,
        part: FolioPart,
        extent: &ZExtent,
        cluster: &Cluster,
        above: Option<Above>,
        only: bool,
    ) -> Result<Option<Above>> {
        let Claim { link, mut mode } = self.claim.take().ok_or(EIO)?;
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
        let extent = loop {
            match self.find(last, Want::ReadMore) {
                Ok(Some(extent)) => break extent,
                Ok(None) if self.load_map().is_ok() => {}
                _ => return,
            }
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
                if self.fill(folio) == Err(EINTR) {
                    return;
                }
            }
        }
    }
}
