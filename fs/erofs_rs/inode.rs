// SPDX-License-Identifier: GPL-2.0-only

//! Inodes from disk, and their attributes.

use crate::{
    data::Data,
    dir::Directory,
    fileio::FileIo,
    super_block::{
        self,
        fault_at, //
    },
    trace,
    xattr::{
        self,
        HEAD_LEN, //
    },
    z::{
        self,
        Decoded,
        Extents, //
    },
    Erofs, //
};
use erofs_format::{
    inode::{
        record_len,
        FileType, //
    },
    Nid, //
};
use kernel::prelude::*;
use vfs::{
    inode::{
        Attributes,
        Found,
        Inode,
        InodeRef,
        Kind,
        NewInode,
        Operations,
        Stat,
        Time, //
    },
    super_block::SuperBlock, //
};

const STATX_ATTR_COMPRESSED: u64 = 0x4;
const STATX_ATTR_IMMUTABLE: u64 = 0x10;

/// Length of the longer of the two kinds of inode records.
const RECORD_MAX: usize = 64;

/// What stays in memory of an inode.
pub(crate) struct InodeInfo {
    format: erofs_format::Inode,
    pub(crate) xattr_head: xattr::Head,
    /// What is known of where its bytes lie, if it is compressed.
    pub(crate) known: z::Known,
}

impl core::ops::Deref for InodeInfo {
    type Target = erofs_format::Inode;

    fn deref(&self) -> &erofs_format::Inode {
        &self.format
    }
}

/// What inodes of every kind do.
pub(crate) struct Common;

impl Operations for Common {
    type FileSystem = Erofs;

    fn getattr(inode: &Inode<Erofs>, stat: &mut Stat<'_>) {
        getattr(inode, stat);
    }
}

pub(crate) fn getattr(inode: &Inode<Erofs>, stat: &mut Stat<'_>) {
    let compressed = inode.data().is_compressed();
    stat.attributes(
        STATX_ATTR_COMPRESSED | STATX_ATTR_IMMUTABLE,
        STATX_ATTR_IMMUTABLE | if compressed { STATX_ATTR_COMPRESSED } else { 0 },
    );
    if stat.wants_dio_align() && FileType::from_mode(inode.mode()) == Some(FileType::Regular) {
        // Direct I/O is for uncompressed files on block devices.
        let device = inode.super_block().bdev().filter(|_| !compressed);
        stat.dio_align(
            device.map_or(0, |d| d.dma_alignment()),
            device.map_or(0, |d| d.logical_block_size()),
        );
    }
}

/// The inode `nid`, from memory or from disk. May sleep.
pub(crate) fn iget(sb: &SuperBlock<Erofs>, nid: Nid) -> Result<InodeRef<'_, Erofs>> {
    let format = &sb.data().format;
    let ino = if cfg!(CONFIG_64BIT) {
        format.ino64(nid)
    } else {
        format.ino32(nid).into()
    };
    match sb.iget5(ino, nid.0)? {
        Found::Ready(inode) => Ok(inode),
        Found::New(inode) => fill(sb, nid, inode),
    }
}

fn fill<'a>(
    sb: &'a SuperBlock<Erofs>,
    nid: Nid,
    new: NewInode<'a, Erofs>,
) -> Result<InodeRef<'a, Erofs>> {
    let format = &sb.data().format;
    let fault = |e| fault_at(sb, nid, e);

    let area = format.iloc(nid).map_err(fault)?;
    trace::fill_inode(sb, nid, area);
    // The record, and the head of its xattr area where that is in the same block.
    let mut meta = super_block::meta(sb, area.source)?;
    let mut buffer = [0; RECORD_MAX + HEAD_LEN];
    let mut end = buffer.len().min(format.block.rest(area.pos) as usize);
    meta.read(area.pos, &mut buffer[..end]).inspect_err(|e| {
        vfs::err!(
            sb,
            "failed to read inode, error {} @ nid {}",
            e.to_errno(),
            nid.0
        )
    })?;
    let len = record_len(&buffer[..end]).map_err(fault)?;
    if len > end {
        meta.read(area.pos + end as u64, &mut buffer[end..])?;
        end = buffer.len();
    }
    let (inode, found) = erofs_format::Inode::parse(format, nid, &buffer[..len]).map_err(fault)?;
    let xattr_head = xattr::Head::new(&buffer[len..end]);

    let kind = match found.file_type {
        FileType::Regular if inode.is_compressed() => {
            Kind::regular::<Common, Extents>().read_by::<Decoded>()
        }
        FileType::Regular => readable(sb, Kind::regular::<Common, Data>()),
        FileType::Directory if inode.is_compressed() => {
            Kind::directory::<Directory, Extents>().read_by::<Decoded>()
        }
        FileType::Directory => readable(sb, Kind::directory::<Directory, Data>()),
        FileType::Symlink => match inode.fast_symlink(format.block) {
            Some(area) => {
                let mut target = KVec::from_elem(0u8, area.len as usize, GFP_KERNEL)?;
                meta.read(area.pos, &mut target)?;
                erofs_format::Inode::check_symlink(&target).map_err(fault)?;
                Kind::fast_symlink::<Common>(&target)?
            }
            None if inode.is_compressed() => {
                Kind::symlink::<Common, Extents>().read_by::<Decoded>()
            }
            None => readable(sb, Kind::symlink::<Common, Data>()),
        },
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
            let (major, minor) = found.rdev;
            Kind::special::<Common, Data>(major, minor)
        }
    };
    let attributes = Attributes {
        mode: found.mode,
        nlink: found.nlink,
        uid: found.uid,
        gid: found.gid,
        size: found.size,
        blocks: found.blocks,
        time: Time {
            sec: found.mtime,
            nsec: found.mtime_nsec,
        },
        no_acl: cfg!(CONFIG_FS_POSIX_ACL)
            && (inode.xattr_size == 0 || xattr_head.excludes_acl(format)),
    };
    let info = || InodeInfo {
        format: inode,
        xattr_head,
        known: z::Known::new(),
    };
    new.init(info, &attributes, kind)
}

/// A kind of inode whose content is read as what is mounted demands.
fn readable(sb: &SuperBlock<Erofs>, kind: Kind<Erofs>) -> Kind<Erofs> {
    if sb.is_file_backed() {
        kind.read_by::<FileIo>()
    } else {
        kind
    }
}
