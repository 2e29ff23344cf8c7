// SPDX-License-Identifier: GPL-2.0-only

//! Giving memory back when the kernel asks for it.
//!
//! C headers: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// What keeps objects that it can do without.
///
/// Both are called by whoever needs memory, on any task, maybe while it holds locks of this very
/// filesystem: a lock that is held while memory is allocated may only be tried here.
pub trait Shrink: Send + Sync + 'static {
    /// How many objects could be freed. An estimate; must not sleep.
    fn count(&self) -> usize;

    /// Frees about `nr` objects; gives how many.
    fn scan(&self, nr: usize) -> usize;
}

/// A registered shrinker. Dropping it waits for calls under way; may sleep.
///
/// # Invariants
///
/// `raw` is registered, with the callbacks for `T`, and its private data is `data`, a box of ours.
pub struct Shrinker<T: Shrink> {
    raw: NonNull<bindings::shrinker>,
    data: NonNull<T>,
    _p: PhantomData<T>,
}

// SAFETY: a shrinker belongs to no task, and its data can be used by all of them.
unsafe impl<T: Shrink> Send for Shrinker<T> {}

// SAFETY: as above.
unsafe impl<T: Shrink> Sync for Shrinker<T> {}

impl<T: Shrink> Shrinker<T> {
    /// Has the kernel ask `data` for memory, as `name` in debugfs. `ENOMEM`. May sleep.
    pub fn new(name: &CStr, data: T) -> Result<Self> {
        let data = KBox::new(data, GFP_KERNEL)?;
        // SAFETY: both strings are terminated, and the format wants one.
        let raw = unsafe { bindings::shrinker_alloc(0, c"%s".as_char_ptr(), name.as_char_ptr()) };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        let data = NonNull::from(KBox::leak(data));
        // SAFETY: the shrinker is new and ours until it is registered.
        unsafe {
            (*raw.as_ptr()).count_objects = Some(count::<T>);
            (*raw.as_ptr()).scan_objects = Some(scan::<T>);
            (*raw.as_ptr()).private_data = data.as_ptr().cast();
            bindings::shrinker_register(raw.as_ptr());
        }
        // INVARIANT: as just set.
        Ok(Self {
            raw,
            data,
            _p: PhantomData,
        })
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl<T: Shrink> Shrinker<T> {
    /// For tests, which call it as the kernel does.
    pub(crate) fn as_raw(&self) -> *mut bindings::shrinker {
        self.raw.as_ptr()
    }
}

impl<T: Shrink> core::ops::Deref for Shrinker<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the box is ours, and only shared while there are callbacks.
        unsafe { self.data.as_ref() }
    }
}

impl<T: Shrink> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: it is registered. No callback runs after this, so the data may go.
        unsafe {
            bindings::shrinker_free(self.raw.as_ptr());
            drop(KBox::from_raw(self.data.as_ptr()));
        }
    }
}

/// # Safety
///
/// Only to be called as a callback of the shrinker of a [`Shrinker<T>`].
unsafe extern "C" fn count<T: Shrink>(
    shrinker: *mut bindings::shrinker,
    _control: *mut bindings::shrink_control,
) -> usize {
    // SAFETY: by the invariants of `Shrinker`, whose data lives until the last callback is over.
    unsafe { (*(*shrinker).private_data.cast::<T>()).count() }
}

/// # Safety
///
/// As [`count`].
unsafe extern "C" fn scan<T: Shrink>(
    shrinker: *mut bindings::shrinker,
    control: *mut bindings::shrink_control,
) -> usize {
    // SAFETY: as in `count`.
    unsafe { (*(*shrinker).private_data.cast::<T>()).scan((*control).nr_to_scan) }
}
