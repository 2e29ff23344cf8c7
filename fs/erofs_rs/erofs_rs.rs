// SPDX-License-Identifier: GPL-2.0-only

//! EROFS, the enhanced read-only filesystem.
//!
//! | file | concern |
//! | --- | --- |
//! | `super_block.rs` | mount, statfs, unmount; what stays in memory of a superblock |
//! | `options.rs` | mount options |
//! | `inode.rs` | inodes from disk, and their attributes |
//! | `dir.rs` | looking up and listing names |
//! | `xattr.rs` | extended attributes and ACLs |
//! | `data.rs` | where the bytes of uncompressed files lie |
//! | `fileio.rs` | reading them where a file is mounted |
//! | `sysfs.rs` | `/sys/fs/erofs_rs` |
//! | `trace.rs`, `tracepoints.*` | tracepoints |
//! | `z.rs`, `z/` | compressed files |
//!
//! What is on disk is parsed by `erofs_format`; what the kernel does goes through `vfs`.

#![forbid(unsafe_code)]

mod data;
mod dir;
mod fileio;
mod inode;
mod options;
mod super_block;
mod sysfs;
mod trace;
mod xattr;
mod z;

/// The filesystem type, a tag.
pub(crate) struct Erofs;

vfs::module_filesystem! {
    type: Erofs,
    name: "erofs_rs",
    authors: ["The erofs_rs developers"],
    description: "Enhanced Read-Only File System, in Rust",
    license: "GPL",
    alias: ["fs-erofs_rs"],
}
