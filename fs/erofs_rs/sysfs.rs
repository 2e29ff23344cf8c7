// SPDX-License-Identifier: GPL-2.0-only

//! `/sys/fs/erofs_rs`: what is supported, and what can be tuned on a mount.

use crate::Erofs;
use core::fmt;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use vfs::{
    super_block::SuperBlock,
    sysfs::{
        parse_u32,
        Attribute,
        Feature,
        Files, //
    }, //
};

/// The parts of the format that this driver reads, of those that the C driver tells of. What is only
/// about compressed data is not among them.
pub(crate) const FEATURES: Files<Feature> = Files::new(&[
    Some(&Feature::new(c"chunked_file")),
    Some(&Feature::new(c"device_table")),
    Some(&Feature::new(c"sb_chksum")),
    Some(&Feature::new(c"xattr_prefixes")),
    Some(&Feature::new(c"48bit")),
    Some(&Feature::new(c"metabox")),
    None,
]);

/// The files of a mount.
pub(crate) const ATTRIBUTES: Files<Attribute<Erofs>> = Files::new(&[
    Some(&Attribute::new(
        c"dir_ra_bytes",
        Some(show_dir_ra_bytes),
        Some(store_dir_ra_bytes),
    )),
    None,
]);

/// What can be changed on a mount at any time.
pub(crate) struct Tunables {
    dir_ra_bytes: Atomic<u32>,
}

impl Tunables {
    pub(crate) fn new() -> Self {
        Self {
            dir_ra_bytes: Atomic::new(16384),
        }
    }

    /// How far the listing of a directory reads ahead, in bytes; 0 is not at all.
    pub(crate) fn dir_ra_bytes(&self) -> u32 {
        self.dir_ra_bytes.load(Relaxed)
    }
}

fn show_dir_ra_bytes(sb: &SuperBlock<Erofs>, to: &mut dyn fmt::Write) -> Result {
    Ok(writeln!(to, "{}", sb.data().tunables.dir_ra_bytes())?)
}

fn store_dir_ra_bytes(sb: &SuperBlock<Erofs>, text: &CStr) -> Result {
    sb.data()
        .tunables
        .dir_ra_bytes
        .store(parse_u32(text)?, Relaxed);
    Ok(())
}
