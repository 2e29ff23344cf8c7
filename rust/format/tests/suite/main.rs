// SPDX-License-Identifier: GPL-2.0-only

//! The tests of the crate. They need root and the toolbox: mkfs.erofs, fsck.erofs, dump.erofs, tar.

mod common;
mod dir;
mod images;
mod inode;
mod map;
mod reader;
mod records;
mod samples;
mod sources;
mod super_block;
mod xattr;
mod zimages;
mod zmap;
mod zmutants;
