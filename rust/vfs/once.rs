// SPDX-License-Identifier: GPL-2.0-only

//! Values that are made when they are first needed, and stay.

use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    types::ForeignOwnable, //
};

/// A place for a boxed value that several tasks may want to make at once.
///
/// The box is put there in one step, so nobody ever waits for another task: whoever comes second
/// finds a whole value, and its own one is dropped. (The kernel crate's `SetOnce` takes two steps, as
/// its value is in the place itself.)
///
/// # Invariants
///
/// The pointer is null, or is a `Pin<KBox<T>>` that this owns, given away by [`ForeignOwnable`]; once
/// it is not null, it does not change.
pub struct OnceBox<T: 'static>(AtomicPtr<c_void>, PhantomData<Pin<KBox<T>>>);

// SAFETY: It owns a `T`, which goes with it, and has nothing that belongs to a task.
unsafe impl<T: Send> Send for OnceBox<T> {}

// SAFETY: By a shared reference a `T` can be put there, which any task may drop, and be shared.
unsafe impl<T: Send + Sync> Sync for OnceBox<T> {}

impl<T> OnceBox<T> {
    /// An empty place.
    pub const fn new() -> Self {
        // INVARIANT: Null.
        Self(AtomicPtr::new(core::ptr::null_mut()), PhantomData)
    }

    /// Returns the value, if there is one. Any context.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        let there = NonNull::new(self.0.load(Ordering::Acquire))?;
        // SAFETY: By the invariants it is a box that lives as long as `self`.
        Some(unsafe { Self::value(there) })
    }

    /// Puts `new` there unless there is a value; returns the one that is there then. Does not wait.
    pub fn get_or_set(&self, new: Pin<KBox<T>>) -> &T {
        let new = new.into_foreign();
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let before = self
            .0
            .compare_exchange(core::ptr::null_mut(), new, order.0, order.1);
        // INVARIANT: It was null if it has changed.
        let there = match before {
            Ok(_) => new,
            Err(there) => {
                // SAFETY: The box was given away above, and nobody has seen it.
                drop(unsafe { Pin::<KBox<T>>::from_foreign(new) });
                there
            }
        };
        // SAFETY: A box is not null; by the invariants this one lives as long as `self`.
        unsafe { Self::value(NonNull::new_unchecked(there)) }
    }

    /// # Safety
    ///
    /// `there` is a box that was given away and lives for `'a`.
    unsafe fn value<'a>(there: NonNull<c_void>) -> &'a T {
        // SAFETY: The caller has a box that was given away and lives for `'a`; nobody borrows it mutably.
        unsafe { Pin::<KBox<T>>::borrow(there.as_ptr()) }.get_ref()
    }
}

impl<T> Default for OnceBox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for OnceBox<T> {
    fn drop(&mut self) {
        let there = *self.0.get_mut();
        if !there.is_null() {
            // SAFETY: By the invariants it is a box that goes with this.
            drop(unsafe { Pin::<KBox<T>>::from_foreign(there) });
        }
    }
}
