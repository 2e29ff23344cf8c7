// SPDX-License-Identifier: GPL-2.0-only

//! Indexes, extent records and configurations made by hand: what mkfs.erofs never writes, and what
//! cannot be.

mod compact;
mod config;
mod extents;
mod full;

use erofs_format::{
    meta::{
        Area,
        Source, //
    },
    super_block::incompat,
    zmap::{
        Cluster,
        Coding::{
            self,
            *, //
        },
        Header,
        HeaderLookup,
        Lookup,
        Plan,
        Want::{
            self,
            *, //
        },
        ZExtent,
        ZPlace, //
    },
    Error,
    Inode,
    Nid,
    Result,
    SuperBlock, //
};

use crate::records::*;

const BLOCK: u64 = 4096;

/// A compressed file with its metadata, which begins with its inode and ends in zeros.
struct File {
    sb: SuperBlock,
    inode: Inode,
    meta: Vec<u8>,
}

/// Where the map header is.
const HEADER: usize = 64;

impl File {
    /// A file whose header is followed by `table`.
    fn new(layout: u16, size: u64, header: [u8; 8], table: &[u8]) -> Self {
        let features = incompat::LZ4_0PADDING | incompat::BIG_PCLUSTER | incompat::FRAGMENTS;
        let sb = Super::new().incompat(features).put(84, &[0xb]).ok();
        let mut meta = extended(layout, REG, size);

        let (inode, _) = Inode::parse(&sb, Nid(0), &meta).unwrap();
        meta.extend(header);
        meta.extend(table);
        Self { sb, inode, meta }
    }

    /// The same file in an image without LZ4_0PADDING.
    fn unpadded(mut self) -> Self {
        self.sb.features.incompat &= !incompat::LZ4_0PADDING;
        self
    }

    fn read(&self, area: Area, step: u32) -> Vec<u8> {
        let byte = |pos: u64| self.meta.get(pos as usize).copied().unwrap_or(0);

        assert_eq!(area.source, Source::Device);
        assert!(area.len > 0 && area.len <= self.sb.block.rest(area.pos));
        (area.pos..area.pos + u64::from(area.len.min(step)))
            .map(byte)
            .collect()
    }

    fn header(&self) -> Result<Header> {
        let mut lookup = HeaderLookup::new(&self.sb, &self.inode)?;

        loop {
            let area = lookup.wanted();
            if let Some(header) = lookup.feed(&self.read(area, u32::MAX))? {
                return Ok(header);
            }
        }
    }

    fn map(&self, la: u64, want: Want) -> Result<ZExtent> {
        let header = self.header()?;
        let once = |step| match Lookup::new(&self.sb, &self.inode, &header, la, want)? {
            Plan::Extent(extent) => Ok(extent),
            Plan::Lookup(mut lookup) => loop {
                let area = lookup.wanted();
                if let Some(extent) = lookup.feed(&self.read(area, step))? {
                    return Ok(extent);
                }
            },
        };

        let found = once(u32::MAX);
        assert_eq!(found, once(32), "in small steps");
        found
    }

    fn errno(&self, la: u64, want: Want) -> (i32, Error) {
        let e = self.map(la, want).unwrap_err();
        (e.errno(), e)
    }
}

fn header(u: u32, advise: u16, algorithms: u8, clusterbits: u8) -> [u8; 8] {
    let [a, b] = advise.to_le_bytes();
    let u = u.to_le_bytes();

    [u[0], u[1], u[2], u[3], a, b, algorithms, clusterbits]
}

const BIG1: u16 = 2;
const BIG2: u16 = 4;
const TAIL_INLINE: u16 = 8;
const INTERLACED: u16 = 0x10;
const FRAGMENT: u16 = 0x20;

fn mapped(la: u64, len: u64, block: u64, blocks: u32, algorithm: Coding) -> ZExtent {
    ZExtent {
        la,
        len,
        full: true,
        place: ZPlace::Mapped(Cluster {
            pa: block * BLOCK,
            len: blocks * 4096,
            algorithm,
            partial_ref: false,
            inline: None,
        }),
    }
}

/// The same by an image without LZ4_0PADDING.
fn unpadded(extent: ZExtent) -> ZExtent {
    let ZPlace::Mapped(cluster) = extent.place else {
        panic!("not mapped");
    };
    ZExtent {
        place: ZPlace::Mapped(Cluster {
            algorithm: Lz4Unpadded,
            ..cluster
        }),
        ..extent
    }
}

fn hole(la: u64, len: u64) -> ZExtent {
    ZExtent {
        la,
        len,
        full: true,
        place: ZPlace::Hole,
    }
}

fn fragment(la: u64, len: u64, pos: u64) -> ZExtent {
    ZExtent {
        la,
        len,
        full: true,
        place: ZPlace::Fragment { pos },
    }
}

fn part(extent: ZExtent) -> ZExtent {
    ZExtent {
        full: false,
        ..extent
    }
}

fn partial_ref(extent: ZExtent) -> ZExtent {
    let ZPlace::Mapped(cluster) = extent.place else {
        panic!("not mapped");
    };
    ZExtent {
        place: ZPlace::Mapped(Cluster {
            partial_ref: true,
            ..cluster
        }),
        ..extent
    }
}
