// SPDX-License-Identifier: GPL-2.0-only

//! Work for later, on a queue of the filesystem type's own.
//!
//! A [`Work`] is made beforehand, with what is to be done. So it can be queued where there is no
//! memory to be had: by the end of a read, in an interrupt.
//!
//! A queue belongs to the [`Registration`](crate::registration::Registration) of the type, which
//! waits for all work when the module goes. A filesystem only has a [`Queue`], a handle that does
//! nothing when it is dropped: no code that forgets or keeps one leaves work behind.
//!
//! C headers: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    bindings,
    task, //
};
use core::{
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{
        AtomicBool,
        Ordering, //
    }, //
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

// SAFETY: The `work_struct` is only touched by the owner of the sole reference, who queues it, and
// then by the workqueue; a `Work` that is sent takes `inner` with it, which may be sent.
unsafe impl<T: Send> Send for Work<T> {}

// SAFETY: A shared reference gives access to `inner` alone, which may be shared; nothing reads the
// `work_struct` through one.
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

/// A workqueue, owned by a `Registrar`.
///
/// # Invariants
///
/// `raw` is a workqueue of ours.
pub(crate) struct OwnedQueue {
    raw: NonNull<bindings::workqueue_struct>,
    /// Something was queued since this was last reset.
    pushed: AtomicBool,
}

// SAFETY: A workqueue belongs to no task, and locks itself; the flag is atomic.
unsafe impl Send for OwnedQueue {}

// SAFETY: What can be done by reference is queueing, which may be done by any number of tasks, and
// the flag is atomic.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a queue `name`. `ENOMEM`. May sleep.
    pub(crate) fn new(name: &CStr, priority: Priority) -> Result<Self> {
        let flags = bindings::wq_flags_WQ_UNBOUND
            | match priority {
                Priority::Normal => 0,
                Priority::High => bindings::wq_flags_WQ_HIGHPRI,
            };
        let most = kernel::cpu::nr_cpu_ids() as i32;
        // SAFETY: Both strings are terminated, and the format wants one.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(c"%s".as_char_ptr(), flags, most, name.as_char_ptr())
        };
        // INVARIANT: It is new.
        Ok(Self {
            raw: NonNull::new(queue).ok_or(ENOMEM)?,
            pushed: AtomicBool::new(false),
        })
    }

    /// Waits until none of `queues` has any work. Only their own work queues more. May sleep.
    pub(crate) fn finish<'a>(queues: impl Iterator<Item = &'a Self> + Clone) {
        // Work of one queue may be pushed by that of another. What was there when a pass began is
        // over when the pass ends, and so nothing is left after a pass without a push: `queue` sets
        // the flag after it has queued, and before the work that it runs in is over.
        loop {
            for queue in queues.clone() {
                queue.pushed.store(false, Ordering::Relaxed);
            }
            for queue in queues.clone() {
                // SAFETY: The queue is live as `queue` owns it. Unlike `drain_workqueue`, this
                // lets others push meanwhile.
                unsafe { bindings::__flush_workqueue(queue.raw.as_ptr()) };
            }
            if !queues.clone().any(|q| q.pushed.load(Ordering::Relaxed)) {
                return;
            }
        }
    }

    /// Queues `work`. Any context; does not sleep.
    ///
    /// # Safety
    ///
    /// `work` is initialised and not queued. It stays where it is until its function has it back.
    pub(crate) unsafe fn queue(&self, work: NonNull<bindings::work_struct>) {
        // The end of a read may be preempted once it has queued. The work may then be done, what was
        // mounted gone, and the module unloaded before it sets the flag; but unregistering the type
        // waits for RCU readers, before queues go.
        let _rcu = kernel::sync::rcu::read_lock();
        // SAFETY: The queue is live by the invariant; the caller says the same of the work.
        unsafe {
            bindings::queue_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32,
                self.raw.as_ptr(),
                work.as_ptr(),
            );
        }
        // Mostly a read: the flag is only reset by `finish`.
        if !self.pushed.load(Ordering::Relaxed) {
            self.pushed.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: The queue is ours, and whoever drops it has waited for its work and for all that
        // has a handle to queue more (`Registrar`).
        unsafe { bindings::destroy_workqueue(self.raw.as_ptr()) };
    }
}

/// A handle to a queue of the filesystem type, whose work runs on any CPU. It may be copied, kept,
/// and dropped in any context.
///
/// # Invariants
///
/// The queue lives as long as any code of the filesystem may run: it is owned by the `Registrar` of
/// the type, and destroyed last when the module goes.
#[derive(Clone, Copy)]
pub struct Queue(NonNull<OwnedQueue>);

// SAFETY: The handle only leads to an `OwnedQueue`, which is `Sync`.
unsafe impl Send for Queue {}

// SAFETY: The handle only leads to an `OwnedQueue`, which is `Sync`.
unsafe impl Sync for Queue {}

impl Queue {
    /// # Safety
    ///
    /// `queue` outlives all code of the filesystem that gets the result.
    pub(crate) unsafe fn from_owned(queue: &OwnedQueue) -> Self {
        // INVARIANT: As the contract says.
        Self(NonNull::from(queue))
    }

    /// Has `work` done. Any context; does not sleep.
    pub fn push<T: Run>(self, work: Pin<UniqueArc<Work<T>>>) {
        self.push_ready(Ready::new(work));
    }

    /// Has `work` done. Any context; does not sleep.
    pub(crate) fn push_ready(self, work: Ready) {
        // SAFETY: The queue is live by the invariant, as this is called by code of the filesystem,
        // or by vfs on its behalf before the queue is destroyed. A `Ready` is the only reference to
        // the work, so it is not queued, and stays until `run` has it back.
        unsafe { self.0.as_ref().queue(work.0) };
    }
}

/// Which queue takes what ends in either kind of context.
#[derive(Clone, Copy)]
pub struct Queues {
    /// For what ends where nothing may sleep.
    pub interrupt: Queue,
    /// For what ends in a task that may sleep, such as that of a loop device.
    pub task: Queue,
}

impl Queues {
    /// The queue for the current context.
    pub(crate) fn here(self) -> Queue {
        match task::is_atomic() {
            true => self.interrupt,
            false => self.task,
        }
    }
}

/// Any work, ready to be queued.
///
/// # Invariants
///
/// It stands for the only reference to a [`Work`], whose `work_struct` this is, initialised with the
/// [`run`] of its type.
pub(crate) struct Ready(NonNull<bindings::work_struct>);

// SAFETY: Every `T` that is `Run` is `Send`, and so is the `Work` around it.
unsafe impl Send for Ready {}

impl Ready {
    pub(crate) fn new<T: Run>(work: Pin<UniqueArc<Work<T>>>) -> Self {
        let Class { name, key } = T::class();
        let item = Arc::into_raw(Arc::from(work));
        // SAFETY: The item is live: the reference that was made raw is not put. The field of a
        // live item is not null. The reference was the only one, so the work is not queued, and may
        // be initialised again; the name and the key are static.
        unsafe {
            let work = Opaque::cast_into(&raw const (*item).work);
            bindings::init_work_with_key(
                work,
                Some(run::<T>),
                false,
                name.as_char_ptr(),
                key.as_ptr(),
            );
            // INVARIANT: The reference moves to the result.
            Self(NonNull::new_unchecked(work))
        }
    }
}

/// # Safety
///
/// Only to be called as the function of the `work` of a [`Work<T>`] that was queued.
unsafe extern "C" fn run<T: Run>(work: *mut bindings::work_struct) {
    // SAFETY: Queueing gave away the only reference, which comes back here, once. The workqueue is
    // done with the `work_struct` when it calls this: it may be freed, or queued again.
    let item = unsafe {
        let work = Opaque::cast_from(work);
        Arc::from_raw(kernel::container_of!(work, Work<T>, work))
    };
    if let Some(item) = Arc::into_unique_or_drop(item) {
        T::run(item);
    }
}
