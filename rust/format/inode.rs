// SPDX-License-Identifier: GPL-2.0-only

//! Inodes: compact (32 bytes) and extended (64 bytes) records.
//!
//! ```text
//! iloc(nid)
//! | record, 32 or 64 bytes | xattr area | inline data, chunk indexes or a compression header |
//! ```
//!
//! A compact record never goes over a block's end; an extended one can.
//!
//! C: `erofs_read_inode()`, `erofs_fill_symlink()`.

use zerocopy::little_endian::{
    U16,
    U32,
    U64, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use crate::{
    chunk::ChunkFormat,
    meta::{
        record,
        Area,
        BlockBits,
        Source, //
    },
    super_block::wide,
    Error,
    Nid,
    Result,
    SuperBlock, //
};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawCompact {
    format: U16,
    xattr_icount: U16,
    mode: U16,
    /// Link count, or bits 32..48 of `u`.
    nb: U16,
    size: U32,
    mtime: U32,

    /// First block, block count, device number or chunk format.
    u: U32,
    ino: U32,
    uid: U16,
    gid: U16,
    reserved: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawExtended {
    format: U16,
    xattr_icount: U16,
    mode: U16,
    /// Bits 32..48 of `u`.
    nb: U16,
    size: U64,

    /// First block, block count, device number or chunk format.
    u: U32,
    ino: U32,
    uid: U32,
    gid: U32,

    mtime: U64,
    mtime_nsec: U32,
    nlink: U32,

    reserved2: [u8; 16],
}

const COMPACT_SIZE: usize = size_of::<RawCompact>();
const EXTENDED_SIZE: usize = size_of::<RawExtended>();

const _: () = assert!(COMPACT_SIZE == 32);
const _: () = assert!(EXTENDED_SIZE == 64);

/// `i_format`, of which all bits are known.
#[derive(Clone, Copy)]
struct Format(u16);

impl Format {
    const ALL: u16 = 0x1f;

    /// The order of the checks is C's.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let format = record::<U16>(bytes)?.get();

        if format & !Self::ALL != 0 {
            return Err(Error::InodeFormat(format));
        }
        let format = Self(format);
        if format.layout() > 4 {
            return Err(Error::DataLayout(format.layout()));
        }
        Ok(format)
    }

    fn is_extended(self) -> bool {
        self.0 & 1 != 0
    }

    fn layout(self) -> u8 {
        (self.0.wrapping_shr(1) & 7) as u8
    }

    /// Bit 4: NLINK_1 of compact inodes that are no directories, DOT_OMITTED of directories.
    fn bit4(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// The length of the inode record that `bytes` (2 or more) begin, 32 or 64 bytes.
///
/// # Errors
///
/// `EOPNOTSUPP` if the format or the data layout is unknown, `EIO` if there are no 2 bytes.
pub fn record_len(bytes: &[u8]) -> Result<usize> {
    Ok(match Format::parse(bytes)?.is_extended() {
        true => EXTENDED_SIZE,
        false => COMPACT_SIZE,
    })
}

/// File types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileType {
    /// `S_IFIFO`
    Fifo,
    /// `S_IFCHR`
    CharDevice,
    /// `S_IFDIR`
    Directory,
    /// `S_IFBLK`
    BlockDevice,
    /// `S_IFREG`
    Regular,
    /// `S_IFLNK`
    Symlink,
    /// `S_IFSOCK`
    Socket,
}

impl FileType {
    /// From `st_mode`; `None` if it has no known type.
    pub fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode.wrapping_shr(12) {
            0o01 => FileType::Fifo,
            0o02 => FileType::CharDevice,
            0o04 => FileType::Directory,
            0o06 => FileType::BlockDevice,
            0o10 => FileType::Regular,
            0o12 => FileType::Symlink,
            0o14 => FileType::Socket,
            _ => return None,
        })
    }
}

/// How the data of an inode is laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layout {
    /// Consecutive blocks from `start`; `None`: the whole file is a hole.
    Plain {
        /// The first block.
        start: Option<u64>,
    },
    /// Like `Plain`, but the last block's content, full or not, stands behind the xattr area.
    Inline {
        /// The first block.
        start: u64,
    },
    /// Chunks, each found by an entry behind the xattr area.
    Chunk(ChunkFormat),
    /// Compressed clusters with full (8-byte) or compact indexes.
    Compressed {
        /// Whether the indexes are compact.
        compact: bool,
    },
}

/// What of an inode stays in memory: its identity and where its data is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Inode {
    /// The inode's number.
    pub nid: Nid,
    /// The size in bytes, `i64::MAX` at most.
    pub size: u64,
    /// How the data is laid out. Of no meaning for devices, fifos and sockets.
    pub layout: Layout,
    /// The directory has no entry for itself.
    pub dot_omitted: bool,
    /// The size of the xattr area in bytes, 0 or 12 and more.
    pub xattr_size: u32,
    record_size: u8,
    /// Where the record begins.
    pos: u64,
}

/// What goes into the VFS inode. Access and change time are equal to the modification time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attributes {
    /// `st_mode`.
    pub mode: u16,
    /// The type in `mode`.
    pub file_type: FileType,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of links.
    pub nlink: u32,
    /// Size in bytes, `i64::MAX` at most.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Its nanoseconds. Not checked, as in C.
    pub mtime_nsec: u32,
    /// Major and minor number of a device, else 0.
    pub rdev: (u32, u32),
}

impl Inode {
    /// Parses the record of inode `nid`: [`record_len()`] bytes from [`SuperBlock::iloc()`].
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if something in it is unknown, `EUCLEAN` if it cannot be, `EIO` if `bytes` are
    /// too few.
    pub fn parse(sb: &SuperBlock, nid: Nid, bytes: &[u8]) -> Result<(Self, Attributes)> {
        let pos = sb.iloc(nid)?.pos;
        let format = Format::parse(bytes)?;
        let fields = match format.is_extended() {
            true => Fields::from_extended(record(bytes)?),
            false => Fields::from_compact(sb, format, record(bytes)?),
        };

        if fields.size > i64::MAX as u64 {
            return Err(Error::NegativeSize);
        }
        let file_type = FileType::from_mode(fields.mode).ok_or(Error::Mode(fields.mode))?;
        let layout = fields.layout(sb, format)?;

        let inode = Self {
            nid,
            size: fields.size,
            layout,
            dot_omitted: file_type == FileType::Directory && format.bit4(),
            xattr_size: xattr_area_size(fields.xattr_icount),
            record_size: match format.is_extended() {
                true => EXTENDED_SIZE as u8,
                false => COMPACT_SIZE as u8,
            },
            pos,
        };
        let attributes = Attributes {
            mode: fields.mode,
            file_type,
            uid: fields.uid,
            gid: fields.gid,
            nlink: fields.nlink,
            size: fields.size,
            blocks: match layout {
                Layout::Compressed { .. } => sb.block.pos(fields.u48()),
                _ => sb.block.round_up(fields.size),
            }
            .wrapping_shr(9),
            mtime: fields.mtime,
            mtime_nsec: fields.mtime_nsec,
            rdev: match file_type {
                FileType::CharDevice | FileType::BlockDevice => decode_dev(fields.u.get()),
                _ => (0, 0),
            },
        };
        Ok((inode, attributes))
    }

    /// What the inode's metadata is read from.
    pub fn source(&self) -> Source {
        match self.nid.in_metabox() {
            true => Source::Metabox,
            false => Source::Device,
        }
    }

    /// Whether the data is compressed.
    pub fn is_compressed(&self) -> bool {
        matches!(self.layout, Layout::Compressed { .. })
    }

    /// The xattr area, which can go over blocks' ends; its length is 0 if there is none.
    #[inline]
    pub fn xattr_area(&self) -> Area {
        Area {
            source: self.source(),
            pos: self.pos.saturating_add(u64::from(self.record_size)),
            len: self.xattr_size,
        }
    }

    /// Where inline data, chunk indexes or a compression header begin: behind the xattr area.
    pub(crate) fn body_pos(&self) -> u64 {
        self.xattr_area()
            .pos
            .saturating_add(u64::from(self.xattr_size))
    }

    /// Where the target of a symlink is, if it can be had with the inode: in the block that the
    /// inode's record ends in. To be checked by [`Inode::check_symlink()`].
    ///
    /// `None` means that it is to be read as a file's data is, when it is asked for.
    pub fn fast_symlink(&self, block: BlockBits) -> Option<Area> {
        if !matches!(self.layout, Layout::Inline { .. }) {
            return None;
        }
        // The record's end is an offset in its last block, up to the block's size.
        let size = u64::from(block.size());
        let end = u64::from(block.offset(self.pos)).saturating_add(u64::from(self.record_size));
        let target = end
            .checked_sub(size)
            .filter(|&rest| rest != 0)
            .unwrap_or(end)
            .saturating_add(u64::from(self.xattr_size));

        if target.saturating_add(self.size) > size {
            return None;
        }
        Some(Area {
            source: self.source(),
            pos: self.body_pos(),
            len: self.size as u32,
        })
    }

    /// Checks the target of a fast symlink, as many bytes as the inode's size.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if it is empty or holds a NUL.
    pub fn check_symlink(target: &[u8]) -> Result<()> {
        if target.is_empty() || target.iter().any(|&c| c == 0) {
            return Err(Error::FastSymlink(target.len() as u64));
        }
        Ok(())
    }
}

/// What both kinds of records have.
struct Fields {
    mode: u16,
    xattr_icount: u16,
    uid: u32,
    gid: u32,
    nlink: u32,
    size: u64,
    mtime: i64,
    mtime_nsec: u32,
    u: U32,
    /// Bits 32..48 of `u`; `None` if the record has no place for them.
    u_hi: Option<u16>,
}

impl Fields {
    fn from_extended(raw: &RawExtended) -> Self {
        Self {
            mode: raw.mode.get(),
            xattr_icount: raw.xattr_icount.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            nlink: raw.nlink.get(),
            size: raw.size.get(),
            mtime: raw.mtime.get() as i64,
            mtime_nsec: raw.mtime_nsec.get(),
            u: raw.u,
            u_hi: Some(raw.nb.get()),
        }
    }

    fn from_compact(sb: &SuperBlock, format: Format, raw: &RawCompact) -> Self {
        let mode = raw.mode.get();
        let is_dir = FileType::from_mode(mode) == Some(FileType::Directory);
        let (nlink, u_hi) = match !is_dir && format.bit4() {
            true => (1, Some(raw.nb.get())),
            false => (u32::from(raw.nb.get()), None),
        };

        Self {
            mode,
            xattr_icount: raw.xattr_icount.get(),
            uid: u32::from(raw.uid.get()),
            gid: u32::from(raw.gid.get()),
            nlink,
            size: u64::from(raw.size.get()),
            mtime: sb.epoch.wrapping_add(i64::from(raw.mtime.get())),
            mtime_nsec: sb.fixed_nsec,
            u: raw.u,
            u_hi,
        }
    }

    /// `u` as a first block or block count.
    fn u48(&self) -> u64 {
        wide(self.u, self.u_hi.unwrap_or(0))
    }

    fn layout(&self, sb: &SuperBlock, format: Format) -> Result<Layout> {
        match format.layout() {
            0 => {
                let null = wide(U32::new(u32::MAX), self.u_hi.map_or(0, |_| u16::MAX));

                Ok(Layout::Plain {
                    start: Some(self.u48()).filter(|&start| start != null),
                })
            }
            2 => Ok(Layout::Inline { start: self.u48() }),
            4 => ChunkFormat::parse(sb.block, self.u.get() as u16).map(Layout::Chunk),
            layout => {
                if !sb.is_compressed() {
                    return Err(Error::CompressedInode);
                }
                Ok(Layout::Compressed {
                    compact: layout == 3,
                })
            }
        }
    }
}

/// `n` counts the area in units of 4 bytes, its header of 12 bytes as 1.
fn xattr_area_size(n: u16) -> u32 {
    match n.checked_sub(1) {
        Some(n) => u32::from(n).wrapping_mul(4).wrapping_add(12),
        None => 0,
    }
}

/// Linux's 32-bit device number: 12 bits of major within 20 bits of minor.
fn decode_dev(dev: u32) -> (u32, u32) {
    (
        dev.wrapping_shr(8) & 0xfff,
        (dev & 0xff) | (dev.wrapping_shr(12) & 0xfff00),
    )
}
