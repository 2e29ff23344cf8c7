// SPDX-License-Identifier: GPL-2.0-only

//! The superblock: 128 bytes at offset 1024, followed by extension slots of 16 bytes.
//!
//! C: `erofs_read_superblock()`, whose checks are made here in the same order.

use core::fmt;

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
    meta::{
        record,
        Area,
        BlockBits,
        Source, //
    },
    Error,
    Nid,
    Result, //
};

/// Where the superblock begins, in bytes.
pub const SUPER_OFFSET: u32 = 1024;

/// `s_magic`, `f_type` of `statfs()`.
pub const MAGIC: u32 = 0xE0F5_E1E2;

/// The longest name of a file and of a xattr (without its prefix), in bytes.
pub const NAME_LEN: usize = 255;

/// What a checksum begins with: the CRC of the magic and of a zero checksum.
const CHECKSUM_SEED: u32 = 0x5045_B54A;
/// The checksum does not cover the magic and itself.
const CHECKSUM_SKIP: usize = 8;

const BASE_SIZE: u32 = 128;
const EXT_SLOT_SIZE: u32 = 16;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSuperBlock {
    magic: U32,
    checksum: U32,
    feature_compat: U32,
    blkszbits: u8,
    sb_extslots: u8,
    /// The root's nid, or bits 32..48 of the block count.
    root_nid_or_blocks_hi: U16,

    inos: U64,
    epoch: U64,

    fixed_nsec: U32,
    blocks_lo: U32,
    meta_blkaddr: U32,
    xattr_blkaddr: U32,

    uuid: [u8; 16],

    volume_name: [u8; 16],

    feature_incompat: U32,
    /// Available algorithms, or the LZ4 sliding window.
    compression: U16,
    extra_devices: U16,
    devt_slotoff: U16,
    dirblkbits: u8,
    xattr_prefix_count: u8,
    xattr_prefix_start: U32,

    packed_nid: U64,
    xattr_filter_reserved: u8,
    ishare_xattr_prefix_id: u8,
    reserved: [u8; 2],
    build_time: U32,

    root_nid_8b: U64,
    reserved2: U64,
}

/// Extension slot 0, there if `sb_extslots` is not 0.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawExtSlot0 {
    metabox_nid: U64,
    reserved3: U64,
}

const _: () = assert!(size_of::<RawSuperBlock>() == BASE_SIZE as usize);
const _: () = assert!(size_of::<RawExtSlot0>() == EXT_SLOT_SIZE as usize);

/// Compatible features: an image with others can be mounted.
pub mod compat {
    /// The superblock has a checksum.
    pub const SB_CHKSUM: u32 = 0x01;
    /// Inodes hold modification times.
    pub const MTIME: u32 = 0x02;
    /// Inodes hold a filter of the xattr names that they do not have.
    pub const XATTR_FILTER: u32 = 0x04;
    /// The shared xattrs are in the metabox.
    pub const SHARED_EA_IN_METABOX: u32 = 0x08;
    /// Long xattr prefixes are on the device, not in the metabox or packed inode.
    pub const PLAIN_XATTR_PFX: u32 = 0x10;
    /// Regular files hold a digest of their content as a xattr.
    pub const ISHARE_XATTRS: u32 = 0x20;
}

/// Incompatible features: an image with others is refused. Where two share a bit, one sets the
/// other's.
pub mod incompat {
    /// LZ4 data ends, not begins, at a block's boundary.
    pub const LZ4_0PADDING: u32 = 0x001;
    /// Compression algorithms have configurations behind the superblock.
    pub const COMPR_CFGS: u32 = 0x002;
    /// Physical clusters larger than a block.
    pub const BIG_PCLUSTER: u32 = 0x002;
    /// There may be chunk-based files.
    pub const CHUNKED_FILE: u32 = 0x004;
    /// There is a device table.
    pub const DEVICE_TABLE: u32 = 0x008;
    /// Two algorithms in a file.
    pub const COMPR_HEAD2: u32 = 0x008;
    /// Compressed tails beside the inode.
    pub const ZTAILPACKING: u32 = 0x010;
    /// Tails or whole files in the packed inode.
    pub const FRAGMENTS: u32 = 0x020;
    /// Deduplicated compressed data.
    pub const DEDUPE: u32 = 0x020;
    /// Long xattr prefixes.
    pub const XATTR_PREFIXES: u32 = 0x040;
    /// 48-bit block addresses, 64-bit nid of the root.
    pub const BIT48: u32 = 0x080;
    /// Metadata in the metabox inode.
    pub const METABOX: u32 = 0x100;
    /// All of them.
    pub const ALL: u32 = (METABOX << 1) - 1;
}

/// The names of incompatible features by bit.
const INCOMPAT_NAMES: [&str; 9] = [
    "lz4_0padding",
    "big_pcluster",
    "chunked_file",
    "device_table",
    "ztailpacking",
    "fragments",
    "xattr_prefixes",
    "48bit",
    "metabox",
];

const ALGORITHM_NAMES: [&str; 4] = ["lz4", "lzma", "deflate", "zstd"];

/// Writes the set bits of `bits` by name, or as `bit N` where there is none.
fn write_names(f: &mut fmt::Formatter<'_>, bits: u32, names: &[&str]) -> fmt::Result {
    let mut separator = "";

    for bit in (0..32u32).filter(|&bit| bits.wrapping_shr(bit) & 1 != 0) {
        f.write_str(separator)?;
        match names.get(bit as usize) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "bit {bit}")?,
        }
        separator = ", ";
    }
    Ok(())
}

/// Shows a set of incompatible features by name, for the log.
#[derive(Clone, Copy, Debug)]
pub struct FeatureNames(pub u32);

impl fmt::Display for FeatureNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, self.0, &INCOMPAT_NAMES)
    }
}

/// Shows a set of compression algorithms by name, for the log.
#[derive(Clone, Copy, Debug)]
pub struct AlgorithmNames(pub u16);

impl fmt::Display for AlgorithmNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, u32::from(self.0), &ALGORITHM_NAMES)
    }
}

/// The features of an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Features {
    /// Compatible features, [`compat`].
    pub compat: u32,
    /// Incompatible features, [`incompat`]: none that is unknown.
    pub incompat: u32,
}

impl Features {
    /// Whether a [`compat`] feature is on.
    pub fn has_compat(self, bit: u32) -> bool {
        self.compat & bit != 0
    }

    /// Whether an [`incompat`] feature is on.
    #[inline]
    pub fn has(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }
}

/// A checked superblock.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SuperBlock {
    /// The block size.
    pub block: BlockBits,
    /// The features.
    pub features: Features,
    /// The superblock's size with its extension slots, in bytes.
    pub size: u32,
    /// Blocks of the primary device.
    pub blocks: u64,
    /// The block at which nid 0 would be.
    pub meta_blkaddr: u32,
    /// The block at which the shared xattrs begin.
    pub xattr_blkaddr: u32,
    /// Where the long xattr prefixes begin, in units of 4 bytes.
    pub xattr_prefix_start: u32,
    /// How many long xattr prefixes there are.
    pub xattr_prefix_count: u8,
    /// Whether the inodes' xattr name filters may be used.
    pub xattr_filter: bool,
    /// The long xattr prefix that names a file's digest, for page cache sharing.
    pub share_prefix: Option<u8>,
    /// The root directory.
    pub root_nid: Nid,
    /// The packed inode, which holds fragments.
    pub packed_nid: Option<Nid>,
    /// The metabox inode, which holds metadata; itself not in the metabox.
    pub metabox_nid: Option<Nid>,
    /// The number of inodes.
    pub inos: u64,
    /// The base of compact inodes' modification times, seconds since 1970.
    pub epoch: i64,
    /// The nanoseconds of compact inodes' modification times. Not checked, as in C.
    pub fixed_nsec: u32,
    /// When the image was made, in seconds since `epoch`.
    pub build_time: u32,
    /// The volume's UUID; all zero if it has none.
    pub uuid: [u8; 16],
    /// The volume's label, padded by NUL.
    pub volume_name: [u8; 16],
    /// The compression algorithms in use: bit 0 LZ4, 1 LZMA, 2 DEFLATE, 3 Zstandard.
    pub algorithms: u16,
    /// The LZ4 sliding window if [`incompat::COMPR_CFGS`] is off; 0 means 64 KiB.
    pub lz4_max_distance: u16,
    /// The number of devices besides the primary one.
    pub extra_devices: u16,
    /// Where the device table begins, in slots.
    pub(crate) devt_slotoff: u16,
}

impl SuperBlock {
    /// Parses and checks a superblock.
    ///
    /// `bytes` is what stands between [`SUPER_OFFSET`] and the end of the first page, which has
    /// `1 << page_bits` bytes and is the largest block. `crc32c` is the kernel's: raw, with the seed
    /// as its first argument.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EBADMSG`, `EUCLEAN` or `EOPNOTSUPP`, in the order of the C driver's checks.
    pub fn parse(
        bytes: &[u8],
        page_bits: u8,
        crc32c: impl FnOnce(u32, &[u8]) -> u32,
    ) -> Result<Self> {
        let raw: &RawSuperBlock = record(bytes)?;

        if raw.magic.get() != MAGIC {
            return Err(Error::Magic(raw.magic.get()));
        }
        let block = BlockBits::new(raw.blkszbits, page_bits)?;
        if raw.dirblkbits != 0 {
            return Err(Error::DirBlockBits(raw.dirblkbits));
        }

        let features = Features {
            compat: raw.feature_compat.get(),
            incompat: raw.feature_incompat.get(),
        };
        if features.has_compat(compat::SB_CHKSUM) {
            verify_checksum(bytes, block, raw.checksum.get(), crc32c)?;
        }
        if features.incompat & !incompat::ALL != 0 {
            return Err(Error::UnknownIncompat(features.incompat & !incompat::ALL));
        }

        let size = u32::from(raw.sb_extslots)
            .wrapping_mul(EXT_SLOT_SIZE)
            .wrapping_add(BASE_SIZE);
        let page_size = 1u32.checked_shl(u32::from(page_bits)).unwrap_or(0);
        if size > page_size.saturating_sub(SUPER_OFFSET) {
            return Err(Error::ExtSlots(raw.sb_extslots));
        }

        let share_prefix = if features.has_compat(compat::ISHARE_XATTRS) {
            if raw.ishare_xattr_prefix_id >= raw.xattr_prefix_count {
                return Err(Error::SharePrefix(raw.ishare_xattr_prefix_id));
            }
            Some(raw.ishare_xattr_prefix_id)
        } else {
            None
        };

        // The high bits of the block count stand where a 16-bit nid of the root would be.
        let rb = raw.root_nid_or_blocks_hi.get();
        let (root_nid, blocks_hi) = if features.has(incompat::BIT48) && raw.root_nid_8b.get() != 0 {
            (raw.root_nid_8b.get(), rb)
        } else {
            (u64::from(rb), 0)
        };

        let packed_nid = if features.has(incompat::FRAGMENTS) && raw.packed_nid.get() != 0 {
            Some(Nid(raw.packed_nid.get()))
        } else {
            None
        };

        let metabox_nid = if features.has(incompat::METABOX) {
            Some(metabox_nid(bytes, size)?)
        } else {
            None
        };

        Ok(Self {
            block,
            features,
            size,
            blocks: wide(raw.blocks_lo, blocks_hi),
            meta_blkaddr: raw.meta_blkaddr.get(),
            xattr_blkaddr: raw.xattr_blkaddr.get(),
            xattr_prefix_start: raw.xattr_prefix_start.get(),
            xattr_prefix_count: raw.xattr_prefix_count,
            // Not zero: the filter is of a kind that is still to be defined.
            xattr_filter: features.has_compat(compat::XATTR_FILTER)
                && raw.xattr_filter_reserved == 0,
            share_prefix,
            root_nid: Nid(root_nid),
            packed_nid,
            metabox_nid,
            inos: raw.inos.get(),
            epoch: raw.epoch.get() as i64,
            fixed_nsec: raw.fixed_nsec.get(),
            build_time: raw.build_time.get(),
            uuid: raw.uuid,
            volume_name: raw.volume_name,
            algorithms: algorithms(features, raw.compression.get())?,
            lz4_max_distance: if features.has(incompat::COMPR_CFGS) {
                0
            } else {
                raw.compression.get()
            },
            extra_devices: if features.has(incompat::DEVICE_TABLE) {
                raw.extra_devices.get()
            } else {
                0
            },
            devt_slotoff: raw.devt_slotoff.get(),
        })
    }

    /// The volume's label, empty if it has none.
    pub fn label(&self) -> &[u8] {
        self.volume_name.split(|&c| c == 0).next().unwrap_or(&[])
    }

    /// Whether any compressed file can be in the image.
    pub fn is_compressed(&self) -> bool {
        self.algorithms != 0
    }

    /// Where the record of inode `nid` begins; its length is for [`record_len()`] to tell.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if that is beyond any device, or in a metabox that is not there.
    ///
    /// [`record_len()`]: crate::inode::record_len
    pub fn iloc(&self, nid: Nid) -> Result<Area> {
        let offset = nid.offset()?;
        let (source, base) = if nid.in_metabox() {
            self.metabox_nid.ok_or(Error::NoMetabox)?;
            (Source::Metabox, 0)
        } else {
            let base = self.block.pos(u64::from(self.meta_blkaddr));
            (Source::Device, base)
        };
        let pos = offset.saturating_add(base);

        if pos > i64::MAX as u64 {
            return Err(Error::NidRange);
        }
        Ok(Area {
            source,
            pos,
            len: 32,
        })
    }

    /// The inode number that user space sees for `nid`.
    ///
    /// With a metabox, bits 31 to 62 move up by one and the metabox flag becomes bit 31, so that the
    /// numbers stay small.
    #[inline]
    pub fn ino64(&self, nid: Nid) -> u64 {
        if !self.features.has(incompat::METABOX) {
            return nid.0;
        }
        (nid.0.wrapping_shl(1) & 0xffff_ffff_0000_0000)
            | (nid.0 & 0x7fff_ffff)
            | (u64::from(nid.in_metabox()).wrapping_shl(31))
    }

    /// [`Self::ino64()`] folded to 32 bits, for kernels whose `ino_t` has no more.
    pub fn ino32(&self, nid: Nid) -> u32 {
        let ino = self.ino64(nid);

        (ino ^ ino.wrapping_shr(32)) as u32
    }
}

/// Checks the CRC, which covers the block that the superblock is in, but not what precedes it.
fn verify_checksum(
    bytes: &[u8],
    block: BlockBits,
    stored: u32,
    crc32c: impl FnOnce(u32, &[u8]) -> u32,
) -> Result<()> {
    let end = match block.size() {
        size if size > SUPER_OFFSET => size.wrapping_sub(SUPER_OFFSET),
        size => size,
    };
    let covered = bytes.get(CHECKSUM_SKIP..end as usize).ok_or(Error::Short)?;
    let computed = crc32c(CHECKSUM_SEED, covered);

    if computed != stored {
        return Err(Error::Checksum { computed, stored });
    }
    Ok(())
}

/// The metabox inode's nid, which must be on the device.
fn metabox_nid(bytes: &[u8], size: u32) -> Result<Nid> {
    if size <= BASE_SIZE {
        return Err(Error::MetaboxNid);
    }
    let slot = bytes.get(BASE_SIZE as usize..).ok_or(Error::Short)?;
    let nid = Nid(record::<RawExtSlot0>(slot)?.metabox_nid.get());

    if nid.in_metabox() {
        return Err(Error::MetaboxNid);
    }
    Ok(nid)
}

/// The algorithms that the image uses. Images without configurations use none or LZ4.
fn algorithms(features: Features, field: u16) -> Result<u16> {
    const LZ4: u16 = 1;
    const ALL: u16 = 0xf;

    if features.has(incompat::COMPR_CFGS) {
        if field & !ALL != 0 {
            return Err(Error::UnknownAlgorithms(field & !ALL));
        }
        return Ok(field);
    }
    if field == 0 && !features.has(incompat::LZ4_0PADDING) {
        return Ok(0);
    }
    Ok(LZ4)
}

/// A 48-bit number from its low and high part.
pub(crate) fn wide(lo: U32, hi: u16) -> u64 {
    u64::from(lo.get()) | u64::from(hi).wrapping_shl(32)
}
