// SPDX-License-Identifier: GPL-2.0-only

//! KUnit tests of the wrappers, run when the module is loaded into a kernel with KUnit.

mod bio;
mod codec;
mod contexts;
mod few;
mod filesystem;
mod folio;
mod inode;
mod lru;
mod once;
mod options;
mod page;
mod reads;
mod streams;
mod task;
