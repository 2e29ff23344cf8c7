// SPDX-License-Identifier: GPL-2.0-only

//! Reading uncompressed files of an image that is itself a file.

use crate::{
    data,
    super_block::{
        self,
        fault_at, //
    },
    trace,
    Erofs, //
};
use erofs_format::map::{
    Extent,
    Target, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use vfs::{
    address_space::Operations,
    bio::Bio,
    folio::{
        FolioPart,
        LockedFolio, //
    },
    inode::Inode,
    readahead::Readahead,
    super_block::DeviceId, //
};

/// What is read in one go, in pieces of contiguous memory.
const SEGMENTS: usize = 64;

/// Fills page caches from the files that the image is in.
pub(crate) struct FileIo;

impl Operations for FileIo {
    type FileSystem = Erofs;

    fn read_folio(inode: &Inode<Erofs>, folio: LockedFolio) -> Result {
        trace::read_folio(inode, || folio.range(), true);
        let mut reader = Reader::new(inode);
        let result = reader.read(folio);
        reader.submit();
        result
    }

    fn readahead(inode: &Inode<Erofs>, folios: Readahead<'_>) {
        trace::readahead(inode, || folios.range(), true);
        let mut reader = Reader::new(inode);
        for folio in folios {
            let index = folio.pos() / PAGE_SIZE as u64;
            if let Err(e) = reader.read(folio) {
                if e != EINTR {
                    let (sb, nid) = (inode.super_block(), inode.data().nid.0);
                    vfs::err!(sb, "readahead error at folio {index} @ nid {nid}");
                }
            }
        }
        reader.submit();
    }
}

/// Reads folios of one file in ascending order, and what lies together in one go.
struct Reader<'a> {
    inode: &'a Inode<Erofs>,
    /// Where the last part was.
    extent: Option<Extent>,
    /// What was not submitted yet, and the device it is for.
    pending: Option<(DeviceId, Bio<'a>)>,
}

impl<'a> Reader<'a> {
    fn new(inode: &'a Inode<Erofs>) -> Self {
        Self {
            inode,
            extent: None,
            pending: None,
        }
    }

    fn submit(&mut self) {
        if let Some((_, bio)) = self.pending.take() {
            bio.submit();
        }
    }

    /// Reads `folio`, all but what is left to [`Self::submit`]. A folio that cannot be mapped ends
    /// with an error as its parts do.
    fn read(&mut self, folio: LockedFolio) -> Result {
        let mut rest = Some(folio.into_part());
        while let Some(part) = rest.take() {
            let pos = part.pos();
            let extent = self.find(pos, part.len() as u64)?;
            let skip = pos - extent.la;
            let (part, more) = part.split(extent.len - skip);
            rest = more;
            self.read_part(part, extent.target, skip)?;
        }
        Ok(())
    }

    /// The extent with byte `pos`, `len` bytes of which are wanted.
    fn find(&mut self, pos: u64, len: u64) -> Result<Extent> {
        let holds = |e: &Extent| pos.checked_sub(e.la).is_some_and(|skip| skip < e.len);
        if let Some(extent) = self.extent.filter(holds) {
            return Ok(extent);
        }
        let extent = data::find(self.inode, pos, len)?;
        if !holds(&extent) {
            return Err(EIO);
        }
        self.extent = Some(extent);
        Ok(extent)
    }

    /// Reads `part` from `skip` bytes behind the beginning of `from`.
    fn read_part(&mut self, mut part: FolioPart, from: Target, skip: u64) -> Result {
        let sb = self.inode.super_block();
        match from {
            Target::Hole => part.zero(0..part.len())?,
            Target::Inline(area) => {
                let len = part.len();
                super_block::meta(sb, area.source)?.read_to(area.pos + skip, &mut part, 0..len)?;
            }
            Target::Mapped { device, pa } => {
                let (device, pos) = sb
                    .data()
                    .map_dev(device, pa.checked_add(skip).ok_or(EIO)?)
                    .map_err(|e| fault_at(sb, self.inode.data().nid, e))?;
                return self.read_device(part, device, pos);
            }
        }
        part.end(Ok(()));
        Ok(())
    }

    fn read_device(&mut self, mut part: FolioPart, device: DeviceId, pos: u64) -> Result {
        match &mut self.pending {
            Some((id, bio)) if *id == device && bio.end() == pos => match bio.add(part) {
                Ok(()) => return Ok(()),
                Err(back) => part = back,
            },
            _ => {}
        }
        self.submit();
        let target = self.inode.super_block().target(device).ok_or(EIO)?;
        let mut bio = Bio::new(target, pos, SEGMENTS)?;
        bio.add(part).map_err(|_| EIO)?;
        self.pending = Some((device, bio));
        Ok(())
    }
}
