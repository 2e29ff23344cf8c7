// SPDX-License-Identifier: GPL-2.0-only

//! Work for later, on a queue of one's own.
//!
//! A [`Work`] is made beforehand, with what is to be done. So it can be queued where there is no
//! memory to be had: by what completes a read, in an interrupt.
//!
//! C headers: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        LockClassKey,
        UniqueArc, //
    },
    types::Opaque, //
};

/// What can be done later.
pub trait Run: Send + Sync + Sized + 'static {
    /// Names the work for lockdep, and gives it a class of its own: [`work_class!`](crate::work_class).
    fn class() -> Class;

    /// Does it. May sleep.
    fn run(this: Pin<UniqueArc<Work<Self>>>);
}

/// What lockdep knows work by.
#[derive(Clone, Copy)]
pub struct Class {
    /// Shown in reports.
    pub name: &'static CStr,
    /// Of work of one type, and of no other.
    pub key: Pin<&'static LockClassKey>,
}

/// Makes the [`Class`] of a type of work: `work_class!("Job")`.
#[macro_export]
macro_rules! work_class {
    ($name:literal) => {
        $crate::workqueue::Class {
            name: ::kernel::c_str!($name),
            key: ::kernel::static_lock_class!(),
        }
    };
}

/// A `T` that can be queued. It may be shared before, and after.
#[pin_data]
pub struct Work<T> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    #[pin]
    inner: T,
}

// SAFETY: only whoever has it alone queues it: by reference the C part is not looked at.
unsafe impl<T: Send> Send for Work<T> {}

// SAFETY: as above.
unsafe impl<T: Sync> Sync for Work<T> {}

impl<T> Work<T> {
    /// Makes `inner` one that can be queued.
    pub fn new<E>(inner: impl PinInit<T, E>) -> impl PinInit<Self, E>
    where
        E: From<core::convert::Infallible>,
    {
        try_pin_init!(Self {
            work: Opaque::uninit(),
            inner <- inner,
        }? E)
    }
}

impl<T> Work<T> {
    /// What can be queued, for whoever has it alone.
    pub fn inner(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().inner
    }
}

impl<T> Deref for Work<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

/// How soon work is done.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Priority {
    /// As other tasks run.
    Normal,
    /// Before them.
    High,
}

/// A queue whose work runs on any CPU. Dropping it waits until all of it is done, and may
/// sleep: no job on the queue may do it.
///
/// # Invariants
///
/// The queue is ours.
pub struct Queue(NonNull<bindings::workqueue_struct>);

// SAFETY: workqueues belong to no task, and lock themselves.
unsafe impl Send for Queue {}

// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A queue `name`, which does as much at a time as there can be CPUs. `ENOMEM`. May sleep.
    pub fn new(name: &CStr, priority: Priority) -> Result<Self> {
        let flags = bindings::wq_flags_WQ_UNBOUND
            | match priority {
                Priority::Normal => 0,
                Priority::High => bindings::wq_flags_WQ_HIGHPRI,
            };
        let most = kernel::cpu::nr_cpu_ids() as i32;
        // SAFETY: both strings are terminated, and the format wants one.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(c"%s".as_char_ptr(), flags, most, name.as_char_ptr())
        };
        // INVARIANT: it is new.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }

    /// Waits until all work is done, also what it brings about. No job on the queue may do it. May
    /// sleep.
    pub fn drain(&self) {
        // SAFETY: the queue is live.
        unsafe { bindings::drain_workqueue(self.0.as_ptr()) };
    }

    /// Has `work` done. Any context; does not sleep.
    pub fn push<T: Run>(&self, work: Pin<UniqueArc<Work<T>>>) {
        // SAFETY: the queue is live, and its owner waits for what is on it.
        unsafe { queue(self.0, work) };
    }

    /// Has `work` done by the queue that it says, which it may itself keep alive; none is dropped.
    /// Any context; does not sleep.
    pub fn push_to_own<T: Run>(
        work: Pin<UniqueArc<Work<T>>>,
        own: impl FnOnce(&T) -> Option<&Self>,
    ) {
        if let Some(raw) = own(&work).map(|queue| queue.0) {
            // SAFETY: the work has the queue, or who has it waits for what is on it.
            unsafe { queue(raw, work) };
        }
    }
}

/// Queues `work`.
///
/// # Safety
///
/// The queue lives until the work is done, or as long as the work.
unsafe fn queue<T: Run>(queue: NonNull<bindings::workqueue_struct>, work: Pin<UniqueArc<Work<T>>>) {
    let item = Arc::into_raw(Arc::from(work));
    // SAFETY: there is one reference to the item, ours, and it stays where it is. So it is not
    // queued, and is now; the reference comes back in `run`, once. The queue lives until then, by
    // the contract.
    unsafe {
        let work = Opaque::cast_into(&raw const (*item).work);
        let Class { name, key } = T::class();
        bindings::init_work_with_key(
            work,
            Some(run::<T>),
            false,
            name.as_char_ptr(),
            key.as_ptr(),
        );
        bindings::queue_work_on(
            bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32,
            queue.as_ptr(),
            work,
        );
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody has a reference to queue more.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// # Safety
///
/// Only to be called as the function of the `work` of a [`Work<T>`] that was queued.
unsafe extern "C" fn run<T: Run>(work: *mut bindings::work_struct) {
    // SAFETY: the reference was given away when it was queued, and comes back here. The core is done
    // with it: it may be freed, or queued again.
    let item = unsafe {
        let work = Opaque::cast_from(work);
        Arc::from_raw(kernel::container_of!(work, Work<T>, work))
    };
    if let Some(item) = Arc::into_unique_or_drop(item) {
        T::run(item);
    }
}
