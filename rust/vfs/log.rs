// SPDX-License-Identifier: GPL-2.0-only

//! Log lines that name the superblock, as filesystems print them: `TYPE (device ID): ...`.

use crate::bindings;
use core::fmt;
use kernel::str::CStrExt as _;

/// A superblock, filled or not.
pub trait Named: private::Sealed {}

pub(crate) mod private {
    /// Gives the C object to the printer alone.
    pub trait Sealed {
        fn raw(&self) -> *mut crate::bindings::super_block;
    }
}

impl<S: private::Sealed> Named for S {}

/// Severity of a log line.
#[derive(Clone, Copy)]
pub enum Level {
    /// Something is wrong with the image or the device.
    Err,
    /// Worth knowing for whoever mounts.
    Info,
}

/// Prints one line to the kernel log. Any context.
pub fn print(sb: &impl Named, level: Level, args: fmt::Arguments<'_>) {
    let format = match level {
        Level::Err => c"\x013%s (device %s): %pA\n",
        Level::Info => c"\x016%s (device %s): %pA\n",
    };
    let sb = sb.raw();
    // SAFETY: what is `Named` stands for a live superblock, whose type is registered while
    // it lives; `s_id` is a NUL-terminated array in it; `%pA` takes a pointer to `fmt::Arguments`
    // and is done with it when `_printk` returns.
    unsafe {
        bindings::_printk(
            format.as_char_ptr(),
            (*(*sb).s_type).name,
            (*sb).s_id.as_ptr(),
            core::ptr::from_ref(&args).cast::<core::ffi::c_void>(),
        )
    };
}

/// Prints an error line about a superblock: `err!(sb, "bogus dirent @ nid {}", nid)`.
#[macro_export]
macro_rules! err {
    ($sb:expr, $($args:tt)*) => {
        $crate::log::print($sb, $crate::log::Level::Err, ::core::format_args!($($args)*))
    };
}

/// Prints an informational line about a superblock.
#[macro_export]
macro_rules! info {
    ($sb:expr, $($args:tt)*) => {
        $crate::log::print($sb, $crate::log::Level::Info, ::core::format_args!($($args)*))
    };
}
