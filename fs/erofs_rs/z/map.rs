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
    meta::{
        Area,
        Source, //
    },
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

/// What a map header says.
enum Told<'a> {
    /// What is remembered now.
    Map(&'a Map),
    /// The whole file is in the packed inode.
    Packed(ZExtent),
}

/// A search that waits for metadata.
struct Halted<'a> {
    /// The byte whose extent is looked up.
    la: u64,
    want: Want,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Header(HeaderLookup),
    Extent(&'a Map, Lookup<'a>),
}

/// Looks up extents of one file. It keeps the metadata it read last.
///
/// Reading metadata can mean to decode it, and so to look up an extent of another file. A search has
/// a large frame; therefore it is put aside before that, and whoever called it has the metadata read:
///
/// ```text
/// let extent = loop {
///     match mapper.find(la, want)? {
///         Some(extent) => break extent,
///         None => mapper.load()?,
///     }
/// };
/// ```
pub(crate) struct Mapper<'a> {
    inode: &'a Inode<Erofs>,
    meta: Option<MetaReader<'a>>,
    halted: Option<KBox<Halted<'a>>>,
    /// Position of the metadata that was not in memory.
    missing: Option<u64>,
}

impl<'a> Mapper<'a> {
    pub(crate) fn new(inode: &'a Inode<Erofs>) -> Self {
        Self {
            inode,
            meta: None,
            halted: None,
            missing: None,
        }
    }

    /// Returns the extent that byte `la` is in. `None` if metadata has to be read for that: it is
    /// for the caller to [`load`](Self::load) it, and to call this again. `ENOMEM`, `EINTR`, and
    /// errors of the image. May sleep, but not for I/O.
    pub(crate) fn find(&mut self, la: u64, want: Want) -> Result<Option<ZExtent>> {
        let found = match self.halted.take() {
            Some(halted) if halted.la == la && halted.want == want => self.resume(halted),
            _ => {
                trace::z_map_blocks_enter(self.inode, la, want);
                self.missing = None;
                self.begin(la, want)
            }
        };
        if !matches!(found, Ok(None)) {
            trace::z_map_blocks_exit(self.inode, la, want, &found);
        }
        found
    }

    /// Whether [`load`](Self::load) reads a file of the filesystem itself.
    pub(crate) fn is_nested(&self) -> bool {
        self.meta.as_ref().is_some_and(MetaReader::is_nested)
    }

    /// Reads the metadata that was not in memory. May sleep.
    pub(crate) fn load(&mut self) -> Result {
        let (Some(pos), Some(meta)) = (self.missing, &mut self.meta) else {
            return Ok(());
        };
        let loaded = meta.load(pos);
        if let Err(e) = loaded {
            self.give_up(e);
        }
        loaded
    }

    #[cold]
    fn give_up(&mut self, error: Error) {
        if let Some(halted) = self.halted.take() {
            trace::z_map_blocks_exit(self.inode, halted.la, halted.want, &Err(error));
        }
    }

    /// Reads `len` bytes at `pos` of `source`, that of the file's metadata, which are in one block.
    /// `None` as [`find`](Self::find).
    pub(crate) fn read_inline(
        &mut self,
        source: Source,
        pos: u64,
        len: usize,
    ) -> Result<Option<KVec<u8>>> {
        if !self.meta(source)?.is_ready(pos, len) && self.is_missing(pos) {
            return Ok(None);
        }
        let mut bytes = KVec::from_elem(0u8, len, GFP_KERNEL)?;
        self.meta(source)?.read(pos, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn begin(&mut self, la: u64, want: Want) -> Result<Option<ZExtent>> {
        let info = self.inode.data();
        if let Some(hole) = zmap::behind_end(info, la) {
            return Ok(Some(hole));
        }
        let map = match info.known.0.get() {
            Some(map) => map,
            None => match self.read_header(la, want)? {
                Some(Told::Map(map)) => map,
                Some(Told::Packed(extent)) => return Ok(Some(extent)),
                None => return Ok(None),
            },
        };
        self.look_up(map, la, want)
    }

    /// Looks up in the map that is remembered.
    fn look_up(&mut self, map: &'a Map, la: u64, want: Want) -> Result<Option<ZExtent>> {
        let (format, info) = (&self.inode.super_block().data().format, self.inode.data());
        // Lookups are large, so they stay where they are.
        let mut plan = Lookup::new(format, info, &map.header, la, want);
        let lookup = match &mut plan {
            Ok(Plan::Extent(extent)) => return Ok(Some(*extent)),
            Ok(Plan::Lookup(lookup)) => lookup,
            Err(e) => return Err(self.fault(*e)),
        };
        if map.header.is_summed() {
            let resumed = lookup.resume(&map.checkpoints()?.lock());
            resumed.map_err(|e| self.fault(e))?;
        }
        let found = self.search(map, lookup)?;
        if found.is_none() {
            self.halt(la, want, || Stage::Extent(map, *lookup))?;
        }
        Ok(found)
    }

    /// Goes on with what waited for metadata.
    #[cold]
    #[inline(never)]
    fn resume(&mut self, mut halted: KBox<Halted<'a>>) -> Result<Option<ZExtent>> {
        let found = match &mut halted.stage {
            Stage::Extent(map, lookup) => self.search(map, lookup)?,
            Stage::Header(lookup) => match self.search_header(lookup)? {
                Some(Told::Map(map)) => return self.look_up(map, halted.la, halted.want),
                Some(Told::Packed(extent)) => Some(extent),
                None => None,
            },
        };
        if found.is_none() {
            self.halted = Some(halted);
        }
        Ok(found)
    }

    /// Puts a search aside. `ENOMEM`.
    #[cold]
    #[inline(never)]
    fn halt(&mut self, la: u64, want: Want, stage: impl FnOnce() -> Stage<'a>) -> Result {
        let stage = stage();
        self.halted = Some(KBox::new(Halted { la, want, stage }, GFP_KERNEL)?);
        Ok(())
    }

    /// Reads what is to be known of the file.
    #[inline(never)]
    fn read_header(&mut self, la: u64, want: Want) -> Result<Option<Told<'a>>> {
        let (format, info) = (&self.inode.super_block().data().format, self.inode.data());
        let mut lookup = HeaderLookup::new(format, info);
        let lookup = match &mut lookup {
            Ok(lookup) => lookup,
            Err(e) => return Err(self.fault(*e)),
        };
        let known = self.search_header(lookup)?;
        if known.is_none() {
            self.halt(la, want, || Stage::Header(*lookup))?;
        }
        Ok(known)
    }

    #[inline(always)]
    fn search_header(&mut self, lookup: &mut HeaderLookup) -> Result<Option<Told<'a>>> {
        let feed = |l: &mut HeaderLookup, bytes: &[u8]| l.feed(bytes);
        match self.run(lookup, HeaderLookup::wanted, feed) {
            Ok(Some(header)) => self.keep(&header).map(Some),
            Ok(None) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Remembers what it is worth to.
    #[inline(never)]
    fn keep(&mut self, header: &Header) -> Result<Told<'a>> {
        let (format, info) = (&self.inode.super_block().data().format, self.inode.data());
        if header.is_packed() {
            // All of the file is one extent, so it does not matter of which byte.
            return match &Lookup::new(format, info, header, 0, Want::Read) {
                Ok(Plan::Extent(extent)) => Ok(Told::Packed(*extent)),
                Ok(Plan::Lookup(_)) => Err(EUCLEAN),
                Err(e) => Err(self.fault(*e)),
            };
        }
        let map = Map {
            header: *header,
            checkpoints: OnceBox::new(),
        };
        // Whoever comes second takes what the first one found.
        let map = info.known.0.get_or_set(KBox::pin(map, GFP_KERNEL)?);
        Ok(Told::Map(map))
    }

    #[inline(always)] // Its room on the stack is the caller's, which has the same in another place.
    fn search(&mut self, map: &Map, lookup: &mut Lookup<'a>) -> Result<Option<ZExtent>> {
        match map.header.is_summed() {
            true => self.sum(map, lookup),
            false => self.run(lookup, Lookup::wanted, |l, bytes| l.feed(bytes)),
        }
    }

    /// A lookup in a table of sizes, which remembers what was summed up.
    #[inline(never)]
    fn sum(&mut self, map: &Map, lookup: &mut Lookup<'a>) -> Result<Option<ZExtent>> {
        let known = map.checkpoints()?;
        self.run(lookup, Lookup::wanted, |lookup, bytes| {
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

    /// Feeds a lookup until it has a result. `None` if metadata is not in memory.
    fn run<L, T>(
        &mut self,
        lookup: &mut L,
        wanted: impl Fn(&L) -> Area,
        mut feed: impl FnMut(&mut L, &[u8]) -> erofs_format::Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut buffer = [0; WINDOW];
        loop {
            let area = wanted(lookup);
            let bytes = &mut buffer[..WINDOW.min(area.len as usize)];
            if !self.meta(area.source)?.read_ready(area.pos, bytes)? {
                if self.is_missing(area.pos) {
                    return Ok(None);
                }
                self.meta(area.source)?.read(area.pos, bytes)?;
            }
            if let Some(found) = feed(lookup, bytes).map_err(|e| self.fault(e))? {
                return Ok(Some(found));
            }
            if vfs::task::is_killed() {
                return Err(EINTR);
            }
        }
    }

    fn meta(&mut self, source: Source) -> Result<&mut MetaReader<'a>> {
        Ok(match &mut self.meta {
            Some(meta) => meta,
            none => none.insert(super_block::meta(self.inode.super_block(), source)?),
        })
    }

    /// Notes that what is at `pos` is not in memory. It is if that was just loaded: an error is for the read
    /// to tell then.
    #[cold]
    fn is_missing(&mut self, pos: u64) -> bool {
        self.missing.replace(pos) != Some(pos)
    }

    fn fault(&self, error: erofs_format::Error) -> Error {
        fault_at(self.inode.super_block(), self.inode.data().nid, error)
    }
}
