// SPDX-License-Identifier: GPL-2.0-only

//! Log lines that name the superblock, as filesystems print them: `TYPE (device ID): ...`.

use crate::{
    bindings,
    registration::FileSystem,
    super_block::NewSuperBlock, //
};
use core::fmt;
use kernel::{
    prelude::*,
    str::CString, //
};

/// A superblock, filled or not.
pub trait Named: private::Sealed {}

pub(crate) mod private {
    /// Gives the name of the type and that of the device to the printer alone.
    pub trait Sealed {
        /// Both are NUL-terminated, and there while `self` is.
        fn names(&self) -> (*const u8, *const u8);
    }
}

/// The names of a superblock, for those who may outlive it.
pub struct Names {
    fs: &'static CStr,
    device: CString,
}

impl Names {
    /// Copies the names of `sb`.
    pub fn of<T: FileSystem>(sb: &NewSuperBlock<'_, T>) -> Result<Self> {
        let (_, device) = private::Sealed::names(sb);
        // SAFETY: as the trait says.
        let device = CString::try_from(unsafe { CStr::from_char_ptr(device) })?;
        Ok(Self {
            fs: T::NAME,
            device,
        })
    }
}

impl private::Sealed for Names {
    fn names(&self) -> (*const u8, *const u8) {
        (self.fs.as_char_ptr(), self.device.as_char_ptr())
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
    let (fs, device) = sb.names();
    // SAFETY: both names are as the trait says; `%pA` takes a pointer to `fmt::Arguments` and is
    // done with it when `_printk` returns.
    unsafe {
        bindings::_printk(
            format.as_char_ptr(),
            fs,
            device,
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
