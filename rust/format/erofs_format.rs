// SPDX-License-Identifier: GPL-2.0-only

//! The EROFS on-disk format.
//!
//! This crate asks, the caller reads: its functions take bytes and integers and return validated
//! values, or name the next range of the image that they need ([`meta::Area`]). There is no I/O, no
//! allocation and no panic in it, and the compiler forbids `unsafe`. The same source is built into
//! the kernel module and, by cargo, into the tests and fuzzers.
//!
//! | module          | what                                                              |
//! |-----------------|-------------------------------------------------------------------|
//! | [`error`]       | what can be wrong with an image, one errno each                   |
//! | [`meta`]        | blocks, node numbers, ranges of metadata                          |
//! | [`super_block`] | the superblock and its features                                   |
//! | [`device`]      | the device table, device and address of a mapped extent           |
//! | [`inode`]       | inodes: attributes, data layout, fast symlinks                    |
//! | [`map`]         | where the bytes of an uncompressed file are                       |
//! | [`chunk`]       | the same for chunk-based files: block maps and chunk indexes      |
//! | [`zmap`]        | where the bytes of a compressed file are, compression configurations      |
//! | [`dir`]         | directory blocks: lookup by binary search, iteration              |
//! | [`xattr`]       | extended attributes: inline, shared, long prefixes, name filter   |
//!
//! # Conventions
//!
//! - All integers on disk are little endian. Records are `repr(C)` structures of zerocopy's
//!   unaligned integers, named `Raw*`, private, and turned into validated values by `parse`.
//! - A position or length is in bytes, a block address in blocks of the file system.
//! - An image can be hostile: every error is an [`Error`]; the caller logs it with the nid and
//!   returns [`Error::errno`]. What the C driver tolerates is tolerated, since the two are compared;
//!   `Documentation/hardening.md` has the exceptions.
//! - Bytes handed in do not change, though the device can while it is mounted: they are a private copy,
//!   or a directory's page cache, which only the module fills.
//!
//! C headers: `fs/erofs/erofs_fs.h`, `fs/erofs/internal.h`.

// kbuild passes `no_std` itself.
#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

pub mod chunk;
pub mod device;
pub mod dir;
pub mod error;
pub mod inode;
pub mod map;
pub mod meta;
pub mod super_block;
pub mod xattr;
pub mod zmap;

pub use crate::{
    error::{
        Error,
        Result, //
    },
    inode::Inode,
    meta::Nid,
    super_block::SuperBlock, //
};
