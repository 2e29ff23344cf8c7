// SPDX-License-Identifier: GPL-2.0-only

//! Giving memory back when the kernel asks for it.
//!
//! A shrinker ([`Registrar::shrinker`]) is for memory that belongs to nobody in particular. What a
//! task reads belongs to its memory cgroup: see [`Lru`].
//!
//! [`Registrar::shrinker`]: crate::registrar::Registrar::shrinker
//! [`Lru`]: crate::lru::Lru
//!
//! C headers: [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// A holder of memory that it can do without.
///
/// # Context
///
/// Both functions run in any task that needs memory, which may hold locks of the same filesystem: a
/// lock that is held while memory is allocated may only be tried.
pub trait Shrink: Send + Sync + 'static {
    /// Returns how many pages could be freed. An estimate; must not sleep.
    fn count(&self) -> usize;

    /// Frees about `pages` pages; returns how many.
    fn scan(&self, pages: usize) -> usize;
}

type Callback =
    unsafe extern "C" fn(*mut bindings::shrinker, *mut bindings::shrink_control) -> usize;

/// A shrinker without a type for its data. Dropping it waits for calls under way; may sleep.
///
/// # Invariants
///
/// The shrinker is ours. Once it is registered, its data lives as long.
pub(crate) struct Raw(NonNull<bindings::shrinker>);

// SAFETY: A shrinker belongs to no task.
unsafe impl Send for Raw {}
// SAFETY: A shared reference gives nothing but the address.
unsafe impl Sync for Raw {}

impl Raw {
    /// Allocates a shrinker that is `name` in debugfs. `ENOMEM`. May sleep.
    pub(crate) fn new(name: &CStr, flags: u32) -> Result<Self> {
        // SAFETY: Both strings are terminated, and the format wants one.
        let raw =
            unsafe { bindings::shrinker_alloc(flags, c"%s".as_char_ptr(), name.as_char_ptr()) };
        // INVARIANT: It is new.
        NonNull::new(raw).map(Self).ok_or(ENOMEM)
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::shrinker {
        self.0.as_ptr()
    }

    /// Registers the callbacks. `seeks` and `batch` are those of `struct shrinker`.
    ///
    /// # Safety
    ///
    /// It was not registered before. The callbacks take a shrinker whose `private_data` is `data`,
    /// which outlives `self`.
    pub(crate) unsafe fn register(
        &mut self,
        count: Callback,
        scan: Callback,
        seeks: i32,
        batch: usize,
        data: *mut c_void,
    ) {
        // SAFETY: The shrinker is ours until it is registered.
        unsafe {
            let raw = self.as_ptr();
            (*raw).count_objects = Some(count);
            (*raw).scan_objects = Some(scan);
            (*raw).seeks = seeks;
            (*raw).batch = batch as isize;
            (*raw).private_data = data;
            bindings::shrinker_register(raw);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: It is ours. No callback runs after this.
        unsafe { bindings::shrinker_free(self.as_ptr()) };
    }
}

/// The fewest pages that are asked for at a time.
const BATCH: usize = 16;

/// A registered shrinker of memory that costs no I/O to have again. Dropping it waits for calls
/// under way; may sleep.
///
/// # Invariants
///
/// `_data` is a box of ours. `_raw` has the callbacks for `T`, and the box as its private data; it is
/// dropped first.
pub(crate) struct Shrinker<T: Shrink> {
    _raw: Raw,
    _data: Boxed<T>,
}

/// A box that others look into.
struct Boxed<T>(NonNull<T>, PhantomData<T>);

impl<T> Drop for Boxed<T> {
    fn drop(&mut self) {
        // SAFETY: It came from a box, which goes with this.
        drop(unsafe { KBox::from_raw(self.0.as_ptr()) });
    }
}

// SAFETY: The data can be used by all tasks.
unsafe impl<T: Send> Send for Boxed<T> {}
// SAFETY: The data can be used by all tasks.
unsafe impl<T: Sync> Sync for Boxed<T> {}

impl<T: Shrink> Shrinker<T> {
    /// Has the kernel ask `data` for memory, as `name` in debugfs. Half of it goes in each pass
    /// (`seeks` is 0).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn new(name: &CStr, data: T) -> Result<Self> {
        let data = NonNull::from(KBox::leak(KBox::new(data, GFP_KERNEL)?));
        let data = Boxed(data, PhantomData);
        let mut raw = Raw::new(name, 0)?;
        // SAFETY: It is new; the callbacks take a `T`, which goes after the shrinker.
        unsafe { raw.register(count::<T>, scan::<T>, 0, BATCH, data.0.as_ptr().cast()) };
        // INVARIANT: As just set; fields are dropped in this order.
        Ok(Self {
            _raw: raw,
            _data: data,
        })
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl<T: Shrink> Shrinker<T> {
    /// For tests, which call it as the kernel does.
    pub(crate) fn as_raw(&self) -> *mut bindings::shrinker {
        self._raw.as_ptr()
    }
}

/// # Safety
///
/// Only to be called as a callback of the shrinker of a [`Shrinker<T>`].
unsafe extern "C" fn count<T: Shrink>(
    shrinker: *mut bindings::shrinker,
    _control: *mut bindings::shrink_control,
) -> usize {
    // SAFETY: The private data of the shrinker of a `Shrinker<T>` lives until the last callback.
    unsafe { (*(*shrinker).private_data.cast::<T>()).count() }
}

/// # Safety
///
/// Only to be called as a callback of the shrinker of a [`Shrinker<T>`].
unsafe extern "C" fn scan<T: Shrink>(
    shrinker: *mut bindings::shrinker,
    control: *mut bindings::shrink_control,
) -> usize {
    // SAFETY: The private data of the shrinker of a `Shrinker<T>` lives until the last callback.
    unsafe { (*(*shrinker).private_data.cast::<T>()).scan((*control).nr_to_scan) }
}
