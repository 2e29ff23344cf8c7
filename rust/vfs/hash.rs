// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's checksums and hashes that filesystems use.

use crate::bindings;

/// CRC32C of `data`, continued from `seed`, without a final inversion.
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    // SAFETY: `data` is readable for its length.
    unsafe { bindings::crc32c(seed, data.as_ptr().cast(), data.len()) }
}

/// xxHash32 of `data` with `seed`.
pub fn xxh32(data: &[u8], seed: u32) -> u32 {
    // SAFETY: `data` is readable for its length.
    unsafe { bindings::xxh32(data.as_ptr().cast(), data.len(), seed) }
}
