// SPDX-License-Identifier: GPL-2.0-only

//! Log lines that name the superblock, as filesystems print them: `TYPE (device ID): ...`.
//!
//! What goes wrong when a superblock is read can go wrong again with each read. So each superblock
//! may print ten errors in five seconds, the default of [`ratelimit.h`]; it counts those that it
//! suppresses, and prints their number before the next one, or when it goes. Lines of a mount under
//! way and informational lines are not limited: there are few of them, each once.
//!
//! [`ratelimit.h`]: srctree/include/linux/ratelimit.h

use crate::{
    bindings::{
        self,
        helpers, //
    },
    registration::FileSystem,
    super_block::NewSuperBlock, //
};
use core::fmt;
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc,
    types::Opaque, //
};

/// A superblock, filled or not.
pub trait Named: private::Sealed {}

pub(crate) mod private {
    /// Gives the name of the type and that of the device to the printer alone.
    pub trait Sealed {
        /// Both are NUL-terminated, and there while `self` is.
        fn names(&self) -> (*const u8, *const u8);

        /// What limits the errors that are printed; none before the superblock has its data.
        fn limit(&self) -> Option<&super::Limit>;
    }
}

/// How many errors one superblock prints in a time.
#[doc(hidden)]
#[pin_data]
pub struct Limit {
    #[pin]
    state: Opaque<bindings::ratelimit_state>,
}

// SAFETY: The state belongs to no task.
unsafe impl Send for Limit {}

// SAFETY: The state has a lock of its own, and a counter that is atomic.
unsafe impl Sync for Limit {}

impl Limit {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The place is valid for writes, and stays pinned afterwards.
            state <- Opaque::ffi_init(|place| unsafe { helpers::ratelimit_init(place) }),
        })
    }

    /// Whether one more error may be printed; counts it as missed if not.
    pub(crate) fn allows(&self) -> bool {
        // SAFETY: The state was initialized when it was made. The name would be printed with the
        // number of misses, which is taken here instead.
        unsafe { bindings::___ratelimit(self.state.get(), c"".as_char_ptr()) != 0 }
    }

    /// Returns how many were missed since the last call.
    pub(crate) fn take_missed(&self) -> i32 {
        // SAFETY: The state was initialized when it was made.
        unsafe { helpers::ratelimit_take_missed(self.state.get()) }
    }
}

#[pin_data(PinnedDrop)]
struct Shared {
    fs: &'static CStr,
    device: CString,
    #[pin]
    limit: Limit,
}

#[pinned_drop]
impl PinnedDrop for Shared {
    fn drop(self: Pin<&mut Self>) {
        tell_missed(
            (self.fs.as_char_ptr(), self.device.as_char_ptr()),
            &self.limit,
        );
    }
}

/// The names of a superblock and its limit, for those who may outlive it.
#[derive(Clone)]
pub struct Names(Arc<Shared>);

impl Names {
    /// Copies the names of `sb`.
    pub(crate) fn new<T: FileSystem>(sb: &NewSuperBlock<'_, T>) -> Result<Self> {
        let (_, device) = private::Sealed::names(sb);
        // SAFETY: It is NUL-terminated, and there while `sb` is.
        let device = CString::try_from(unsafe { CStr::from_char_ptr(device) })?;
        let shared = pin_init!(Shared {
            fs: T::NAME,
            device,
            limit <- Limit::new(),
        });
        Ok(Self(Arc::pin_init(shared, GFP_KERNEL)?))
    }

    /// Returns those of `sb`, which share its limit.
    pub fn of<T: FileSystem>(sb: &NewSuperBlock<'_, T>) -> Result<Self> {
        sb.log_names().cloned().ok_or(EINVAL)
    }
}

impl private::Sealed for Names {
    fn names(&self) -> (*const u8, *const u8) {
        (self.0.fs.as_char_ptr(), self.0.device.as_char_ptr())
    }

    fn limit(&self) -> Option<&Limit> {
        Some(&self.0.limit)
    }
}

impl<S: private::Sealed> Named for S {}

/// Severity of a log line.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Level {
    /// Something is wrong with the image or the device. Limited once the superblock is filled.
    Err,
    /// Worth knowing for whoever mounts.
    Info,
}

/// Prints one line to the kernel log, or counts it as suppressed. Any context.
pub fn print(sb: &impl Named, level: Level, args: fmt::Arguments<'_>) {
    let names = sb.names();
    if let Some(limit) = sb.limit().filter(|_| level == Level::Err) {
        if !limit.allows() {
            return;
        }
        tell_missed(names, limit);
    }
    print_line(names, level, args);
}

fn tell_missed(names: (*const u8, *const u8), limit: &Limit) {
    let missed = limit.take_missed();
    if missed != 0 {
        print_line(
            names,
            Level::Err,
            format_args!("{missed} errors suppressed"),
        );
    }
}

fn print_line((fs, device): (*const u8, *const u8), level: Level, args: fmt::Arguments<'_>) {
    let format = match level {
        Level::Err => c"\x013%s (device %s): %pA\n",
        Level::Info => c"\x016%s (device %s): %pA\n",
    };
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
