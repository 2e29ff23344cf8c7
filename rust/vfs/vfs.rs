// SPDX-License-Identifier: GPL-2.0-only

//! Safe abstractions over the VFS for read-only filesystems.
//!
//! The C object model and its names are kept: a wrapper a C object, an operations table a kind of
//! inode. All `unsafe` of the module is in this crate, and it knows nothing of any one filesystem.
//!
//! | module | C object | rule it carries |
//! | --- | --- | --- |
//! | [`registration`] | `file_system_type` | the inode cache outlives every inode (`rcu_barrier`) |
//! | [`fs_context`] | `fs_context` | options are private to the mounter until the superblock is filled |
//! | [`super_block`] | `super_block` | data is set once, before any inode can reach it |
//! | [`inode`] | `inode` | a new inode is either made ready or failed; its data is freed after RCU |
//! | [`dir`], [`dentry`] | `dir_context`, `dentry` | names are looked at under the parent's lock |
//! | [`mod@file`] | `file_operations` | one table a kind of file |
//! | [`xattr`] | `xattr_handler` | names and values go out by a sink that knows the caller's room |
//! | [`meta`] | page cache reads | bytes are copied out before they are looked at, but a directory's |
//! | [`iomap`] | `iomap_ops` | one mapping a step; inline data is mapped only for that step |
//! | [`address_space`], [`readahead`] | `address_space_operations` | folios not taken stay the page cache's |
//! | [`folio`] | `folio` | a locked folio is ended exactly once, by its owner |
//! | [`bio`] | `bio` | what is read into and its completion's data come back exactly once |
//! | [`page_bio`] | `bio` | pages stay in memory until the read into them has ended |
//! | [`reads`] | | what is waited for together ends once, and runs no code in an interrupt |
//! | [`bdev`] | `block_device` | a claimed device is released with its superblock |
//! | [`backing`] | `file` | a read of it does not depend on the task that asks for it |
//! | [`sysfs`] | `kobject`, `kset` | a file's callback runs only while its superblock has its data |
//! | [`page`], [`file_page`] | `page` | one that is lent to be written is not decoded from |
//! | [`codec`] | decompressors | only bytes that the caller owns are written, whatever the stream says |
//! | [`lru`] | `list_lru`, `shrinker` | a listed object stays, and is asked by its cgroup |
//! | [`once`] | - | a value that several tasks may make is put in place in one step |
//! | [`registrar`] | | what the kernel may call at any time is undone when the module goes |
//! | [`shrinker`] | `shrinker` | its callbacks are over before its data goes |
//! | [`percpu`] | `alloc_percpu` | each CPU adds to its own counters |
//! | [`workqueue`] | `work_struct` | what is queued is owned by the queue, and runs once |
//! | [`trace`] | `tracepoint` | arguments are made only where they are wanted, and live through the call |
//!
//! [`few`], [`task`], [`log`], [`hash`] and [`error`] are small helpers.
//!
//! # References and lifetimes
//!
//! A reference to a superblock or an inode is only ever handed to a callback, for the length of
//! that callback; an [`inode::InodeRef`] is bound to it. So nothing of a mount can be kept past its
//! unmount in safe code; one that is forgotten is put then. What the kernel may call at any time is
//! owned by a [`registrar::Registrar`]; what is changed for a while ([`page::no_io`]) is changed for a
//! closure.
//!
//! # Context
//!
//! All code of a filesystem runs in tasks that may sleep, also what drops its data, but for
//! [`lru::Reclaim::take`], which runs under a spinlock. Where a read ends, in an interrupt, only this
//! crate's code runs, and hands on to a waiter or a queue ([`reads`]).

#![deny(clippy::undocumented_unsafe_blocks)]
#![deny(unsafe_op_in_unsafe_fn)]

mod bindings;

pub mod address_space;
pub mod backing;
pub mod bdev;
pub mod bio;
pub mod codec;
mod completion;
pub mod dentry;
pub mod dir;
pub mod error;
pub mod few;
pub mod file;
mod file_bio;
pub mod file_page;
pub mod folio;
pub mod fs_context;
pub mod hash;
pub mod inode;
pub mod iomap;
mod kind;
pub mod log;
pub mod lru;
pub mod meta;
pub mod once;
pub mod page;
pub mod page_bio;
pub mod percpu;
pub mod readahead;
pub mod reads;
pub mod registrar;
pub mod registration;
pub mod shrinker;
mod span;
pub mod super_block;
pub mod sysfs;
pub mod task;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
pub mod trace;
pub mod workqueue;
pub mod xattr;

pub use registration::FileSystem;
