// SPDX-License-Identifier: GPL-2.0-only

//! The current task: where it is, what it waits for, and what it counts.

use crate::{
    bindings,
    completion::IoCompletion,
    log::Limit,
    percpu::Counters,
    task, //
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    }, //
};

fn current() -> *mut bindings::task_struct {
    kernel::task::Task::current_raw()
}

#[kunit_tests(vfs_task)]
mod suite {
    use super::*;

    #[test]
    fn atomic_under_rcu() {
        let counts = cfg!(CONFIG_PREEMPT_COUNT);
        assert_eq!(task::is_atomic(), !counts);
        let guard = rcu::read_lock();
        assert!(task::is_atomic());
        drop(guard);
        assert_eq!(task::is_atomic(), !counts);
    }

    #[test]
    fn flush_keeps_the_plug() {
        let mut plug = bindings::blk_plug::default();
        // SAFETY: The plug stays where it is until it is finished, below; the task is this one.
        unsafe {
            assert!((*current()).plug.is_null());
            bindings::blk_start_plug(&mut plug);
            plug.nr_ios = 7;
            task::flush_plug();
            assert_eq!((*current()).plug, &raw mut plug);
            assert_eq!(plug.nr_ios, 7);
            bindings::blk_finish_plug(&mut plug);
            assert!((*current()).plug.is_null());
        }
        // Nothing to flush.
        task::flush_plug();
    }

    #[cfg(CONFIG_PSI)]
    #[test]
    fn stalls_end() {
        // SAFETY: Only this task changes the flag.
        let stalls = || unsafe { (*current()).in_memstall() };
        let seen = task::memstall(true, || {
            let nested = task::memstall(true, stalls);
            (nested, stalls(), task::memstall(false, stalls))
        });
        assert_eq!(seen, (1, 1, 1));
        assert_eq!((stalls(), task::memstall(false, stalls)), (0, 0));
    }

    #[test]
    fn completed_for_good() -> Result {
        let done = Arc::pin_init(IoCompletion::new(), GFP_KERNEL)?;
        done.complete_all();
        done.wait();
        done.wait();
        Ok(())
    }

    #[test]
    fn counters_add_up() -> Result {
        let counters = Counters::<3>::new()?;
        assert_eq!([0, 1, 2].map(|i| counters.sum(i)), [0; 3]);
        counters.add(0, 1);
        counters.add(2, usize::MAX);
        counters.add(2, 4);
        // There is none.
        counters.add(3, 1);
        assert_eq!([0, 1, 2, 3].map(|i| counters.sum(i)), [1, 0, 3, 0]);
        Ok(())
    }

    #[test]
    fn errors_are_limited() -> Result {
        let limit = Arc::pin_init(Limit::new(), GFP_KERNEL)?;
        let other = Arc::pin_init(Limit::new(), GFP_KERNEL)?;
        assert_eq!((0..1000).filter(|_| limit.allows()).count(), 10);
        assert_eq!((limit.take_missed(), limit.take_missed()), (990, 0));
        // Each has its own.
        assert!(other.allows());
        assert_eq!(other.take_missed(), 0);
        Ok(())
    }
}
