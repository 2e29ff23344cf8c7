// SPDX-License-Identifier: GPL-2.0-only

//! Compression configurations: what an image's algorithms need to decode it.
//!
//! ```text
//! superblock and extension slots | u16 size | configuration | 0-3 bytes to a multiple of 4 | ...
//! ```
//!
//! There is one for each algorithm that the superblock names, in the order of their numbers. Images
//! without [`incompat::COMPR_CFGS`] have none, and at most LZ4.
//!
//! C: `z_erofs_parse_cfgs()`, `z_erofs_load_*_config()`.

use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use super::{
    Coding,
    PCLUSTER_MAX_SIZE, //
};
use crate::{
    meta::{
        record,
        Area,
        BlockBits,
        Source, //
    },
    super_block::{
        incompat,
        SUPER_OFFSET, //
    },
    Error,
    Result,
    SuperBlock, //
};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLz4 {
    max_distance: U16,
    max_pclusterblks: U16,
    reserved: [u8; 10],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLzma {
    dict_size: U32,
    format: U16,
    reserved: [u8; 8],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDeflate {
    windowbits: u8,
    reserved: [u8; 5],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawZstd {
    format: u8,
    windowlog: u8,
    reserved: [u8; 4],
}

const _: () = assert!(size_of::<RawLz4>() == 14);
const _: () = assert!(size_of::<RawLzma>() == 14);
const _: () = assert!(size_of::<RawDeflate>() == 6);
const _: () = assert!(size_of::<RawZstd>() == 6);

/// The size field before a configuration.
const LENGTH_SIZE: usize = 2;

/// The size field and the longest known configuration.
const LONGEST: usize = LENGTH_SIZE + 14;

/// Zstandard's windows have 2 to the power of this and more bytes.
const ZSTD_WINDOW_BITS_MIN: u8 = 10;

/// What LZ4 data needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lz4 {
    /// How far back a match can be, in bytes; 0 means 64 KiB. Not checked, as in C.
    pub max_distance: u16,
    /// The encoded size of the largest pcluster in blocks, 1 or more.
    pub max_pclusterblks: u16,
}

/// What MicroLZMA data needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lzma {
    /// The dictionary's size in bytes, 4 KiB to 8 MiB.
    pub dict_size: u32,
}

/// What DEFLATE data needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deflate {
    /// The window's size as a base-2 logarithm, 15 at most.
    pub window_bits: u8,
}

/// What Zstandard data needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Zstd {
    /// The window's size as a base-2 logarithm, 10 to 20.
    pub window_bits: u8,
}

/// The algorithms of an image; `None`: it does not use that one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Configs {
    /// LZ4.
    pub lz4: Option<Lz4>,
    /// MicroLZMA.
    pub lzma: Option<Lzma>,
    /// DEFLATE.
    pub deflate: Option<Deflate>,
    /// Zstandard.
    pub zstd: Option<Zstd>,
}

impl Configs {
    /// Takes the configuration of an algorithm, of `size` bytes, all of which may be in `bytes`.
    fn parse(&mut self, block: BlockBits, coding: Coding, size: u32, bytes: &[u8]) -> Result<()> {
        let algorithm = coding.algorithm().unwrap_or(0);
        let least = match coding {
            Coding::Lz4 | Coding::Lz4Unpadded => size_of::<RawLz4>(),
            Coding::Lzma => size_of::<RawLzma>(),
            Coding::Deflate => size_of::<RawDeflate>(),
            Coding::Zstd => size_of::<RawZstd>(),
            Coding::Shifted | Coding::Interlaced => 0,
        };

        if (size as usize) < least {
            return Err(Error::ConfigSize { algorithm, size });
        }
        match coding {
            Coding::Lz4 | Coding::Lz4Unpadded => {
                self.lz4 = Some(Lz4::parse(block, record(bytes)?)?);
            }
            Coding::Lzma => self.lzma = Some(Lzma::parse(record(bytes)?)?),
            Coding::Deflate => self.deflate = Some(Deflate::parse(record(bytes)?)?),
            Coding::Zstd => self.zstd = Some(Zstd::parse(record(bytes)?)?),
            Coding::Shifted | Coding::Interlaced => {}
        }
        Ok(())
    }
}

impl Lz4 {
    fn parse(block: BlockBits, raw: &RawLz4) -> Result<Self> {
        let blocks = raw.max_pclusterblks.get();

        if u32::from(blocks) > PCLUSTER_MAX_SIZE.wrapping_shr(u32::from(block.bits())) {
            return Err(Error::Lz4Blocks(blocks));
        }
        Ok(Self {
            max_distance: raw.max_distance.get(),
            max_pclusterblks: blocks.max(1),
        })
    }
}

impl Lzma {
    const DICT_SIZES: core::ops::RangeInclusive<u32> = 4096..=8 << 20;

    fn parse(raw: &RawLzma) -> Result<Self> {
        let (dict_size, format) = (raw.dict_size.get(), raw.format.get());

        if format != 0 {
            let algorithm = 1;
            return Err(Error::ConfigFormat { algorithm, format });
        }
        if !Self::DICT_SIZES.contains(&dict_size) {
            return Err(Error::LzmaDictSize(dict_size));
        }
        Ok(Self { dict_size })
    }
}

impl Deflate {
    const WINDOW_BITS_MAX: u8 = 15;

    fn parse(raw: &RawDeflate) -> Result<Self> {
        if raw.windowbits > Self::WINDOW_BITS_MAX {
            return Err(Error::DeflateWindow(raw.windowbits));
        }
        Ok(Self {
            window_bits: raw.windowbits,
        })
    }
}

impl Zstd {
    /// The window is no larger than a pcluster can be.
    const WINDOW_LOG_MAX: u8 = PCLUSTER_MAX_SIZE.ilog2() as u8 - ZSTD_WINDOW_BITS_MIN;

    fn parse(raw: &RawZstd) -> Result<Self> {
        if raw.format != 0 {
            return Err(Error::ConfigFormat {
                algorithm: 3,
                format: u16::from(raw.format),
            });
        }
        if raw.windowlog > Self::WINDOW_LOG_MAX {
            return Err(Error::ZstdWindow(raw.windowlog));
        }
        Ok(Self {
            window_bits: raw.windowlog.wrapping_add(ZSTD_WINDOW_BITS_MIN),
        })
    }
}

/// Reads the configurations of an image, for a mount.
///
/// The caller reads from [`ConfigTable::wanted()`] and hands the bytes to [`ConfigTable::feed()`] as
/// long as there is something wanted; then all [`ConfigTable::configs()`] are known.
#[derive(Clone, Copy, Debug)]
pub struct ConfigTable {
    block: BlockBits,
    configs: Configs,
    /// The algorithms that are still to come.
    left: u16,
    /// Where the next one's size field is.
    pos: u64,
    /// What was read from there.
    bytes: [u8; LONGEST],
    filled: usize,
}

impl ConfigTable {
    /// The configurations of the image with this superblock.
    pub fn new(sb: &SuperBlock) -> Self {
        let mut table = Self {
            block: sb.block,
            configs: Configs::default(),
            left: sb.algorithms,
            pos: u64::from(SUPER_OFFSET).saturating_add(u64::from(sb.size)),
            bytes: [0; LONGEST],
            filled: 0,
        };

        if !sb.features.has(incompat::COMPR_CFGS) {
            table.left = 0;
            table.configs.lz4 = sb.is_compressed().then_some(Lz4 {
                max_distance: sb.lz4_max_distance,
                max_pclusterblks: 1,
            });
        }
        table.align();
        table
    }

    fn align(&mut self) {
        self.pos = self.pos.saturating_add(3) & !3;
    }

    /// What is to be read, within one block; `None` if everything is known.
    pub fn wanted(&self) -> Option<Area> {
        let pos = self.pos.saturating_add(self.filled as u64);
        let rest = self.needed().saturating_sub(self.filled) as u32;

        (self.left != 0).then(|| Area {
            source: Source::Device,
            pos,
            len: rest.min(self.block.rest(pos)),
        })
    }

    /// The bytes that the configuration has, as far as one is known.
    fn size(&self) -> u32 {
        let [lo, hi, ..] = self.bytes;

        match u16::from_le_bytes([lo, hi]) {
            0 => 1 << 16,
            size => u32::from(size),
        }
    }

    /// How many bytes are to be read, as far as that is known.
    fn needed(&self) -> usize {
        match self.filled {
            0..LENGTH_SIZE => LENGTH_SIZE,
            _ => (self.size() as usize)
                .saturating_add(LENGTH_SIZE)
                .min(LONGEST),
        }
    }

    /// Takes the bytes that [`Self::wanted()`] begins with.
    ///
    /// # Errors
    ///
    /// `EINVAL` or, of DEFLATE, `EOPNOTSUPP` if a configuration is not one that can be decoded,
    /// `EIO` if there are no bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let wanted = self.wanted().map_or(0, |area| area.len as usize);
        let bytes = bytes.get(..wanted).unwrap_or(bytes);
        let end = self.filled.saturating_add(bytes.len());

        match self.bytes.get_mut(self.filled..end) {
            Some(free) if !bytes.is_empty() => {
                free.iter_mut()
                    .zip(bytes)
                    .for_each(|(to, from)| *to = *from);
            }
            _ => return Err(Error::Short),
        }
        self.filled = end;
        if end < LENGTH_SIZE || end < self.needed() {
            return Ok(());
        }

        let number = self.left.trailing_zeros() as u8;
        let coding = Coding::from_algorithm(number);
        let coding = coding.ok_or(Error::UnknownAlgorithms(self.left))?;
        let size = self.size();
        let config = self.bytes.get(LENGTH_SIZE..).ok_or(Error::Short)?;

        self.configs.parse(self.block, coding, size, config)?;
        self.left &= self.left.wrapping_sub(1);
        self.pos = self
            .pos
            .saturating_add(LENGTH_SIZE as u64)
            .saturating_add(u64::from(size));
        self.align();
        self.filled = 0;
        Ok(())
    }

    /// The configurations that are known so far.
    pub fn configs(&self) -> Configs {
        self.configs
    }
}
