// SPDX-License-Identifier: GPL-2.0-only

//! Records made by hand, for tests of single checks.

use erofs_format::{
    super_block::incompat,
    Result,
    SuperBlock, //
};

use crate::reader::crc32c;

pub const EIO: i32 = 5;
pub const ENODEV: i32 = 19;
pub const EINVAL: i32 = 22;
pub const EBADMSG: i32 = 74;
pub const EOPNOTSUPP: i32 = 95;
pub const EUCLEAN: i32 = 117;

/// A page without what precedes the superblock.
pub struct Super(pub Vec<u8>);

impl Super {
    pub fn new() -> Self {
        let mut page = vec![0; 3072];
        page[..4].copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
        page[12] = 12;
        Self(page)
    }

    pub fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn compat(self, bits: u32) -> Self {
        self.put(8, &bits.to_le_bytes())
    }

    pub fn incompat(self, bits: u32) -> Self {
        self.put(80, &bits.to_le_bytes())
    }

    pub fn parse(&self) -> Result<SuperBlock> {
        SuperBlock::parse(&self.0, 12, crc32c)
    }

    pub fn ok(&self) -> SuperBlock {
        self.parse().unwrap()
    }
}

/// A superblock with a device table of `count` slots.
pub fn with_devices(count: u16, bits: u32) -> Super {
    Super::new()
        .incompat(incompat::DEVICE_TABLE | bits)
        .put(86, &count.to_le_bytes())
        .put(88, &9u16.to_le_bytes())
}

/// A compact inode's record.
pub fn compact(format: u16, mode: u16, size: u32) -> Vec<u8> {
    let mut r = vec![0; 32];

    r[..2].copy_from_slice(&format.to_le_bytes());
    r[4..6].copy_from_slice(&mode.to_le_bytes());
    r[8..12].copy_from_slice(&size.to_le_bytes());
    r
}

/// An extended inode's record.
pub fn extended(format: u16, mode: u16, size: u64) -> Vec<u8> {
    let mut r = vec![0; 64];

    r[..2].copy_from_slice(&(format | 1).to_le_bytes());
    r[4..6].copy_from_slice(&mode.to_le_bytes());
    r[8..16].copy_from_slice(&size.to_le_bytes());
    r
}

pub fn put(mut record: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    record[at..at + bytes.len()].copy_from_slice(bytes);
    record
}

pub const REG: u16 = 0o100644;
pub const PLAIN: u16 = 0;
pub const FULL: u16 = 1 << 1;
pub const INLINE: u16 = 2 << 1;
pub const COMPACT: u16 = 3 << 1;
pub const CHUNK: u16 = 4 << 1;
pub const BIT4: u16 = 0x10;
