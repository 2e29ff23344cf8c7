// SPDX-License-Identifier: GPL-2.0-only

//! Completions that a task waits for as it does for a device.
//!
//! `kernel::sync::Completion` cannot: a task in `wait_for_completion` is blocked, but not on I/O.
//!
//! C headers: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use crate::bindings;
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// The end of reads (`struct completion`).
#[pin_data]
pub(crate) struct IoCompletion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A completion belongs to no task.
unsafe impl Send for IoCompletion {}

// SAFETY: A completion has a lock of its own, which all its functions take.
unsafe impl Sync for IoCompletion {}

impl IoCompletion {
    /// Returns an initializer for a completion that is not complete.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: The place is valid for writes, and stays pinned afterwards.
            inner <- Opaque::ffi_init(|place| unsafe { bindings::init_completion(place) }),
        })
    }

    /// Completes it for good and wakes all tasks that wait. Any context.
    pub(crate) fn complete_all(&self) {
        // SAFETY: The completion was initialized when it was made.
        unsafe { bindings::complete_all(self.inner.get()) };
    }

    /// Waits until it is complete. Counts as iowait, and as delay by block I/O. May sleep.
    pub(crate) fn wait(&self) {
        // SAFETY: The completion was initialized when it was made.
        unsafe { bindings::wait_for_completion_io(self.inner.get()) };
    }
}
