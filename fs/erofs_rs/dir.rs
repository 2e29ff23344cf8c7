// SPDX-License-Identifier: GPL-2.0-only

//! Directories: blocks of entries, sorted by name.

use crate::{
    inode::{
        self,
        iget, //
    },
    super_block::fault_at,
    trace,
    Erofs, //
};
use erofs_format::{
    dir::{
        self,
        BlockSearch,
        Entries,
        Step, //
    },
    Nid, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use vfs::{
    dentry::Dentry,
    dir::{
        Cursor,
        Operations, //
    },
    inode::{
        Inode,
        InodeRef,
        Stat, //
    }, //
};

const NAME_LEN: usize = 255;
const DT_DIR: u8 = 4;

/// What directories do.
pub(crate) struct Directory;

impl vfs::inode::Operations for Directory {
    type FileSystem = Erofs;

    fn getattr(inode: &Inode<Erofs>, stat: &mut Stat<'_>) {
        inode::getattr(inode, stat);
    }
}

/// The inode that `name` stands for in `dir`, if any. May sleep.
pub(crate) fn find(dir: &Inode<Erofs>, name: &[u8]) -> Result<Option<Nid>> {
    let sb = dir.super_block();
    let block = sb.data().format.block;
    let fault = |e| fault_at(sb, dir.data().nid, e);
    let bytes = block.size() as usize;

    let pages = dir.pages()?;
    let mut kept = None;
    let mut search = BlockSearch::new(name, block.blocks(dir.size()));
    while let Some(at) = search.next() {
        let probe = pages.bytes(block.pos(at), bytes)?;
        match search.feed(&probe).map_err(fault)? {
            Step::Found(found) => return Ok(Some(found.nid)),
            Step::Earlier => {}
            Step::Keep => kept = Some(probe),
        }
    }
    match kept {
        None => Ok(None),
        Some(block) => {
            let found = dir::find(&block, name).map_err(fault)?;
            Ok(found.map(|found| found.nid))
        }
    }
}

impl Operations for Directory {
    fn lookup<'a>(
        dir: &'a Inode<Erofs>,
        dentry: &Dentry<Erofs>,
        flags: u32,
    ) -> Result<Option<InodeRef<'a, Erofs>>> {
        trace::erofs_rs_lookup(|| (dir.super_block().dev(), dir.data().nid.0, dentry, flags));
        if dentry.name().len() > NAME_LEN {
            return Err(ENAMETOOLONG);
        }
        match find(dir, dentry.name())? {
            None => Ok(None),
            Some(nid) => iget(dir.super_block(), nid).map(Some),
        }
    }

    fn iterate(dir: &Inode<Erofs>, cursor: &mut Cursor<'_>) -> Result {
        let sb = dir.super_block();
        let format = &sb.data().format;
        let nid = dir.data().nid;
        let fault = |e| fault_at(sb, nid, e);
        let page = PAGE_SIZE as u64;
        let pages = dir.size().div_ceil(page);
        let window = u64::from(sb.data().tunables.dir_ra_bytes()).div_ceil(page);

        let content = dir.pages()?;
        while cursor.pos() < dir.size() {
            cursor.checkpoint()?;
            let index = cursor.pos().div_ceil(page);
            let ahead = pages.saturating_sub(index).min(window);
            if ahead > 1 {
                cursor.readahead(index, ahead);
            }
            let offset = format.block.offset(cursor.pos());
            let start = cursor.pos() - u64::from(offset);
            let size = format.block.size();
            let block = content.bytes(start, size as usize).inspect_err(|_| {
                let at = format.block.block(start);
                vfs::err!(
                    sb,
                    "failed to readdir of logical block {at} of nid {}",
                    nid.0
                );
            })?;
            let size = (dir.size() - start).min(size.into()) as u32;
            let entries = Entries::new(&block, size, offset).map_err(fault)?;
            cursor.set_pos(start + u64::from(entries.offset()));
            for entry in entries {
                let entry = entry.map_err(fault)?;
                cursor.set_pos(start + u64::from(entry.offset));
                let ino = format.ino64(entry.nid);
                if !cursor.emit(entry.name, ino, dir::d_type(entry.file_type)) {
                    return Ok(());
                }
                // Where an entry after it is bad, this one does not come again.
                cursor.set_pos(start + u64::from(entry.offset + dir::DIRENT_SIZE));
            }
            cursor.set_pos(start + u64::from(size));
        }
        if dir.data().dot_omitted
            && cursor.pos() == dir.size()
            && cursor.emit(b".", format.ino64(nid), DT_DIR)
        {
            cursor.set_pos(dir.size() + 1);
        }
        Ok(())
    }
}
