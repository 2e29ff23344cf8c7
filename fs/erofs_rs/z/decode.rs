// SPDX-License-Identifier: GPL-2.0-only

//! Decoding: from the compressed pages of a pcluster to all parts of files that wait for it.

use super::{
    pcluster::{
        Key,
        Pcluster,
        Slot,
        State,
        Wanted, //
    },
    stats::Event,
    Shared, //
};
use erofs_format::zmap::Coding;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use vfs::{
    codec::{
        InPlace,
        Input,
        Output,
        Request, //
    },
    page::{
        self,
        Alloc,
        Pool, //
    }, //
};

/// Gives up `pcluster`, which its chain cannot read: what waits for it ends with `error`, which is given
/// to the reader that asked for it, `who`.
pub(super) fn fail(pcluster: &Arc<Pcluster>, error: Error, who: usize) -> Result {
    let mut state = pcluster.state.lock();
    let mut wanted = core::mem::take(&mut state.wanted);
    let asked = state.asker == Some(who);
    state.finish(pcluster, false, &mut Pool::new());
    drop(state);
    end(&mut wanted, Err(error));
    match asked {
        true => Err(error),
        false => Ok(()),
    }
}

#[inline(never)] // What it takes of the stack is not needed while something is decoded.
fn end(wanted: &mut KVec<Wanted>, result: Result) {
    for wanted in wanted.drain_all() {
        wanted.end(result);
    }
}

impl Shared {
    /// Decodes `pcluster`, which is read, or could not be if `read` says so, and ends all that waits
    /// for it. An error is given to the reader that asked for it, `who`. May sleep.
    pub(super) fn decode(
        &self,
        pcluster: Arc<Pcluster>,
        read: Result,
        pool: &mut Pool,
        who: usize,
    ) -> Result {
        // Reclaim may wait for folios that this is to end.
        page::no_io(|| self.decode_within(pcluster, read, pool, who))
    }

    #[inline]
    fn decode_within(
        &self,
        pcluster: Arc<Pcluster>,
        read: Result,
        pool: &mut Pool,
        who: usize,
    ) -> Result {
        let mut state = pcluster.state.lock();
        let mut wanted = core::mem::take(&mut state.wanted);
        let read = state.failed.map_or(read, Err);
        let result = match read {
            Ok(()) if wanted.is_empty() => Ok(()),
            Ok(()) => self.fill(&pcluster, &state, &mut wanted, pool),
            Err(e) => Err(e),
        };
        let (eager, length) = (state.eager, state.length);
        let asked = state.asker == Some(who);
        // What was read is kept even if it does not decode: it would be no better the next time.
        state.finish(&pcluster, read.is_ok(), pool);
        let node = self.forget_useless(&pcluster, &mut state);
        drop(state);
        self.stats.add(Event::Decoded, 1);
        if let Err(e) = result {
            self.stats.add(Event::Failed, 1);
            // Readahead may fail for want of memory: it is read again when it is needed.
            if read.is_ok() && (eager || e != ENOMEM) {
                self.tell_undecoded(pcluster.key, length, e);
            }
        }
        end(&mut wanted, result);
        if let Some(node) = node {
            self.table.keep(pcluster, node, wanted);
        }
        if asked {
            result
        } else {
            Ok(())
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_undecoded(&self, key: Key, length: u32, error: Error) {
        let Key { pa, len, coding } = key;
        vfs::err!(
            &self.names,
            "failed to decompress ({}) {} @ pa {pa} size {len} => {length}",
            name(coding),
            error.to_errno()
        );
    }

    /// Fills all of `wanted`.
    fn fill(
        &self,
        pcluster: &Pcluster,
        state: &State,
        wanted: &mut KVec<Wanted>,
        pool: &mut Pool,
    ) -> Result {
        let alloc = if state.eager {
            Alloc::NoIo
        } else {
            Alloc::BestEffort
        };
        let (offset, length) = (state.page_offset as usize, state.length as usize);
        align(wanted, offset, length)?;
        // Those who gave pages of theirs come first: a page is taken in but once.
        let mut donors = 0;
        for i in 0..wanted.len() {
            if wanted[i].donated {
                wanted.swap(donors, i);
                donors += 1;
            }
        }
        let mut elsewhere = KVec::new();
        // Both are large, so they are made where they stay.
        let mut output = Output::empty(pool, alloc);
        output.make_room(offset, length)?;
        for w in wanted.iter_mut() {
            let (at, len) = (w.at as usize, w.len() as usize);
            if let Err(part) = output.add(at, &mut w.part) {
                elsewhere.push((at, len, part), GFP_KERNEL)?;
            }
        }
        let mut input = Input::empty();
        match &pcluster.inline {
            Some(bytes) => input.set_bytes(bytes)?,
            None => input.set_pages(pcluster.skip(self.block), pcluster.len(), alloc)?,
        }
        for (i, slot) in state.slots().iter().enumerate() {
            match slot {
                Slot::Cached { page, .. } => input.add_page(i, page)?,
                Slot::Temporary(page) => input.add_page(i, page)?,
                Slot::InPlace { page, at } => {
                    output.share((offset + *at as usize) / PAGE_SIZE, page, &mut input, i)?
                }
                // There was no memory for it.
                Slot::Empty => return Err(ENOMEM),
            }
        }
        match self.decoders.get(pcluster.key.coding) {
            Some(decoder) => {
                let request = Request {
                    padding: pcluster
                        .len()
                        .min(self.block as usize - pcluster.skip(self.block)),
                    // The length of such a stream is not known: what follows it may look like more.
                    partial: state.partial || pcluster.key.coding == Coding::Lz4Unpadded,
                };
                match decoder.decode(&mut input, &mut output, request)? {
                    InPlace::None => {}
                    InPlace::Taken => self.stats.add(Event::InplaceDecompress, 1),
                    InPlace::Copied(pages) => {
                        self.stats.add(Event::InplaceDecompressRefused, 1);
                        self.stats.add(Event::BouncePages, pages);
                    }
                }
            }
            None => {
                // What nobody wants is left out, unless it is to be copied on.
                if !elsewhere.is_empty() {
                    output.prepare()?;
                }
                self.copy(pcluster, state, &mut input, &mut output)?
            }
        }
        for (at, len, part) in elsewhere {
            output.copy_to(at, len, part, 0)?;
        }
        Ok(())
    }

    /// Moves data that is not compressed.
    fn copy<'a>(
        &self,
        pcluster: &Pcluster,
        state: &State,
        input: &mut Input<'a>,
        output: &mut Output<'a>,
    ) -> Result {
        let length = output.len();
        if length > input.len() {
            return Err(EUCLEAN);
        }
        let mut first = 0;
        if pcluster.key.coding == Coding::Interlaced {
            // The first block's bytes are at the end, where they would be in a block.
            let block = self.block as usize;
            let head = block - (output.offset() & (block - 1));
            let from = input.len().checked_sub(head).ok_or(EUCLEAN)?;
            first = head.min(length);
            let moves = from != output.offset() || input.len() > PAGE_SIZE;
            if moves && state.slots().iter().any(Slot::is_in_place) {
                let pages = output.detach(input)?;
                self.stats.add(Event::BouncePages, pages);
            }
            output.copy_from(0, input, from, first)?;
        }
        // In order: a page that is both in and out is the last one that there is.
        output.copy_from(first, input, 0, length - first)?;
        output.set_filled();
        Ok(())
    }
}

/// Cuts parts of files into those that fill the pages of the output and those that share one with
/// others, where several files want the same data. `ENOMEM`.
#[inline(never)]
fn align(wanted: &mut KVec<Wanted>, offset: usize, length: usize) -> Result {
    let mut i = 0;
    while i < wanted.len() {
        let w = &wanted[i];
        let start = offset + w.at as usize;
        let end = start + w.len() as usize;
        let cut = if start as u64 % PAGE_SIZE as u64 != w.part.pos() % PAGE_SIZE as u64 {
            None
        } else if w.at != 0 && start % PAGE_SIZE != 0 {
            Some(start.next_multiple_of(PAGE_SIZE))
        } else if end < offset + length && end % PAGE_SIZE != 0 && w.loan.is_none() {
            Some(end - end % PAGE_SIZE)
        } else {
            None
        };
        match cut.filter(|cut| (start + 1..end).contains(cut)) {
            None => i += 1,
            Some(cut) => {
                wanted.reserve(1, GFP_KERNEL)?;
                let (first, rest) = wanted.remove(i).map_err(|_| EINVAL)?.split(cut - start);
                wanted.push(first, GFP_KERNEL)?;
                if let Some(rest) = rest {
                    wanted.push(rest, GFP_KERNEL)?;
                }
            }
        }
    }
    Ok(())
}

/// What log lines call an algorithm.
fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Shifted => "shifted",
        Coding::Interlaced => "interlaced",
        Coding::Lz4 | Coding::Lz4Unpadded => "lz4",
        Coding::Lzma => "lzma",
        Coding::Deflate => "deflate",
        Coding::Zstd => "zstd",
    }
}
