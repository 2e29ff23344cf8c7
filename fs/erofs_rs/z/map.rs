// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of a compressed file lie, and what is remembered of that with the inode.

use crate::{
    super_block::{
        self,
        fault_at, //
    },
    trace,
    Erofs, //
};
use erofs_format::{
    meta::Area,
    zmap::{
        self,
        Header,
        HeaderLookup,
        Lookup,
        Plan,
        Want,
        ZExtent, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};
use vfs::{
    inode::Inode,
    meta::MetaReader,
    once::OnceBox, //
};

/// How much of a table is looked at in one go, in bytes.
const WINDOW: usize = 64;

/// What is remembered of a compressed file once something of it was looked up. It is nothing of one
/// that is in the packed inode as a whole: most small files are, and where they are is quickly read
/// again.
pub(crate) struct Known(OnceBox<Map>);

struct Map {
    header: Header,
    /// Positions in a table that has none of its own, for files that have such a table.
    checkpoints: OnceBox<Mutex<KVVec<u64>>>,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self(OnceBox::new())
    }
}

impl Map {
    fn checkpoints(&self) -> Result<&Mutex<KVVec<u64>>> {
        if let Some(there) = self.checkpoints.get() {
            return Ok(there);
        }
        let new = KBox::pin_init(new_mutex!(KVVec::new()), GFP_KERNEL)?;
        Ok(self.checkpoints.get_or_set(new))
    }
}

/// Where the map header of a file is.
enum Whereabouts<'a> {
    Kept(&'a Map),
    Packed(Header),
    /// Other compressed data must be read for it.
    Later,
}

/// Looks up extents of one file. It keeps the metadata it read last.
pub(crate) struct Mapper<'a> {
    inode: &'a Inode<Erofs>,
    meta: Option<MetaReader<'a>>,
    /// The map of a file that nothing is remembered of.
    packed: Option<Header>,
}

impl<'a> Mapper<'a> {
    pub(crate) fn new(inode: &'a Inode<Erofs>) -> Self {
        Self {
            inode,
            meta: None,
            packed: None,
        }
    }

    /// The extent that byte `la` is in. None if other compressed data must be read for that, and
    /// `may_wait` is not set. May sleep.
    pub(crate) fn find(&mut self, la: u64, want: Want, may_wait: bool) -> Result<Option<ZExtent>> {
        trace::z_map_blocks_enter(self.inode, la, want);
        let found = self.find_extent(la, want, may_wait);
        trace::z_map_blocks_exit(self.inode, la, want, &found);
        found
    }

    fn find_extent(&mut self, la: u64, want: Want, may_wait: bool) -> Result<Option<ZExtent>> {
        let (sb, info) = (self.inode.super_block(), self.inode.data());
        let format = &sb.data().format;
        if let Some(hole) = zmap::behind_end(info, la) {
            return Ok(Some(hole));
        }
        let known = self.known(may_wait)?;
        let (header, map) = match &known {
            Whereabouts::Later => return Ok(None),
            Whereabouts::Kept(map) => (&map.header, Some(*map)),
            Whereabouts::Packed(header) => (header, None),
        };
        // Lookups are large, so they stay where they are.
        let mut plan = Lookup::new(format, info, header, la, want);
        match (&mut plan, map) {
            (Ok(Plan::Extent(extent)), _) => Ok(Some(*extent)),
            (Ok(Plan::Lookup(lookup)), Some(map)) if header.is_summed() => {
                self.sum(map, lookup, may_wait)
            }
            (Ok(Plan::Lookup(lookup)), _) => {
                self.run(may_wait, lookup, Lookup::wanted, |l, bytes| l.feed(bytes))
            }
            (Err(e), _) => Err(self.fault(*e)),
        }
    }

    /// What is known of the file, from memory or from disk.
    fn known(&mut self, may_wait: bool) -> Result<Whereabouts<'a>> {
        let (format, info) = (&self.inode.super_block().data().format, self.inode.data());
        if let Some(map) = info.known.0.get() {
            return Ok(Whereabouts::Kept(map));
        }
        if let Some(header) = self.packed {
            return Ok(Whereabouts::Packed(header));
        }
        let mut lookup = HeaderLookup::new(format, info).map_err(|e| self.fault(e))?;
        let feed = |l: &mut HeaderLookup, bytes: &[u8]| l.feed(bytes);
        let Some(header) = self.run(may_wait, &mut lookup, HeaderLookup::wanted, feed)? else {
            return Ok(Whereabouts::Later);
        };
        if header.is_packed() {
            self.packed = Some(header);
            return Ok(Whereabouts::Packed(header));
        }
        let map = Map {
            header,
            checkpoints: OnceBox::new(),
        };
        // Whoever comes second takes what the first one found.
        let known = info.known.0.get_or_set(KBox::pin(map, GFP_KERNEL)?);
        Ok(Whereabouts::Kept(known))
    }

    /// A lookup in a table of sizes, with the help of what was summed up before.
    fn sum(
        &mut self,
        map: &Map,
        lookup: &mut Lookup<'_>,
        may_wait: bool,
    ) -> Result<Option<ZExtent>> {
        let known = map.checkpoints()?;
        let resumed = lookup.resume(&known.lock());
        resumed.map_err(|e| self.fault(e))?;
        self.run(may_wait, lookup, Lookup::wanted, |lookup, bytes| {
            let fed = lookup.feed(bytes);
            if let Some(new) = lookup.checkpoint() {
                let mut kept = known.lock();
                // It is no error if there is no memory: it is summed up again then.
                if new.index == kept.len() as u64 {
                    let _ = kept.push(new.pa, GFP_KERNEL | __GFP_NOWARN);
                }
            }
            fed
        })
    }

    /// Feeds a lookup until it has a result.
    fn run<L, T>(
        &mut self,
        may_wait: bool,
        lookup: &mut L,
        wanted: impl Fn(&L) -> Area,
        mut feed: impl FnMut(&mut L, &[u8]) -> erofs_format::Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut buffer = [0; WINDOW];
        loop {
            let area = wanted(lookup);
            let bytes = &mut buffer[..WINDOW.min(area.len as usize)];
            let meta = match &mut self.meta {
                Some(meta) => meta,
                none => none.insert(super_block::meta(self.inode.super_block(), area.source)?),
            };
            if !may_wait && !meta.is_ready(area.pos, bytes.len()) {
                return Ok(None);
            }
            meta.read(area.pos, bytes)?;
            if let Some(found) = feed(lookup, bytes).map_err(|e| self.fault(e))? {
                return Ok(Some(found));
            }
            if vfs::task::is_killed() {
                return Err(EINTR);
            }
        }
    }

    fn fault(&self, error: erofs_format::Error) -> Error {
        fault_at(self.inode.super_block(), self.inode.data().nid, error)
    }
}
