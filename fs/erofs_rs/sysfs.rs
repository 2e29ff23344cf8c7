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

/// The parts of the format that this driver reads, of those that the C driver tells of.
pub(crate) const FEATURES: Files<Feature> = Files::new(&[
    Some(&Feature::new(c"compr_cfgs")),
    Some(&Feature::new(c"big_pcluster")),
    Some(&Feature::new(c"chunked_file")),
    Some(&Feature::new(c"device_table")),
    Some(&Feature::new(c"compr_head2")),
    Some(&Feature::new(c"sb_chksum")),
    Some(&Feature::new(c"ztailpacking")),
    Some(&Feature::new(c"fragments")),
    Some(&Feature::new(c"dedupe")),
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
    Some(&Attribute::new(
        c"sync_decompress",
        Some(show_sync_decompress),
        Some(store_sync_decompress),
    )),
    Some(&Attribute::new(c"drop_caches", None, Some(drop_caches))),
    Some(&Attribute::new(c"stats", Some(show_stats), None)),
    None,
]);

/// Whether readers decode what they read themselves.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(u32)]
pub(crate) enum SyncDecompress {
    /// If somebody waits for it, and short readaheads.
    Auto,
    /// As `Auto`.
    ForceOn,
    /// Never.
    ForceOff,
}

/// What can be changed on a mount at any time.
pub(crate) struct Tunables {
    dir_ra_bytes: Atomic<u32>,
    sync_decompress: Atomic<u32>,
}

impl Tunables {
    pub(crate) fn new() -> Self {
        Self {
            dir_ra_bytes: Atomic::new(16384),
            sync_decompress: Atomic::new(SyncDecompress::Auto as u32),
        }
    }

    /// How far the listing of a directory reads ahead, in bytes; 0 is not at all.
    pub(crate) fn dir_ra_bytes(&self) -> u32 {
        self.dir_ra_bytes.load(Relaxed)
    }

    pub(crate) fn sync_decompress(&self) -> SyncDecompress {
        match self.sync_decompress.load(Relaxed) {
            1 => SyncDecompress::ForceOn,
            2 => SyncDecompress::ForceOff,
            _ => SyncDecompress::Auto,
        }
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

fn show_sync_decompress(sb: &SuperBlock<Erofs>, to: &mut dyn fmt::Write) -> Result {
    Ok(writeln!(
        to,
        "{}",
        sb.data().tunables.sync_decompress() as u32
    )?)
}

fn store_sync_decompress(sb: &SuperBlock<Erofs>, text: &CStr) -> Result {
    let value = parse_u32(text)?;
    if value > SyncDecompress::ForceOff as u32 {
        return Err(EINVAL);
    }
    sb.data().tunables.sync_decompress.store(value, Relaxed);
    Ok(())
}

/// Bit 0 is for compressed pages that are kept, bit 1 for pclusters that nobody uses. The latter only
/// stay for the former, so both let go the same.
fn drop_caches(sb: &SuperBlock<Erofs>, text: &CStr) -> Result {
    if !(1..=3).contains(&parse_u32(text)?) {
        return Err(EINVAL);
    }
    if let Some(shared) = sb.data().compressed() {
        shared.drop_caches();
    }
    Ok(())
}

fn show_stats(sb: &SuperBlock<Erofs>, to: &mut dyn fmt::Write) -> Result {
    match sb.data().compressed() {
        Some(shared) => shared.stats.show(to),
        None => Ok(()),
    }
}
