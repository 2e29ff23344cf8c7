// SPDX-License-Identifier: GPL-2.0-only

//! What the targets share. They take records from the begin of their input and numbers from its end,
//! so that a part of an image is a good seed.

#[path = "../../tests/suite/reader/mod.rs"]
pub mod reader;

use erofs_format::{
    super_block::SUPER_OFFSET,
    SuperBlock, //
};

/// The input that is left to a target.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next `len` bytes, zeros where there are no more.
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        let mut bytes = bytes.to_vec();

        self.0 = rest;
        bytes.resize(len, 0);
        bytes
    }

    /// A number from the last 8 bytes.
    pub fn number(&mut self) -> u64 {
        match self.0.split_last_chunk() {
            Some((rest, bytes)) => {
                self.0 = rest;
                u64::from_le_bytes(*bytes)
            }
            None => 0,
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// A superblock that is sound but for what number it is: any block size, any features, up to
    /// 65535 devices.
    pub fn super_block(&mut self) -> SuperBlock {
        let mut page = vec![0; 4096 - SUPER_OFFSET as usize];
        let random = self.number().to_le_bytes();

        page[..4].copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
        page[8] = random[0] & !0x21;
        page[12] = 9 + random[1] % 4;
        page[13] = 1;
        page[40] = random[2];
        page[44..48].copy_from_slice(&random[..4]);
        page[80] = random[3];
        page[81] = random[4] & 1;
        page[86] = random[5];
        page[87] = random[6];
        page[90] = 0;
        // Algorithms 0 to 3 are known.
        page[84] = random[7] & 0xf;
        SuperBlock::parse(&page, 12, |_, _| 0).expect("a sound superblock")
    }
}
