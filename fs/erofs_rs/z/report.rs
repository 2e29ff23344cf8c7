// SPDX-License-Identifier: GPL-2.0-only

//! Telling where the extents of compressed files are: fiemap, `SEEK_HOLE`, `SEEK_DATA`.

use super::map::Mapper;
use crate::Erofs;
use erofs_format::zmap::{
    Want,
    ZPlace, //
};
use kernel::prelude::*;
use vfs::{
    inode::Inode,
    iomap::{
        Mapping,
        Operations,
        Place, //
    }, //
};

/// The extents of compressed files, which iomap cannot read.
pub(crate) struct Extents;

impl Operations for Extents {
    type FileSystem = Erofs;

    fn map(inode: &Inode<Erofs>, pos: u64, len: u64) -> Result<Mapping<'_>> {
        let mut mapper = Mapper::new(inode);
        let extent = loop {
            match mapper.find(pos, Want::Fiemap)? {
                Some(extent) => break extent,
                None => mapper.load()?,
            }
        };
        if pos >= inode.size() {
            // All that is asked for, or iomap would ask for ever.
            return Ok(Mapping {
                offset: extent.la,
                length: (pos - extent.la).saturating_add(len),
                place: Place::Hole,
            });
        }
        Ok(Mapping {
            offset: extent.la,
            length: extent.len,
            place: match extent.place {
                ZPlace::Hole => Place::Hole,
                ZPlace::Fragment { .. } => Place::Elsewhere,
                ZPlace::Mapped(cluster) => Place::Device {
                    device: inode.super_block().bdev(),
                    addr: cluster.pa,
                },
            },
        })
    }
}
