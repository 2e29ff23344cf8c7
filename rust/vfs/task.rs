// SPDX-License-Identifier: GPL-2.0-only

//! The current task.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h)

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

/// Whether this is a task that can be preempted; never where the kernel does not count what keeps
/// it from that. Any context.
pub fn is_preemptible() -> bool {
    // SAFETY: only looks at the current task.
    unsafe { helpers::preemptible() }
}

/// Gives the block layer what the task collected for it (`struct blk_plug`). Who goes to sleep with
/// something in there leaves it to a worker to do that. May sleep.
pub fn flush_plug() {
    // SAFETY: only looks at the current task. Its plug is on its stack, further up.
    unsafe {
        let plug = helpers::current_plug();
        if !plug.is_null() {
            bindings::blk_finish_plug(plug);
            bindings::blk_start_plug(plug);
        }
    }
}
