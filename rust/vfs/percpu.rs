// SPDX-License-Identifier: GPL-2.0-only

//! Counters that each CPU has for itself.
//!
//! C headers: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::bindings::{
    self,
    helpers, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// `N` event counters. Each is a word that wraps; adding to one touches no memory of other CPUs.
///
/// # Invariants
///
/// The address is that of `N` words per possible CPU (`__percpu`), which the value owns.
pub struct Counters<const N: usize>(NonNull<usize>);

// SAFETY: Per-CPU memory belongs to no task.
unsafe impl<const N: usize> Send for Counters<N> {}

// SAFETY: The words are only added to and read by atomic operations.
unsafe impl<const N: usize> Sync for Counters<N> {}

impl<const N: usize> Counters<N> {
    /// Allocates counters that are zero. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        // SAFETY: May be called wherever it may sleep.
        let words = unsafe { helpers::alloc_percpu(N) };
        // INVARIANT: As many words were allocated.
        NonNull::new(words).map(Self).ok_or(ENOMEM)
    }

    /// Adds `n` to counter `index`, if there is one. Any context.
    #[inline(always)]
    pub fn add(&self, index: usize, n: usize) {
        if index < N {
            // SAFETY: The index is within the words of the allocation.
            unsafe { helpers::this_cpu_add(self.0.as_ptr().wrapping_add(index), n) };
        }
    }

    /// Sums up counter `index` over all CPUs; 0 if there is none. What is added meanwhile may be
    /// missing.
    pub fn sum(&self, index: usize) -> usize {
        if index >= N {
            return 0;
        }
        let counter = self.0.as_ptr().wrapping_add(index);
        (0..kernel::cpu::nr_cpu_ids())
            // SAFETY: CPU numbers below `nr_cpu_ids` are bits of the mask.
            .filter(|cpu| unsafe { helpers::cpu_possible(*cpu) })
            // SAFETY: The allocation has the word for each possible CPU.
            .map(|cpu| unsafe { helpers::read_per_cpu(counter, cpu) })
            .fold(0, usize::wrapping_add)
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        // SAFETY: The allocation is owned, and goes with the value.
        unsafe { bindings::free_percpu(self.0.as_ptr().cast()) };
    }
}
