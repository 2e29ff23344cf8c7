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

type Place = UniqueArc<MaybeUninit<Work<Job>>>;

/// A chain that is read.
struct Sent {
    /// None if it was left to a worker.
    chain: Option<Chain>,
    /// Without memory nothing is read.
    reads: Option<Reads>,
    /// Where there will be the job for the worker that decodes it; else the reader waits.
    worker: Option<Place>,
}

impl Sent {
    fn worker() -> Option<(Reads, Place)> {
        Some((Reads::new().ok()?, UniqueArc::new_uninit(GFP_KERNEL).ok()?))
    }
}

impl Chain {
    /// Takes out what others hooked to it, for a worker, as it may be much more than its reader wants. No
    /// page is lent across that border (`Reader::attach`), so neither need be decoded before the other.
    fn leave_hooked(&mut self) -> Option<KBox<Sent>> {
        if self.claims.hooked.is_empty() || self.claims.claims.is_empty() {
            return None;
        }
        let (reads, place) = Sent::worker()?;
        let sent = Sent {
            chain: None,
            reads: Some(reads),
            worker: Some(place),
        };
        let mut sent = KBox::new(sent, GFP_KERNEL).ok()?;
        sent.chain = Some(Chain {
            claims: Taken {
                claims: core::mem::take(&mut self.claims.hooked),
                hooked: Claims::default(),
            },
            shared: self.shared.clone(),
        });
        Some(sent)
    }
}

/// Leaves what was sent to its worker, if it is for one.
#[inline(never)]
fn leave(sent: &mut Sent) {
    let Some(place) = sent.worker.take() else {
        return;
    };
    let (Some(chain), Some(reads)) = (sent.chain.take(), sent.reads.take()) else {
        return;
    };
    let workers = chain.shared.workers;
    let job = Job {
        batch: reads.batch().clone(),
        chain,
    };
    match place.pin_init_with(Work::new::<Infallible>(job)) {
        Ok(job) => reads.then(job, workers),
        Err(never) => match never {},
    }
}

/// What is submitted at once.
struct Going {
    /// What needs no read.
    bypass: KVec<Arc<Pcluster>>,
    /// The most pages that are read.
    pages: usize,
    /// What this reader claimed.
    own: Option<Sent>,
    /// What others hooked to it, if that is not read with it.
    hooked: Option<KBox<Sent>>,
}

/// Of several errors the C driver tells the last.
fn last(before: Result, after: Result) -> Result {
    after.and(before)
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
        // What is below a bio, such as another filesystem, has a large stack of its own. What a reader
        // has of it meanwhile is this, and `read`.
        let mut going = self.take(way);
        let (own, hooked) = (going.own.as_ref(), going.hooked.as_deref());
        for sent in [own, hooked].into_iter().flatten() {
            self.read(sent, going.pages);
        }
        self.conclude(&mut going);
    }

    /// Closes the chain, and gets ready to read it.
    #[inline(never)]
    fn take(&mut self, way: Way) -> Going {
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
        let mut going = Going {
            bypass,
            pages,
            own: None,
            hooked: None,
        };
        if !chain.is_empty() {
            let mut worker = None;
            // A task that is dying leaves the decoding to a worker: it may get no memory for that.
            if way == Way::Background || vfs::task::is_killed() {
                worker = Sent::worker();
            } else {
                going.hooked = chain.leave_hooked();
            }
            let (reads, worker) = match worker {
                Some((reads, place)) => (Some(reads), Some(place)),
                // Without memory for a worker's job the reader waits.
                None => (Reads::new().ok(), None),
            };
            going.own = Some(Sent {
                chain: Some(chain),
                reads,
                worker,
            });
        }
        going
    }

    /// Decodes what was submitted, or waits until it is read for that.
    #[inline(never)]
    fn conclude(&mut self, going: &mut Going) {
        let who = self.id();
        if let Some(hooked) = &mut going.hooked {
            leave(hooked);
        }
        if let Some(own) = &mut going.own {
            leave(own);
            if own.chain.is_some() {
                vfs::task::flush_plug();
            }
        }
        for pcluster in going.bypass.drain_all() {
            let decoded = self.shared.decode(pcluster, Ok(()), &mut self.pool, who);
            self.note(decoded);
        }
        let Some(Sent { chain, reads, .. }) = &mut going.own else {
            return;
        };
        if let Some(chain) = chain {
            let result = match reads.take() {
                Some(reads) => chain.decode(reads.wait(), &mut self.pool, who),
                None => chain.fail(ENOMEM, who),
            };
            self.note(result);
        }
    }

    fn note(&mut self, result: Result) {
        self.result = last(self.result, result);
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

    /// Starts the reads for a chain, of at most so many pages.
    ///
    /// The page cache accounts stalls for want of memory where it asks for a folio that it had
    /// evicted, and where it waits for one. For folios that this reader took itself it cannot: of
    /// these the submission counts, as in a readahead of the page cache, for which nobody waits.
    #[inline(never)]
    fn read(&self, Sent { chain, reads, .. }: &Sent, pages: usize) {
        let (Some(chain), Some(reads)) = (chain, reads) else {
            return;
        };
        vfs::task::memstall(self.thrashes, || {
            let mut bios = Bios {
                reader: self,
                reads,
                pages,
                pending: None,
            };
            for (number, pcluster) in (0..).zip(chain.iter()) {
                let mut at = None;
                while let Some(bio) = bios.add(number, pcluster, &mut at) {
                    bio.submit();
                }
            }
            if let Some((_, bio)) = bios.pending {
                bio.submit();
            }
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

impl<'a> Bios<'_, 'a> {
    /// Reads all pages of `pcluster`, claim `number` of the chain, that need it; an error leaves some
    /// unread. A bio that it returns is to be submitted before it goes on: it is called again then, with
    /// the same place `at`, which is `None` at first.
    #[inline(never)]
    fn add(
        &mut self,
        number: u32,
        pcluster: &Pcluster,
        at: &mut Option<usize>,
    ) -> Option<PageBio<'a>> {
        if pcluster.inline.is_some() {
            return None;
        }
        self.try_add(number, pcluster, at).unwrap_or_else(|e| {
            pcluster.state.lock().fail(e);
            None
        })
    }

    fn try_add(
        &mut self,
        number: u32,
        pcluster: &Pcluster,
        at: &mut Option<usize>,
    ) -> Result<Option<PageBio<'a>>> {
        let (sb, block) = (self.reader.inode.super_block(), self.reader.shared.block);
        let skip = pcluster.skip(block);
        let place = sb.data().map_dev(0, pcluster.key.pa - skip as u64);
        let (device, pos) = place.map_err(|e| fault(sb, e))?;
        let run = Blocks {
            device,
            pos,
            len: (skip + pcluster.len()).next_multiple_of(block as usize),
        };
        let mut next = match *at {
            None => self.fill(number, pcluster, &run, 0),
            at => at,
        };
        while let Some(i) = next {
            if let Some((_, bio)) = self.pending.take() {
                *at = Some(i);
                return Ok(Some(bio));
            }
            let target = sb.target(device).ok_or(EIO)?;
            let room = self.pages.min(MAX_PAGES);
            // Not as a readahead, which a device may refuse: others may join who need it.
            let bio = PageBio::new(target, run.pos_of(i), room, self.reads)?;
            self.pending = Some((device, bio));
            next = self.fill(number, pcluster, &run, i);
            if next == Some(i) {
                return Err(EIO);
            }
        }
        Ok(None)
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
