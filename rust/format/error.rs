// SPDX-License-Identifier: GPL-2.0-only

//! What can be wrong with an image.
//!
//! Each variant stands for one check and carries the errno that the C driver gives at that check.
//! [`Error::message`] is a fixed text; `Display` adds the offending values for the kernel log.

use core::fmt;

use crate::super_block::{
    AlgorithmNames,
    FeatureNames, //
};

/// The result of a check of on-disk data.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Linux error numbers, as positive values.
mod errno {
    pub(super) const EIO: i32 = 5;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EBADMSG: i32 = 74;
    pub(super) const EOPNOTSUPP: i32 = 95;
    pub(super) const EUCLEAN: i32 = 117;
}

/// A fault of the image. `EFSCORRUPTED` of the C driver is `EUCLEAN`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// Fewer bytes were handed in than a record has (`EIO`).
    Short,

    /// No EROFS magic (`EINVAL`).
    Magic(u32),
    /// Block size out of range, as its base-2 logarithm (`EINVAL`).
    BlockBits(u8),
    /// Directory blocks larger than blocks (`EINVAL`).
    DirBlockBits(u8),
    /// The superblock's checksum does not match (`EBADMSG`).
    Checksum {
        /// The CRC of what was read.
        computed: u32,
        /// The CRC that the superblock holds.
        stored: u32,
    },
    /// Incompatible features that this driver does not know, as their bits (`EINVAL`).
    UnknownIncompat(u32),
    /// The superblock's extension slots go beyond the first page (`EINVAL`).
    ExtSlots(u8),
    /// The long prefix of page-cache sharing is not in the table (`EUCLEAN`).
    SharePrefix(u8),
    /// No place for the metabox inode's nid, or it is in the metabox itself (`EUCLEAN`).
    MetaboxNid,
    /// Compression algorithms that this driver does not know, as their bits (`EOPNOTSUPP`).
    UnknownAlgorithms(u16),

    /// Another number of `device=` options than devices in the table (`EINVAL`).
    DeviceCount {
        /// Devices in the image's table.
        on_disk: u16,
        /// Devices given by mount options.
        given: u32,
    },
    /// No path was given for a device, and the table has none (`EINVAL`).
    DeviceTag,
    /// An extent on a device that is not there (`ENODEV`).
    NoDevice(u16),

    /// A nid whose position is beyond any device (`EUCLEAN`).
    NidRange,
    /// A nid in the metabox of an image that has none (`EUCLEAN`).
    NoMetabox,
    /// Unknown bits in `i_format` (`EOPNOTSUPP`).
    InodeFormat(u16),
    /// Unknown data layout (`EOPNOTSUPP`).
    DataLayout(u8),
    /// A file larger than a signed 64-bit size (`EUCLEAN`).
    NegativeSize,
    /// Not a file type (`EUCLEAN`).
    Mode(u16),
    /// A fast symlink that is empty or holds a NUL (`EUCLEAN`).
    FastSymlink(u64),
    /// A compressed inode in an image without compression (`EUCLEAN`).
    CompressedInode,
    /// Unknown bits in the chunk format (`EOPNOTSUPP`).
    ChunkFormat(u16),

    /// Compressed data was asked for where only plain data can be mapped (`EOPNOTSUPP`).
    Compressed,
    /// Inline data goes over a block's end (`EUCLEAN`).
    InlineAcrossBlocks,

    /// The first name offset of a directory block cannot be (`EUCLEAN`).
    NameOffset(u16),
    /// A directory entry's name is empty, too long or outside of its block (`EUCLEAN`).
    Dirent,

    /// A xattr area that holds just its header (`EOPNOTSUPP`).
    XattrHeaderOnly,
    /// More shared xattrs than the inode's xattr area can name (`EUCLEAN`).
    XattrSharedCount(u8),
    /// A xattr entry goes over its area's end (`EUCLEAN`).
    XattrEntry,
    /// A long xattr prefix of impossible length (`EUCLEAN`).
    XattrPrefix(u32),
}

impl Error {
    /// The positive Linux errno that the C driver gives for this fault.
    pub const fn errno(self) -> i32 {
        match self {
            Error::Short => errno::EIO,
            Error::NoDevice(_) => errno::ENODEV,
            Error::Checksum { .. } => errno::EBADMSG,
            Error::Magic(_)
            | Error::BlockBits(_)
            | Error::DirBlockBits(_)
            | Error::UnknownIncompat(_)
            | Error::ExtSlots(_)
            | Error::DeviceCount { .. }
            | Error::DeviceTag => errno::EINVAL,
            Error::UnknownAlgorithms(_)
            | Error::InodeFormat(_)
            | Error::DataLayout(_)
            | Error::ChunkFormat(_)
            | Error::Compressed
            | Error::XattrHeaderOnly => errno::EOPNOTSUPP,
            Error::SharePrefix(_)
            | Error::MetaboxNid
            | Error::NidRange
            | Error::NoMetabox
            | Error::NegativeSize
            | Error::Mode(_)
            | Error::FastSymlink(_)
            | Error::CompressedInode
            | Error::InlineAcrossBlocks
            | Error::NameOffset(_)
            | Error::Dirent
            | Error::XattrSharedCount(_)
            | Error::XattrEntry
            | Error::XattrPrefix(_) => errno::EUCLEAN,
        }
    }

    /// What is wrong, without values, for a log line.
    pub const fn message(self) -> &'static str {
        match self {
            Error::Short => "metadata ends early",
            Error::Magic(_) => "no EROFS superblock found",
            Error::BlockBits(_) => "unsupported block size, in bits",
            Error::DirBlockBits(_) => "unsupported directory block size, in bits",
            Error::Checksum { .. } => "wrong superblock checksum",
            Error::UnknownIncompat(_) => "unknown incompatible features",
            Error::ExtSlots(_) => "superblock too large, extension slots",
            Error::SharePrefix(_) => "no such xattr prefix for page cache sharing",
            Error::MetaboxNid => "bogus metabox inode number",
            Error::UnknownAlgorithms(_) => "unknown compression algorithms",
            Error::DeviceCount { .. } => "wrong number of extra devices",
            Error::DeviceTag => "device without a path and with an empty tag",
            Error::NoDevice(_) => "extent on a missing device",
            Error::NidRange => "inode number out of range",
            Error::NoMetabox => "inode in a metabox that does not exist",
            Error::InodeFormat(_) => "unsupported inode format",
            Error::DataLayout(_) => "unsupported data layout",
            Error::NegativeSize => "negative file size",
            Error::Mode(_) => "bogus file type in mode",
            Error::FastSymlink(_) => "invalid fast symlink of size",
            Error::CompressedInode => "compressed inode in an uncompressed image",
            Error::ChunkFormat(_) => "unsupported chunk format",
            Error::Compressed => "compressed data is not supported",
            Error::InlineAcrossBlocks => "inline data across blocks",
            Error::NameOffset(_) => "invalid first name offset in directory",
            Error::Dirent => "bogus directory entry",
            Error::XattrHeaderOnly => "unsupported xattr area, header only",
            Error::XattrSharedCount(_) => "too many shared xattrs",
            Error::XattrEntry => "xattr entry beyond its area",
            Error::XattrPrefix(_) => "invalid length of a long xattr prefix",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match *self {
            Error::Magic(v) => write!(f, " (magic 0x{v:08x})"),
            Error::BlockBits(v)
            | Error::DirBlockBits(v)
            | Error::ExtSlots(v)
            | Error::SharePrefix(v)
            | Error::DataLayout(v)
            | Error::XattrSharedCount(v) => write!(f, " ({v})"),
            Error::Checksum { computed, stored } => {
                write!(f, " (0x{computed:08x}, 0x{stored:08x} expected)")
            }
            Error::UnknownIncompat(v) => write!(f, " ({})", FeatureNames(v)),
            Error::UnknownAlgorithms(v) => write!(f, " ({})", AlgorithmNames(v)),
            Error::DeviceCount { on_disk, given } => {
                write!(f, " (on disk {on_disk}, given {given})")
            }
            Error::NoDevice(v) | Error::NameOffset(v) => write!(f, " ({v})"),
            Error::InodeFormat(v) | Error::ChunkFormat(v) => write!(f, " (0x{v:x})"),
            Error::Mode(v) => write!(f, " ({v:o})"),
            Error::FastSymlink(v) => write!(f, " ({v})"),
            Error::XattrPrefix(v) => write!(f, " ({v})"),
            _ => Ok(()),
        }
    }
}
