// SPDX-License-Identifier: GPL-2.0-only

//! The tracepoints `erofs_rs:erofs_rs_*`, which `tracepoints.h` defines.

use crate::Erofs;
use core::ops::Range;
use erofs_format::{
    inode::FileType,
    map::{
        Extent,
        Target, //
    },
    meta::Area,
    zmap::{
        Want,
        ZExtent,
        ZPlace, //
    },
    Nid, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};
use vfs::{
    dentry::Dentry,
    inode::Inode,
    super_block::SuperBlock, //
};

vfs::tracepoints! {
    /// A name is looked up in directory `nid`; `flags` are the VFS's `LOOKUP_*`.
    pub(crate) fn erofs_rs_lookup<'a>(dev: u32, nid: u64, name: &'a Dentry<Erofs>, flags: u32);

    fn erofs_rs_fill_inode(dev: u32, nid: u64, blkaddr: u64, ofs: u32);

    fn erofs_rs_read_folio(
        dev: u32,
        nid: u64,
        dir: bool,
        index: usize,
        order: u32,
        raw: bool,
    );

    fn erofs_rs_readahead(dev: u32, nid: u64, start: usize, nrpage: u32, raw: bool);

    fn erofs_rs_map_blocks_enter(dev: u32, nid: u64, la: u64, llen: u64, flags: u32);

    fn erofs_rs_map_blocks_exit(
        dev: u32,
        nid: u64,
        flags: u32,
        la: u64,
        pa: u64,
        llen: u64,
        plen: u64,
        mflags: u32,
        ret: i32,
    );
}

/// The inode `nid` is to be read, from `area`.
#[inline(always)]
pub(crate) fn fill_inode(sb: &SuperBlock<Erofs>, nid: Nid, area: Area) {
    erofs_rs_fill_inode(|| {
        let block = sb.data().format.block;
        let (at, ofs) = (block.block(area.pos), block.offset(area.pos));
        (sb.dev(), nid.0, at, ofs)
    });
}

/// The folio of the bytes `range` is to be filled; `raw` is for those that are as they are on disk.
#[inline(always)]
pub(crate) fn read_folio(inode: &Inode<Erofs>, range: impl FnOnce() -> Range<u64>, raw: bool) {
    erofs_rs_read_folio(|| {
        let (dev, nid) = (inode.super_block().dev(), inode.data().nid.0);
        let dir = FileType::from_mode(inode.mode()) == Some(FileType::Directory);
        let (index, pages) = pages(range());
        (
            dev,
            nid,
            dir,
            index,
            pages.checked_ilog2().unwrap_or(0),
            raw,
        )
    });
}

/// As [`read_folio`], ahead of the reader.
#[inline(always)]
pub(crate) fn readahead(inode: &Inode<Erofs>, range: impl FnOnce() -> Range<u64>, raw: bool) {
    erofs_rs_readahead(|| {
        let (dev, nid) = (inode.super_block().dev(), inode.data().nid.0);
        let (start, nrpage) = pages(range());
        (dev, nid, start, nrpage, raw)
    });
}

/// The first page of `range`, and how many there are.
fn pages(range: Range<u64>) -> (usize, u32) {
    let len = range.end - range.start;
    (
        (range.start >> PAGE_SHIFT) as usize,
        (len >> PAGE_SHIFT) as u32,
    )
}

const MAPPED: u32 = 0x1;
const META: u32 = 0x2;
const PARTIAL_MAPPED: u32 = 0x4;
const PARTIAL_REF: u32 = 0x8;
const FRAGMENT: u32 = 0x10;

const GET_FIEMAP: u32 = 0x1;
const GET_READMORE: u32 = 0x2;

/// The bytes of `inode` from `la` on, `llen` of them, are to be mapped.
#[inline(always)]
pub(crate) fn map_blocks_enter(inode: &Inode<Erofs>, la: u64, llen: u64) {
    erofs_rs_map_blocks_enter(|| (inode.super_block().dev(), inode.data().nid.0, la, llen, 0));
}

/// They were mapped, or not.
#[inline(always)]
pub(crate) fn map_blocks_exit(inode: &Inode<Erofs>, la: u64, llen: u64, found: &Result<Extent>) {
    erofs_rs_map_blocks_exit(|| {
        let dev = inode.super_block().dev();
        let nid = inode.data().nid.0;
        match found {
            Err(e) => (dev, nid, 0, la, 0, llen, 0, 0, e.to_errno()),
            Ok(extent) => {
                let (pa, mflags) = match extent.target {
                    Target::Hole => (0, 0),
                    Target::Mapped { pa, .. } => (pa, MAPPED),
                    Target::Inline(area) => (area.pos, MAPPED | META),
                };
                (
                    dev, nid, 0, extent.la, pa, extent.len, extent.len, mflags, 0,
                )
            }
        }
    });
}

fn flags(want: Want) -> u32 {
    match want {
        Want::Read => 0,
        Want::ReadMore => GET_READMORE,
        Want::Fiemap => GET_FIEMAP,
    }
}

/// The compressed extent of byte `la` of `inode` is to be found.
#[inline(always)]
pub(crate) fn z_map_blocks_enter(inode: &Inode<Erofs>, la: u64, want: Want) {
    erofs_rs_map_blocks_enter(|| {
        let (dev, nid) = (inode.super_block().dev(), inode.data().nid.0);
        (dev, nid, la, 0, flags(want))
    });
}

/// It was found, or not.
#[inline(always)]
pub(crate) fn z_map_blocks_exit(
    inode: &Inode<Erofs>,
    la: u64,
    want: Want,
    found: &Result<Option<ZExtent>>,
) {
    erofs_rs_map_blocks_exit(|| z_found(inode, la, want, found));
}

type Found = (u32, u64, u32, u64, u64, u64, u64, u32, i32);

#[cold]
#[inline(never)] // It is not to be room on the stack where nobody traces.
fn z_found(inode: &Inode<Erofs>, la: u64, want: Want, found: &Result<Option<ZExtent>>) -> Found {
    let (dev, nid, want) = (inode.super_block().dev(), inode.data().nid.0, flags(want));
    let extent = match found {
        Err(e) => return (dev, nid, want, la, 0, 0, 0, 0, e.to_errno()),
        Ok(None) => return (dev, nid, want, la, 0, 0, 0, 0, EAGAIN.to_errno()),
        Ok(Some(extent)) => extent,
    };
    let (pa, plen, mflags) = match extent.place {
        ZPlace::Hole => (0, 0, 0),
        ZPlace::Fragment { .. } => (0, 0, FRAGMENT),
        ZPlace::Mapped(cluster) => {
            let flag = |is, bit| if is { bit } else { 0 };
            let mflags = MAPPED
                | flag(cluster.inline.is_some(), META)
                | flag(!extent.full, PARTIAL_MAPPED)
                | flag(cluster.partial_ref, PARTIAL_REF);
            (cluster.pa, cluster.len.into(), mflags)
        }
    };
    (dev, nid, want, extent.la, pa, extent.len, plen, mflags, 0)
}
