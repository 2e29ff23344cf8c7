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

    /// A compression configuration too short for its algorithm (`EINVAL`).
    ConfigSize {
        /// The algorithm's number.
        algorithm: u8,
        /// The size in bytes.
        size: u32,
    },
    /// LZ4 pclusters larger than any may be, in blocks (`EINVAL`).
    Lz4Blocks(u16),
    /// Unknown format of LZMA or Zstandard data (`EINVAL`).
    ConfigFormat {
        /// The algorithm's number.
        algorithm: u8,
        /// The format.
        format: u16,
    },
    /// LZMA dictionary size out of range (`EINVAL`).
    LzmaDictSize(u32),
    /// DEFLATE window too large, in bits (`EOPNOTSUPP`).
    DeflateWindow(u8),
    /// Zstandard window too large, in bits above 10 (`EINVAL`).
    ZstdWindow(u8),

    /// A map header was asked for, and the data is not compressed (`EUCLEAN`).
    NotCompressed,
    /// Unknown algorithm of an inode (`EOPNOTSUPP`).
    HeadAlgorithm {
        /// Of first or second heads: 1 or 2.
        head: u8,
        /// The algorithm's number.
        number: u8,
    },
    /// Big pclusters in an image without them (`EUCLEAN`).
    BigPcluster,
    /// Compact indexes with big pclusters of only one of two algorithms (`EUCLEAN`).
    BigPclusterHeads,
    /// An lcluster beyond an inode's compact indexes (`EINVAL`).
    IndexRange(u64),
    /// Lclusters too large for compact indexes, in bits (`EINVAL`).
    LclusterSize(u8),
    /// Lclusters too large for packs of 16 indexes, in bits (`EOPNOTSUPP`).
    LclusterPack(u8),
    /// An extent that begins outside of its lcluster, by the lcluster's number (`EUCLEAN`).
    ClusterOffset(u64),
    /// A block count where there can be none, or none where one must be (`EUCLEAN`).
    BlockCount,
    /// The index behind a big pcluster's head has no block count, by the lcluster's number
    /// (`EUCLEAN`).
    NoBlockCount(u64),
    /// A distance to an extent's head that leads nowhere (`EUCLEAN`).
    Lookback {
        /// The distance in lclusters.
        distance: u32,
        /// The lcluster.
        lcn: u64,
    },
    /// An extent that ends before a byte which belongs to it, by the byte's position in the file
    /// (`EUCLEAN`).
    IndexOrder(u64),
    /// An extent record that begins behind the one after it, by its position in the file
    /// (`EUCLEAN`).
    ExtentOrder(u64),
    /// Unknown algorithm of an extent (`EOPNOTSUPP`).
    ExtentAlgorithm {
        /// The algorithm's number.
        number: u8,
        /// The extent's position in the file.
        la: u64,
    },
    /// An algorithm that the superblock does not name (`EUCLEAN`).
    AbsentAlgorithm(u8),
    /// Compressed data larger than what it decodes to, by its position in the file (`EUCLEAN`).
    TooMuchCompressed(u64),
    /// Plain data shorter than its extent, by its position in the file (`EUCLEAN`).
    NotEnoughPlain(u64),
    /// A pcluster larger than any may be, encoded or decoded, by its position in the file
    /// (`EOPNOTSUPP`).
    PclusterSize(u64),
    /// A pcluster beyond any device, by its position (`EUCLEAN`).
    PclusterAddress(u64),

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
            | Error::DeviceTag
            | Error::ConfigSize { .. }
            | Error::Lz4Blocks(_)
            | Error::ConfigFormat { .. }
            | Error::LzmaDictSize(_)
            | Error::ZstdWindow(_)
            | Error::IndexRange(_)
            | Error::LclusterSize(_) => errno::EINVAL,
            Error::UnknownAlgorithms(_)
            | Error::InodeFormat(_)
            | Error::DataLayout(_)
            | Error::ChunkFormat(_)
            | Error::Compressed
            | Error::DeflateWindow(_)
            | Error::HeadAlgorithm { .. }
            | Error::LclusterPack(_)
            | Error::ExtentAlgorithm { .. }
            | Error::PclusterSize(_)
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
            | Error::NotCompressed
            | Error::BigPcluster
            | Error::BigPclusterHeads
            | Error::ClusterOffset(_)
            | Error::BlockCount
            | Error::NoBlockCount(_)
            | Error::Lookback { .. }
            | Error::IndexOrder(_)
            | Error::ExtentOrder(_)
            | Error::AbsentAlgorithm(_)
            | Error::TooMuchCompressed(_)
            | Error::NotEnoughPlain(_)
            | Error::PclusterAddress(_)
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
            Error::ConfigSize { .. } => "invalid size of a compression configuration",
            Error::Lz4Blocks(_) => "too large lz4 pclusters, in blocks",
            Error::ConfigFormat { .. } => "unknown format of a compression algorithm",
            Error::LzmaDictSize(_) => "unsupported lzma dictionary size",
            Error::DeflateWindow(_) => "unsupported deflate window, in bits",
            Error::ZstdWindow(_) => "unsupported zstd window, in bits above 10",
            Error::NotCompressed => "no map header, the inode is not compressed",
            Error::HeadAlgorithm { .. } => "unknown compression algorithm of an inode",
            Error::BigPcluster => "big pclusters in an image without them",
            Error::BigPclusterHeads => "big pclusters of one algorithm in compact indexes",
            Error::IndexRange(_) => "lcluster beyond the compact indexes",
            Error::LclusterSize(_) => "too large lclusters for compact indexes, in bits",
            Error::LclusterPack(_) => "too large lclusters for packs of 16 indexes, in bits",
            Error::ClusterOffset(_) => "extent begins outside of its lcluster",
            Error::BlockCount => "bogus block count in an index",
            Error::NoBlockCount(_) => "no block count of a big pcluster at lcluster",
            Error::Lookback { .. } => "bogus lookback distance",
            Error::IndexOrder(_) => "extent ends before a byte that belongs to it, at",
            Error::ExtentOrder(_) => "extent records out of order at",
            Error::ExtentAlgorithm { .. } => "unknown compression algorithm of an extent",
            Error::AbsentAlgorithm(_) => "compression algorithm that the superblock does not name",
            Error::TooMuchCompressed(_) => "too much compressed data at",
            Error::NotEnoughPlain(_) => "not enough plain data on disk at",
            Error::PclusterSize(_) => "too large pcluster at",
            Error::PclusterAddress(_) => "pcluster beyond any device, at",
            Error::NameOffset(_) => "invalid first name offset in directory",
            Error::Dirent => "bogus directory entry",
            Error::XattrHeaderOnly => "unsupported xattr area, header only",
            Error::XattrSharedCount(_) => "too many shared xattrs",
            Error::XattrEntry => "xattr entry beyond its area",
            Error::XattrPrefix(_) => "invalid length of a long xattr prefix",
        }
    }
}

/// A set of one algorithm.
fn bit(algorithm: u8) -> u16 {
    1u16.wrapping_shl(u32::from(algorithm))
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
            | Error::XattrSharedCount(v)
            | Error::DeflateWindow(v)
            | Error::ZstdWindow(v)
            | Error::LclusterSize(v)
            | Error::LclusterPack(v) => write!(f, " ({v})"),
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
            Error::XattrPrefix(v) | Error::LzmaDictSize(v) => write!(f, " ({v})"),
            Error::ConfigSize { algorithm, size } => {
                write!(f, " ({}, {size} bytes)", AlgorithmNames(bit(algorithm)))
            }
            Error::ConfigFormat { algorithm, format } => {
                write!(f, " ({}, {format})", AlgorithmNames(bit(algorithm)))
            }
            Error::Lz4Blocks(v) => write!(f, " ({v})"),
            Error::HeadAlgorithm { head, number } => write!(f, " (HEAD{head}, {number})"),
            Error::Lookback { distance, lcn } => write!(f, " ({distance} at lcluster {lcn})"),
            Error::ExtentAlgorithm { number, la } => write!(f, " ({number} at {la})"),
            Error::AbsentAlgorithm(v) => write!(f, " ({})", AlgorithmNames(bit(v))),
            Error::IndexRange(v)
            | Error::ClusterOffset(v)
            | Error::NoBlockCount(v)
            | Error::IndexOrder(v)
            | Error::ExtentOrder(v)
            | Error::TooMuchCompressed(v)
            | Error::NotEnoughPlain(v)
            | Error::PclusterSize(v)
            | Error::PclusterAddress(v) => write!(f, " ({v})"),
            _ => Ok(()),
        }
    }
}
