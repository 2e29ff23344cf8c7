// SPDX-License-Identifier: GPL-2.0-only

//! The tests of the crate. They need root and the toolbox: mkfs.erofs, fsck.erofs, dump.erofs, tar.

mod common;
mod images;
mod reader;
mod samples;
mod sources;
