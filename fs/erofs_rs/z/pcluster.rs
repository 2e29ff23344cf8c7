// SPDX-License-Identifier: GPL-2.0-only

//! Physical clusters: compressed data on disk, and who waits for what it decodes to.

use super::{
    cache::{
        Emptied,
        Keep, //
    },
    chain::Kernel,
    stats::{
        Event,
        Stats, //
    },
    table::Table, //
};
use core::ops::Range;
use erofs_chain::Seat;
use erofs_format::zmap::{
    Cluster,
    Coding, //
};
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        UniqueArc, //
    }, //
};
use vfs::{
    few::Few,
    file_page::FilePage,
    folio::FolioPart,
    page::{
        Alloc,
        CachedPage,
        Page,
        Pool, //
    },
    page_bio::Lent, //
};

/// What tells pclusters of one mount from each other. Images may call the same bytes by different
/// lengths or codings, and those are then different pclusters.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    /// Position of the first compressed byte.
    pub(crate) pa: u64,
    /// Compressed length, in bytes, not 0.
    pub(crate) len: u32,
    pub(crate) coding: Coding,
}

impl Key {
    /// Before every other.
    pub(crate) const FIRST: Self = Self {
        pa: 0,
        len: 0,
        coding: Coding::Shifted,
    };
}

/// A pcluster. It lives as long as a chain, a reader or the table has it.
#[pin_data]
pub(crate) struct Pcluster {
    pub(crate) key: Key,
    /// The compressed data, if it was among the metadata. Few have some.
    pub(crate) inline: Option<KBox<KVec<u8>>>,
    #[pin]
    pub(crate) state: Mutex<State>,
}

/// A page of compressed data, from nothing to what is decoded from.
pub(crate) enum Slot {
    /// Nobody gave a page yet.
    Empty,
    /// A page to be kept. What is in it is good if it is `uptodate`.
    Cached { page: CachedPage, uptodate: bool },
    /// A page of a file that decoded data goes to later, from decoded byte `at` on: in-place I/O.
    InPlace { page: FilePage, at: u32 },
    /// A page for this one time.
    Temporary(Page),
}

/// The longest list that is kept for another pcluster.
const MAX_SPARE: usize = 16;

/// Most pclusters are of one page or of many.
pub(crate) type Slots = Few<Slot, 1>;

/// Where decoded data is to go.
pub(crate) struct Wanted {
    /// Bytes of a file, which end when they are filled.
    pub(crate) part: FolioPart,
    /// Which decoded byte its first byte is.
    pub(crate) at: u32,
    /// Some of its pages take in compressed data.
    pub(crate) donated: bool,
    /// Bytes at its end that are not its own.
    pub(crate) loan: Option<Loan>,
}

/// The rest of a page that takes in compressed data, which belongs to the pcluster that decodes to
/// it: that one has it back before it is decoded itself.
pub(crate) struct Loan {
    owner: Arc<Pcluster>,
    /// Which byte of what the owner decodes to is the first one.
    at: u32,
    /// Length in bytes.
    len: u32,
}

impl Wanted {
    /// How many decoded bytes it takes.
    pub(crate) fn len(&self) -> u32 {
        self.part.len() as u32 - self.loan.as_ref().map_or(0, |loan| loan.len)
    }

    /// Splits off what is behind the first `len` bytes, which are its own.
    pub(crate) fn split(self, len: usize) -> (Self, Option<Self>) {
        let Self {
            part,
            at,
            donated,
            mut loan,
        } = self;
        let (part, rest) = part.split(len as u64);
        let rest = rest.map(|part| Self {
            part,
            at: at + len as u32,
            donated,
            loan: loan.take(),
        });
        let first = Self {
            part,
            at,
            donated,
            loan,
        };
        (first, rest)
    }

    /// Ends it, and gives back what was lent.
    pub(crate) fn end(self, result: Result) {
        let len = self.len();
        match self.loan {
            None => self.part.end(result),
            Some(loan) => {
                let (own, lent) = self.part.split(len.into());
                own.end(result);
                if let Some(lent) = lent {
                    loan.owner.give_back(lent, loan.at);
                }
            }
        }
    }
}

/// What the claimer of a pcluster, those who join, and its decoder share, one at a time.
pub(crate) struct State {
    /// Which chain has it.
    pub(crate) seat: Seat<Kernel>,
    /// What this round is for. Empty while nobody claims it.
    pub(crate) wanted: KVec<Wanted>,
    /// How many parts are lent, and will be back when it is decoded.
    lent: usize,
    /// The compressed pages in order.
    slots: Slots,
    /// How many of them are kept.
    kept: usize,
    /// Its place among those that can be reclaimed, if it keeps any.
    keep: Option<Keep>,
    /// In-place pages are looked for below this slot; there are as many.
    below: usize,
    /// How many bytes are to be decoded.
    pub(crate) length: u32,
    /// Where in a page the first decoded byte goes.
    pub(crate) page_offset: u16,
    /// It stays so, as a page of somebody's has its place by it.
    fixed: bool,
    /// Not all that it decodes to is wanted.
    pub(crate) partial: bool,
    /// Somebody waits, so that memory must be found.
    pub(crate) eager: bool,
    /// Which reader is told of an error.
    pub(crate) asker: Option<usize>,
    /// It could not be read.
    pub(crate) failed: Option<Error>,
    /// It was taken out of the table, so it keeps nothing.
    pub(crate) orphan: bool,
}

impl Slot {
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Self::InPlace { .. })
    }
}

impl Pcluster {
    /// One that nobody claimed yet. `ENOMEM`.
    pub(crate) fn new(key: Key) -> Result<Arc<Self>> {
        Self::with_data(key, None)
    }

    /// Makes one that nobody has, and that was cleared, the pcluster `key`.
    pub(crate) fn reuse(mut this: Pin<UniqueArc<Self>>, key: Key) -> Arc<Self> {
        *this.as_mut().project().key = key;
        this.into()
    }

    /// Makes it ready to become another one, as it is idle, keeps nothing, and is not known. Its lists
    /// stay, if they are short, with `list` for what is wanted, which is empty.
    pub(crate) fn clear(&self, list: KVec<Wanted>) {
        let mut state = self.state.lock();
        state.orphan = false;
        state.lent = 0;
        if state.slots.len() > MAX_SPARE {
            state.slots = Slots::default();
        }
        if list.capacity() <= MAX_SPARE {
            state.wanted = list;
        }
    }

    /// One whose data is here already. It is in no table.
    pub(crate) fn new_inline(key: Key, data: KVec<u8>) -> Result<Arc<Self>> {
        Self::with_data(key, Some(KBox::new(data, GFP_KERNEL)?))
    }

    fn with_data(key: Key, inline: Option<KBox<KVec<u8>>>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                key,
                state <- new_mutex!(State {
                    seat: Seat::new(),
                    wanted: KVec::new(),
                    lent: 0,
                    slots: Slots::default(),
                    kept: 0,
                    keep: None,
                    below: 0,
                    length: 0,
                    page_offset: 0,
                    fixed: false,
                    partial: true,
                    eager: false,
                    asker: None,
                    failed: None,
                    orphan: inline.is_some(),
                }),
                inline,
            }),
            GFP_KERNEL,
        )
    }

    /// Lends the bytes from the end of `part` to `page_end` in its file, if this pcluster decodes to
    /// them: they come back as the end of the part.
    pub(crate) fn lend(
        self: &Arc<Self>,
        part: FolioPart,
        page_end: u64,
    ) -> (FolioPart, Option<Loan>) {
        let end = part.pos() + part.len() as u64;
        let len = (page_end - end) as u32;
        let mut state = self.state.lock();
        let State { wanted, lent, .. } = &mut *state;
        // What is left has bytes of its own: no loan begins where a page does.
        let next = |w: &Wanted| w.part.pos() == end && w.len() >= len;
        let Some(i) = wanted.iter().rposition(next) else {
            return (part, None);
        };
        // For what is left, and for what comes back.
        if wanted.reserve(2, GFP_KERNEL | __GFP_NOWARN).is_err() {
            return (part, None);
        }
        let Ok(theirs) = wanted.remove(i) else {
            return (part, None);
        };
        let (piece, rest) = theirs.split(len as usize);
        if let Some(rest) = rest {
            let _ = wanted.push_within_capacity(rest);
        }
        let at = piece.at;
        match part.merge(piece.part) {
            Ok(part) => {
                *lent += 1;
                let owner = self.clone();
                (part, Some(Loan { owner, at, len }))
            }
            Err((part, back)) => {
                let _ = wanted.push_within_capacity(Wanted {
                    part: back,
                    ..piece
                });
                (part, None)
            }
        }
    }

    /// Takes back what was lent. It is decoded with the rest, which comes later in the same chain.
    fn give_back(&self, part: FolioPart, at: u32) {
        let mut state = self.state.lock();
        let w = Wanted {
            part,
            at,
            donated: false,
            loan: None,
        };
        state.lent = state.lent.saturating_sub(1);
        // Otherwise it fails, as it is dropped.
        if state.seat.is_taken() {
            let _ = state.wanted.push(w, GFP_KERNEL);
        }
    }

    /// Compressed length, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.key.len as usize
    }

    /// How many bytes of the first page are before the first compressed one, when pages are read
    /// from a block of `block` bytes on.
    pub(crate) fn skip(&self, block: u32) -> usize {
        (self.key.pa & (u64::from(block) - 1)) as usize
    }

    /// How many pages are read for it.
    pub(crate) fn pages(&self, block: u32) -> usize {
        match self.inline {
            Some(_) => 0,
            None => (self.skip(block) + self.len()).div_ceil(PAGE_SIZE),
        }
    }
}

/// What a reader wants of a pcluster with one part of a file.
pub(crate) struct Request {
    pub(crate) part: FolioPart,
    /// What of `part` is not its own.
    pub(crate) loan: Option<Loan>,
    /// Which decoded byte the first of `part` is.
    pub(crate) at: u32,
    /// How many bytes it decodes to, if that is known.
    pub(crate) whole: Option<u32>,
    /// Others refer to the same data, and perhaps to more or less of it.
    pub(crate) partial_ref: bool,
    /// Position of the first decoded byte in the file.
    pub(crate) la: u64,
    /// The pages of `part`, by number from its first page on, that take in compressed data if need
    /// be.
    pub(crate) exclusive: Range<usize>,
    /// Somebody waits.
    pub(crate) eager: bool,
    /// Who is told of an error, if anyone.
    pub(crate) asker: Option<usize>,
}

impl State {
    /// Begins a round, of an idle pcluster: makes a place for each of `pages`. `ENOMEM`.
    pub(crate) fn begin(&mut self, pages: usize) -> Result {
        if let Some(keep) = &self.keep {
            keep.link.touch();
        }
        if self.slots.len() != pages {
            self.slots = Slots::filled_with(pages, GFP_KERNEL, || Slot::Empty)?;
        }
        self.below = pages;
        Ok(())
    }

    /// Allocates pages that will be kept for the slots of `this` that have none. Slots stay empty if
    /// there is no memory, in the reader's cgroup or in all.
    pub(crate) fn allocate_cache(&mut self, this: &Arc<Pcluster>, table: &Arc<Table>) {
        if self.orphan {
            return;
        }
        for slot in self.slots.iter_mut().filter(|s| matches!(s, Slot::Empty)) {
            if self.keep.is_none() {
                self.keep = table.lru.link(this).ok().map(|link| Keep {
                    link,
                    table: table.clone(),
                });
            }
            let (Some(_), Ok(page)) = (&self.keep, CachedPage::new()) else {
                return;
            };
            *slot = Slot::Cached {
                page,
                uptodate: false,
            };
        }
    }

    /// How many pages need not be read.
    pub(crate) fn cached(&self) -> usize {
        let good = |s: &&Slot| matches!(s, Slot::Cached { uptodate: true, .. });
        self.slots.iter().filter(good).count()
    }

    /// Whether nothing has to be read.
    pub(crate) fn is_cached(&self) -> bool {
        !self.slots.is_empty() && self.cached() == self.slots.len()
    }

    /// Whether a page could take in compressed data of `coding`. Of data that is not compressed only
    /// one page is read in place: it would be in the way.
    pub(crate) fn has_room(&self, coding: Coding) -> bool {
        (coding.algorithm().is_some() || self.slots.len() <= 1)
            && self.slots[..self.below]
                .iter()
                .any(|s| matches!(s, Slot::Empty))
    }

    /// Takes `request` in. Gives back what it wants if there is no memory for that: it is to be ended,
    /// without the lock of the pcluster, as what is lent goes back to another one.
    pub(crate) fn add(
        &mut self,
        coding: Coding,
        request: Request,
        stats: &Stats,
    ) -> Result<(), Wanted> {
        let Request { part, loan, at, .. } = request;
        let mut wanted = Wanted {
            part,
            at,
            donated: false,
            loan,
        };
        let end = at.saturating_add(wanted.len());
        let page_offset = (request.la % PAGE_SIZE as u64) as u16;
        // Most have a few, of a page each.
        let room = if self.wanted.is_empty() { 4 } else { 1 };
        // An image can have as many as it likes: too many for one list is no fault of the kernel's.
        let quiet = GFP_KERNEL | __GFP_NOWARN;
        if self.wanted.reserve(room, quiet).is_err() {
            return Err(wanted);
        }
        if self.wanted.is_empty() {
            self.page_offset = page_offset;
        }
        // Pages can be taken in where they have their place in the output, and have it alone.
        let apart = |w: &Wanted| !w.donated || end <= w.at || w.at + w.len() <= at;
        wanted.donated = page_offset == self.page_offset
            && !request.exclusive.is_empty()
            && self.has_room(coding)
            && self.wanted.iter().all(apart)
            && self.donate(&mut wanted.part, at, request.exclusive, stats);
        self.fixed |= wanted.donated;
        let _ = self.wanted.push_within_capacity(wanted);
        if end > self.length {
            self.length = end;
            if !self.fixed {
                self.page_offset = page_offset;
            }
        }
        if request.whole == Some(self.length) && !request.partial_ref {
            self.partial = false;
        }
        self.eager |= request.eager;
        self.asker = request.asker.or(self.asker);
        Ok(())
    }

    /// Gives pages of `part` to places that are still empty, the last ones first, as the decoder
    /// overwrites the first ones first.
    fn donate(
        &mut self,
        part: &mut FolioPart,
        at: u32,
        pages: Range<usize>,
        stats: &Stats,
    ) -> bool {
        let skip = (part.pos() % PAGE_SIZE as u64) as usize;
        let mut donated = 0;
        for number in pages.rev() {
            let free = |s: &Slot| matches!(s, Slot::Empty);
            let Some(free) = self.slots[..self.below].iter().rposition(free) else {
                self.below = 0;
                break;
            };
            let Some(page) = part.give(number) else {
                break;
            };
            let at = at + (number * PAGE_SIZE - skip) as u32;
            self.slots[free] = Slot::InPlace { page, at };
            self.below = free;
            donated += 1;
        }
        stats.add(Event::InplaceIo, donated);
        donated > 0
    }

    /// Fills the places that are still empty with pages for this one time, if there is memory. What
    /// is left fails when it is decoded.
    pub(crate) fn allocate_rest(&mut self, pool: &mut Pool, stats: &Stats) {
        let mut refused = 0;
        for slot in self.slots.iter_mut().filter(|s| matches!(s, Slot::Empty)) {
            let Ok(page) = pool.take(Alloc::NoIo) else {
                break;
            };
            *slot = Slot::Temporary(page);
            refused += 1;
        }
        stats.add(Event::InplaceIoRefused, refused);
    }

    /// Whether nobody has it, and it keeps nothing.
    pub(crate) fn is_useless(&self) -> bool {
        self.kept == 0 && !self.seat.is_taken()
    }

    /// Whether nobody waits for it, as there was no memory to.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.wanted.is_empty() && self.lent == 0
    }

    /// The owner could not have all pages read.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    /// Page `i`, if it is to be read.
    pub(crate) fn lend_unread(&mut self, i: usize) -> Option<Lent<'_>> {
        match self.slots.get_mut(i)? {
            Slot::Empty | Slot::Cached { uptodate: true, .. } => None,
            Slot::Cached { page, .. } => Some(Lent::Page(page.lend())),
            Slot::InPlace { page, .. } => Some(Lent::File(page)),
            Slot::Temporary(page) => Some(Lent::Page(page.lend())),
        }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Ends a round of `this`: what was read stays in the pages that are kept, if it is good; the
    /// others go.
    pub(crate) fn finish(&mut self, this: &Arc<Pcluster>, good: bool, pool: &mut Pool) {
        self.kept = 0;
        let keeps = match &self.keep {
            Some(keep) => !self.orphan && !keep.table.is_closed(),
            None => false,
        };
        for slot in self.slots.iter_mut() {
            *slot = match core::mem::replace(slot, Slot::Empty) {
                Slot::Cached { page, uptodate } if keeps && (uptodate || good) => {
                    self.kept += 1;
                    Slot::Cached {
                        page,
                        uptodate: true,
                    }
                }
                Slot::Temporary(page) => {
                    pool.put(page);
                    Slot::Empty
                }
                _ => Slot::Empty,
            };
        }
        match &mut self.keep {
            Some(keep) if self.kept > 0 => keep.link.list(this, self.kept),
            keep => *keep = None,
        }
        self.length = 0;
        self.fixed = false;
        self.partial = true;
        self.eager = false;
        self.asker = None;
        self.failed = None;
        self.seat.release();
    }

    /// Empties an idle pcluster, which will keep nothing more. Returns its memory.
    pub(crate) fn empty(&mut self) -> Option<Emptied> {
        if self.seat.is_taken() {
            return None;
        }
        self.orphan = true;
        self.below = 0;
        self.kept = 0;
        let slots = core::mem::take(&mut self.slots);
        Some(Emptied::new(slots, self.keep.take()))
    }
}

impl From<&Cluster> for Key {
    fn from(cluster: &Cluster) -> Self {
        Self {
            pa: cluster.pa,
            len: cluster.len,
            coding: cluster.algorithm,
        }
    }
}
