// SPDX-License-Identifier: GPL-2.0-only

//! The current task.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/bio.h`](srctree/include/linux/bio.h),
//! [`include/linux/psi.h`](srctree/include/linux/psi.h)

use crate::bindings::{
    self,
    helpers, //
};

/// Whether it is to die (`fatal_signal_pending`), so that what takes long had better end.
pub fn is_killed() -> bool {
    // SAFETY: only looks at the current task.
    unsafe { helpers::fatal_signal_pending() }
}

/// Lets others run, if it is time for that. May sleep.
pub fn cond_resched() {
    // SAFETY: for any context that may sleep.
    unsafe { helpers::cond_resched() };
}

/// Returns whether a read that ends here ends where nothing may sleep, by the block layer's own rule
/// (`bio_in_atomic`): in an interrupt, with preemption off, or under RCU. The last also holds for
/// softirqs on PREEMPT_RT, which run in preemptible threads there. Always true where the kernel does
/// not count what keeps it from preempting. Any context.
pub fn is_atomic() -> bool {
    // SAFETY: Only looks at the current context.
    unsafe { helpers::bio_in_atomic() }
}

/// Hands the block layer all requests that the task has collected for it (`struct blk_plug`), and
/// leaves the plug in use. A task that sleeps with requests in its plug leaves them to a worker. May
/// sleep.
pub fn flush_plug() {
    // SAFETY: The plug of the current task is on its stack, in a caller that is still to end it.
    // What `blk_finish_plug` leaves behind is an empty plug with its owner's settings, as a flush
    // inside the block layer does, but not the task's any more: that is put right.
    unsafe {
        let plug = helpers::current_plug();
        if !plug.is_null() {
            bindings::blk_finish_plug(plug);
            helpers::set_current_plug(plug);
        }
    }
}

/// Runs `f`, and accounts the time that it takes as a stall for want of memory if `stalls` says so
/// (`psi_memstall_enter`): for reading again what was evicted from the working set.
pub fn memstall<R>(stalls: bool, f: impl FnOnce() -> R) -> R {
    if !stalls {
        return f();
    }
    let mut flags = 0;
    // SAFETY: A task may stall in any of its calls; nested stalls count once. Ended below.
    unsafe { helpers::psi_memstall_enter(&mut flags) };
    let result = f();
    // SAFETY: With the flags of the call above, by the same task.
    unsafe { helpers::psi_memstall_leave(&mut flags) };
    result
}
