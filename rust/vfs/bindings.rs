// SPDX-License-Identifier: GPL-2.0-only

//! Raw C bindings: those of the kernel crate, and this module's own for what it leaves out.
//!
//! Local items shadow the glob, so a type that the kernel crate only knows by name (for example
//! `fs_context`) is complete here. Never re-exported.

#![allow(
    clippy::all,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
#![allow(
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks
)]

pub(crate) use kernel::{
    bindings::*,
    ffi, //
};
use pin_init::{
    MaybeZeroable,
    Zeroable, //
};

include!(concat!(
    env!("VFS_OBJ"),
    "/rust/bindings/bindings_generated.rs"
));

/// The C helpers of `rust/helpers`.
pub(crate) mod helpers {
    use super::*;
    include!(concat!(
        env!("VFS_OBJ"),
        "/rust/bindings/helpers_generated.rs"
    ));
}
