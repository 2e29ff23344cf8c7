// SPDX-License-Identifier: GPL-2.0-only

//! What the targets share. They take records from the begin of their input and numbers from its end,
//! so that a part of an image is a good seed.

#[path = "../../tests/suite/reader/mod.rs"]
pub mod reader;

use erofs_format::{
    super_block::{
        incompat,
        SUPER_OFFSET, //
    },
    zmap::{
        Want,
        ZExtent,
        ZPlace, //
    },
    Error,
    Inode,
    Nid,
    Result,
    SuperBlock, //
};
use reader::{
    z::Opened,
    Image, //
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
        SuperBlock::parse(&self.super_page(), 12, |_, _| 0).expect("a sound superblock")
    }

    fn super_page(&mut self) -> Vec<u8> {
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
        page
    }

    /// An image with one compressed file, of which the input is all that follows the inode: map
    /// header, indexes or records. They are as `table` says.
    pub fn compressed(&mut self, table: Table) -> Option<(Image, Inode)> {
        const INODE: usize = 4096;
        const HEADER: usize = INODE + 64;

        let compact = match table {
            Table::Any => self.below(2) != 0,
            Table::Compact => true,
            Table::Full | Table::Records => false,
        };
        // A small file, mostly.
        let size = self.number();
        let size = size >> (size % 64);
        let mut page = self.super_page();

        // No devices, no metabox, and metadata from the begin on.
        page[8] &= !0x1;
        page[40..44].fill(0);
        page[80] &= !(incompat::DEVICE_TABLE as u8);
        page[81] = 0;
        let mut image = [&[0; SUPER_OFFSET as usize], &page[..]].concat();
        let layout = if compact { 3 << 1 } else { 1 << 1 };

        image.extend([layout | 1, 0, 0, 0]);
        image.extend(0o100_644u16.to_le_bytes());
        image.extend([0; 2]);
        image.extend(size.to_le_bytes());
        image.resize(HEADER, 0);
        image.extend(self.0);
        image.resize(image.len().max(HEADER + 8), 0);
        match table {
            Table::Any => {}
            Table::Full => image[HEADER + 4] &= !1,
            Table::Compact => {}
            Table::Records => image[HEADER + 4] |= 1,
        }
        if table != Table::Any {
            image[HEADER + 7] &= !0x80;
        }

        let image = Image::open_limited(Box::new(image), Vec::new(), 2000).ok()?;
        let (inode, _) = image.inode(Nid(INODE as u64 / 32)).ok()?;
        Some((image, inode))
    }
}

/// What a file has behind its map header.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Table {
    /// What the header says.
    Any,
    /// Full indexes.
    Full,
    /// Compact indexes.
    Compact,
    /// Extent records.
    Records,
}

/// A compressed file's mapping, at some position and where that leads to.
pub fn map(data: &[u8], table: Table) {
    let mut input = Input(data);
    let (la, step) = (input.number(), 32 + input.below(300) as u32);
    let Some((image, inode)) = input.compressed(table) else {
        return;
    };
    if inode.size == 0 {
        return;
    }
    let Ok(mut file) = image.zopen(&inode) else {
        return;
    };
    let mut la = la % inode.size;

    for _ in 0..8 {
        match look(&mut file, la, step) {
            Ok(extent) => la = extent.la.saturating_add(extent.len),
            Err(_) => la = la / 2 + 1,
        }
    }
}

/// One position, in every way. `Short` says that all reads that may be made are made.
fn look(file: &mut Opened<'_>, la: u64, step: u32) -> Result<ZExtent> {
    let whole = file.extent(la, Want::Fiemap, u32::MAX);
    let part = file.extent(la, Want::Read, u32::MAX)?;

    // In small steps, and without what is kept.
    file.kept.clear();
    assert_eq!(file.extent(la, Want::Read, step)?, part);
    match (file.extent(la, Want::Fiemap, step), whole) {
        (Err(Error::Short), _) | (_, Err(Error::Short)) => return Err(Error::Short),
        (again, whole) => assert_eq!(again, whole),
    }
    if let (ZPlace::Mapped(_), Ok(whole)) = (part.place, whole) {
        assert_eq!((whole.la, whole.place), (part.la, part.place));
    }

    let more = file.extent(la, Want::ReadMore, step)?;
    assert_eq!((more.la, more.place), (part.la, part.place));
    Ok(whole.unwrap_or(part))
}
