// SPDX-License-Identifier: GPL-2.0-only

//! What is in an image, so that a test can tell that its options did something.

use erofs_format::{
    inode::{
        FileType,
        Layout, //
    },
    meta::Source,
    xattr::NameIndex, //
};

use crate::reader::Image;

/// How many inodes there are of each kind, or xattr entries.
#[derive(Debug, Default)]
pub struct Census {
    pub compact: u32,
    pub extended: u32,
    /// Extended records over a block's end.
    pub straddling: u32,
    pub nlink_1: u32,
    pub dot_omitted: u32,
    pub in_metabox: u32,
    pub plain: u32,
    pub inline: u32,
    /// Plain files without blocks.
    pub plain_holes: u32,
    pub blockmaps: u32,
    pub chunk_indexes: u32,
    /// Chunk formats with 48-bit addresses.
    pub chunks_48bit: u32,
    pub fast_symlinks: u32,
    pub slow_symlinks: u32,
    /// Directories of more than one block.
    pub large_directories: u32,
    pub inline_xattrs: u32,
    pub shared_xattrs: u32,
    pub long_prefixes: u32,
    /// Xattr areas over a block's end.
    pub xattrs_across: u32,
}

/// Counts.
pub fn census(image: &Image) -> Census {
    let mut c = Census::default();
    let sb = &image.sb;
    let block = sb.block;

    for (inode, attributes) in image.walk(100).unwrap().values() {
        let area = sb.iloc(inode.nid).unwrap();
        let record = image.meta(area).unwrap();
        let xattrs = inode.xattr_area();
        let extended = record[0] & 1 != 0;

        c.compact += u32::from(!extended);
        c.extended += u32::from(extended);
        c.straddling += u32::from(extended && block.rest(area.pos) < 64);
        c.in_metabox += u32::from(inode.nid.in_metabox());
        c.dot_omitted += u32::from(inode.dot_omitted);
        c.xattrs_across += u32::from(xattrs.len > block.rest(xattrs.pos));
        if attributes.file_type != FileType::Directory {
            c.nlink_1 += u32::from(!extended && record[0] & 0x10 != 0);
        }
        match attributes.file_type {
            FileType::Directory => {
                c.large_directories += u32::from(inode.size > block.size().into());
            }
            FileType::Symlink => match inode.fast_symlink(block) {
                Some(_) => c.fast_symlinks += 1,
                None => c.slow_symlinks += 1,
            },
            FileType::Regular => match inode.layout {
                Layout::Plain { start: None } => c.plain_holes += u32::from(inode.size != 0),
                Layout::Plain { .. } => c.plain += 1,
                Layout::Inline { .. } => c.inline += 1,
                Layout::Chunk(format) => {
                    // The low 16 bits of i_u, behind a size of 4 or 8 bytes and a time.
                    let bits = record[16];

                    c.chunks_48bit += u32::from(bits & 0x40 != 0);
                    match format.entry_size() {
                        4 => c.blockmaps += 1,
                        _ => c.chunk_indexes += 1,
                    }
                }
                Layout::Compressed { .. } => panic!("compressed file"),
            },
            _ => {}
        }

        let shared = sb.shared_xattr(0);
        image
            .each_xattr(inode, |entry| {
                let is_inline = entry.name.source == xattrs.source
                    && entry.name.pos >= xattrs.pos
                    && entry.name.pos < xattrs.pos + u64::from(xattrs.len);

                match is_inline {
                    true => c.inline_xattrs += 1,
                    false => {
                        assert_eq!(entry.name.source, shared.source);
                        assert!(entry.name.pos >= shared.pos || shared.source != Source::Device);
                        c.shared_xattrs += 1;
                    }
                }
                c.long_prefixes += u32::from(matches!(entry.index, NameIndex::Long(_)));
                Ok(true)
            })
            .unwrap();
    }
    c
}
