// SPDX-License-Identifier: GPL-2.0-only

//! From a chain to reads, and from their end to decoding.
//!
//! Pclusters that lie side by side are read by one bio, in the order in which they are decoded.
//! What needs no read is decoded while the others are read (the bypass). The bios of one chain are one
//! batch of [`Reads`]. When the last one ends, the reader that waits goes on, or a worker with a
//! [`Job`].

use super::{
    chain::{
        Claim,
        Claims,
        Kernel, //
    },
    decode,
    pcluster::Pcluster,
    reader::Reader,
    stats::Event,
    Shared, //
};
use crate::{
    super_block::{
        fault,
        SbInfo, //
    },
    sysfs::SyncDecompress, //
};
use core::{
    convert::Infallible,
    mem::MaybeUninit,
    ops::Range, //
};
use erofs_chain::{
    List,
    Taken, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};
use vfs::{
    page::Pool,
    page_bio::PageBio,
    reads::{
        Batch,
        Reads, //
    },
    super_block::DeviceId,
    workqueue::{
        Class,
        Run,
        Work, //
    }, //
};

/// What is to be done with a pcluster of a chain.
enum Next {
    Read,
    /// It needs no read.
    Decode,
    Nothing,
}

/// What is read ahead may be decoded by the reader itself up to this length, in bytes.
const MAX_SYNC: u64 = 12288;

/// The most pages that one bio is made for.
const MAX_PAGES: usize = 256;

/// Who decodes what was read.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Way {
    /// The reader, which waits for it.
    Wait,
    /// A worker.
    Background,
}

impl Way {
    /// For `read_folio`.
    pub(super) fn of_read(info: &SbInfo) -> Self {
        match info.tunables.sync_decompress() {
            SyncDecompress::ForceOff => Self::Background,
            SyncDecompress::Auto | SyncDecompress::ForceOn => Self::Wait,
        }
    }

    /// For a readahead of `len` bytes.
    pub(super) fn of_readahead(info: &SbInfo, len: u64) -> Self {
        match info.tunables.sync_decompress() {
            SyncDecompress::Auto | SyncDecompress::ForceOn if len <= MAX_SYNC => Self::Wait,
            _ => Self::Background,
        }
    }
}

/// A chain whose reads are a batch, for a worker.
struct Job {
    batch: Batch,
    chain: Chain,
}

/// What is to be decoded. What is left of it when it is dropped fails.
struct Chain {
    claims: Taken<Kernel>,
    shared: Arc<Shared>,
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.fail(ENOMEM, 0);
    }
}

impl Chain {
    /// In the order of decoding.
    fn iter(&self) -> impl Iterator<Item = &Arc<Pcluster>> {
        Iterator::chain(self.claims.claims.iter(), self.claims.hooked.iter())
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Gives up all of it. The error, if `who` asked for something there.
    fn fail(&mut self, error: Error, who: usize) -> Result {
        let mut result = Ok(());
        for Claim(pcluster) in &mut self.claims {
            result = last(result, decode::fail(&pcluster, error, who));
            let mut state = pcluster.state.lock();
            self.shared.forget_useless(&pcluster, &mut state);
        }
        result
    }

    /// Decodes all of it but what is `unread`, in order. The last error of what `who` asked for.
    fn decode(&mut self, unread: Range<u32>, pool: &mut Pool, who: usize) -> Result {
        let mut result = Ok(());
        for (number, Claim(pcluster)) in (0..).zip(&mut self.claims) {
            let read = match unread.contains(&number) {
                true => Err(EIO),
                false => Ok(()),
            };
            result = last(result, self.shared.decode(pcluster, read, pool, who));
        }
        result
    }
}

/// Of several errors the C driver tells the last.
fn last(before: Result, after: Result) -> Result {
    after.and(before)
}

/// Memory for the reads of a chain, and for a worker to decode it.
struct Room {
    reads: Reads,
    place: UniqueArc<MaybeUninit<Work<Job>>>,
}

impl Room {
    /// Finds it, or `ENOMEM`. May sleep.
    fn new() -> Result<Self> {
        Ok(Self {
            reads: Reads::new()?,
            place: UniqueArc::new_uninit(GFP_KERNEL)?,
        })
    }
}

impl Run for Job {
    fn class() -> Class {
        vfs::work_class!("Job")
    }

    fn run(mut this: Pin<UniqueArc<Work<Self>>>) {
        let unread = this.batch.failed();
        let job = this.as_mut().inner().get_mut();
        // Whoever waits for the data hears of errors from its folio: nobody is at this address.
        let _ = job.chain.decode(unread, &mut Pool::new(), 0);
    }
}

/// Splits off what others hooked to `chain`, to be read once the reader's own claims are, and left
/// to a worker: it may be much more than the reader wants. No page is lent across that border
/// (`Reader::attach`), so neither need be decoded before the other. Without memory for a worker the
/// reader keeps it.
fn split_hooked(chain: &mut Chain) -> Option<(Room, Chain)> {
    if chain.claims.hooked.is_empty() || chain.claims.claims.is_empty() {
        return None;
    }
    let room = Room::new().ok()?;
    let hooked = Chain {
        claims: Taken {
            claims: core::mem::take(&mut chain.claims.hooked),
            hooked: Claims::default(),
        },
        shared: chain.shared.clone(),
    };
    Some((room, hooked))
}

impl Reader<'_> {
    /// Reads and decodes what was claimed, or sees to it. What could not be read of what was asked
    /// for, as far as it is known when this returns, is in `result`. May sleep.
    pub(super) fn submit(&mut self, way: Way) {
        if !self.chain.is_empty() {
            self.submit_chain(way);
            self.thrashes = false;
        }
    }

    fn submit_chain(&mut self, way: Way) {
        let mut chain = Chain {
            claims: self.chain.take(),
            shared: self.shared.clone(),
        };
        let mut bypass = KVec::new();
        let mut pages = 0;
        let quiet = GFP_KERNEL | __GFP_NOWARN;
        let mut is_read = |pcluster: &Arc<Pcluster>| {
            match self.prepare(pcluster) {
                Next::Nothing => return false,
                // Without memory for a list they wait with the others.
                Next::Decode if bypass.push(pcluster.clone(), quiet).is_ok() => return false,
                _ => {}
            }
            pages += pcluster.pages(self.shared.block);
            true
        };
        chain.claims.claims.retain(&mut is_read);
        chain.claims.hooked.retain(&mut is_read);
        if chain.is_empty() {
            return self.decode_all(bypass);
        }
        // A task that is dying leaves the decoding to a worker: it may get no memory for that.
        if way == Way::Background || vfs::task::is_killed() {
            // Without memory for a worker the reader waits.
            if let Ok(room) = Room::new() {
                self.read_for_worker(room, chain, pages);
                return self.decode_all(bypass);
            }
        }
        let hooked = split_hooked(&mut chain);
        let reads = self.read_for_waiter(&chain, pages);
        if let Some((room, hooked)) = hooked {
            self.read_for_worker(room, hooked, pages);
        }
        vfs::task::flush_plug();
        self.decode_all(bypass);
        let who = self.id();
        let result = match reads {
            Ok(reads) => chain.decode(reads.wait(), &mut self.pool, who),
            Err(e) => chain.fail(e, who),
        };
        self.note(result);
    }

    /// Has `chain` read, and decoded by a worker.
    fn read_for_worker(&self, Room { reads, place }: Room, chain: Chain, pages: usize) {
        self.read(&chain, pages, &reads);
        let job = Job {
            batch: reads.batch().clone(),
            chain,
        };
        match place.pin_init_with(Work::new::<Infallible>(job)) {
            Ok(job) => reads.then(job, self.shared.workers),
            Err(never) => match never {},
        }
    }

    fn read_for_waiter(&self, chain: &Chain, pages: usize) -> Result<Reads> {
        let reads = Reads::new()?;
        self.read(chain, pages, &reads);
        Ok(reads)
    }

    fn note(&mut self, result: Result) {
        self.result = last(self.result, result);
    }

    fn decode_all(&mut self, bypass: KVec<Arc<Pcluster>>) {
        let who = self.id();
        for pcluster in bypass {
            let decoded = self.shared.decode(pcluster, Ok(()), &mut self.pool, who);
            self.note(decoded);
        }
    }

    /// Finds pages for all of a pcluster that nobody gave. What is to be done with it.
    fn prepare(&mut self, pcluster: &Arc<Pcluster>) -> Next {
        let stats = &self.shared.stats;
        let mut state = pcluster.state.lock();
        if state.is_unwanted() {
            // There was no memory to want it. No folio waits for the read, so there must be none; and whoever
            // comes next may have the memory.
            state.finish(pcluster, false, &mut self.pool);
            self.shared.forget_useless(pcluster, &mut state);
            return Next::Nothing;
        }
        let cached = pcluster.inline.is_some() || state.is_cached();
        if cached {
            stats.add(Event::Bypass, 1);
        } else {
            state.allocate_rest(&mut self.pool, stats);
        }
        stats.add(Event::CacheHit, state.cached());
        match cached {
            true => Next::Decode,
            false => Next::Read,
        }
    }

    /// Starts the reads for `chain`, of at most so many pages.
    ///
    /// The page cache accounts stalls for want of memory where it asks for a folio that it had
    /// evicted, and where it waits for one. For folios that this reader took itself it cannot: of
    /// these the submission counts, as in a readahead of the page cache, for which nobody waits.
    fn read(&self, chain: &Chain, pages: usize, reads: &Reads) {
        vfs::task::memstall(self.thrashes, || {
            let mut bios = Bios {
                reader: self,
                reads,
                pages,
                pending: None,
            };
            for (number, pcluster) in (0..).zip(chain.iter()) {
                if let Err(e) = bios.add(number, pcluster) {
                    pcluster.state.lock().fail(e);
                }
            }
            bios.submit();
        });
    }
}

/// The bios of a chain in the making.
struct Bios<'r, 'a> {
    reader: &'r Reader<'a>,
    reads: &'r Reads,
    /// The most that are still to come.
    pages: usize,
    /// What was not submitted yet, and the device it is for.
    pending: Option<(DeviceId, PageBio<'a>)>,
}

impl Bios<'_, '_> {
    fn submit(&mut self) {
        if let Some((_, bio)) = self.pending.take() {
            bio.submit();
        }
    }

    /// Reads all pages of `pcluster`, claim `number` of the chain, that need it. An error leaves pages
    /// unread.
    fn add(&mut self, number: u32, pcluster: &Pcluster) -> Result {
        if pcluster.inline.is_some() {
            return Ok(());
        }
        let (sb, block) = (self.reader.inode.super_block(), self.reader.shared.block);
        let skip = pcluster.skip(block);
        let place = sb.data().map_dev(0, pcluster.key.pa - skip as u64);
        let (device, pos) = place.map_err(|e| fault(sb, e))?;
        let run = Blocks {
            device,
            pos,
            len: (skip + pcluster.len()).next_multiple_of(block as usize),
        };
        let (mut i, mut new) = (0, false);
        while let Some(next) = self.fill(number, pcluster, &run, i) {
            if new && next == i {
                return Err(EIO);
            }
            i = next;
            self.submit();
            let target = sb.target(device).ok_or(EIO)?;
            let room = self.pages.min(MAX_PAGES);
            // Not as a readahead, which a device may refuse: others may join who need it.
            let bio = PageBio::new(target, run.pos_of(i), room, self.reads)?;
            self.pending = Some((device, bio));
            new = true;
        }
        Ok(())
    }

    /// Adds the pages of `pcluster` from page `i` on to what is pending, as far as they follow it.
    /// The first one that does not.
    fn fill(
        &mut self,
        number: u32,
        pcluster: &Pcluster,
        run: &Blocks,
        mut i: usize,
    ) -> Option<usize> {
        let mut state = pcluster.state.lock();
        while i * PAGE_SIZE < run.len {
            if let Some(page) = state.lend_unread(i) {
                let range = 0..PAGE_SIZE.min(run.len - i * PAGE_SIZE);
                let Some((device, bio)) = &mut self.pending else {
                    return Some(i);
                };
                if *device != run.device
                    || bio.end() != run.pos_of(i)
                    || bio.add(page, range, number).is_err()
                {
                    return Some(i);
                }
                self.pages = self.pages.saturating_sub(1);
            }
            i += 1;
        }
        None
    }
}

/// The blocks of a pcluster.
struct Blocks {
    device: DeviceId,
    /// Position of the first byte.
    pos: u64,
    /// Length in bytes.
    len: usize,
}

impl Blocks {
    /// Position of the first byte of page `i`.
    fn pos_of(&self, i: usize) -> u64 {
        self.pos.saturating_add((i * PAGE_SIZE) as u64)
    }
}
