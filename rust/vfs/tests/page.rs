// SPDX-License-Identifier: GPL-2.0-only

//! Pages and their mappings, shrinkers, and work for later.

use super::filesystem::registrar;
use crate::{
    bindings,
    page::{
        Alloc,
        CachedPage,
        Page,
        Pool, //
    },
    shrinker::{
        Shrink,
        Shrinker, //
    },
    span::{
        address,
        Span, //
    },
    workqueue::{
        Class,
        Priority,
        Queue,
        Run,
        Work, //
    }, //
};
use core::{
    convert::Infallible,
    ptr::NonNull,
    sync::atomic::{
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

fn reclaimable() -> isize {
    let item = bindings::node_stat_item_NR_KERNEL_MISC_RECLAIMABLE as usize;
    // SAFETY: the counters are there as long as the kernel, and read as what they are.
    unsafe { (&raw const bindings::vm_node_stat[item].counter).read_volatile() as isize }
}

/// Counts what it is asked.
struct Stock {
    left: Arc<AtomicUsize>,
}

impl Shrink for Stock {
    fn count(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn scan(&self, nr: usize) -> usize {
        self.left.fetch_sub(nr, Ordering::Relaxed);
        nr
    }
}

struct Add(Arc<AtomicUsize>, usize);

impl Run for Add {
    fn class() -> Class {
        crate::work_class!("Add")
    }

    fn run(this: Pin<UniqueArc<Work<Self>>>) {
        this.0.fetch_add(this.1, Ordering::Relaxed);
    }
}

/// Is queued again, by turns on two queues, until it has been done this often.
struct Relay {
    done: Arc<AtomicUsize>,
    left: usize,
    queues: [Queue; 2],
}

impl Run for Relay {
    fn class() -> Class {
        crate::work_class!("Relay")
    }

    fn run(mut this: Pin<UniqueArc<Work<Self>>>) {
        fsleep(Delta::from_millis(1));
        this.done.fetch_add(1, Ordering::Relaxed);
        if let Some(left) = this.left.checked_sub(1) {
            this.as_mut().inner().get_mut().left = left;
            this.queues[left % 2].push(this);
        }
    }
}

#[kunit_tests(vfs_page)]
mod suite {
    use super::*;

    #[test]
    fn lent_until_all_are_back() -> Result {
        let mut page = Page::new(Alloc::NoIo)?;
        assert!(!page.is_lent());
        let (a, b) = (page.lend(), page.lend());
        drop(a);
        assert!(page.is_lent());
        drop(b);
        assert!(!page.is_lent());
        // A reference may be the last one that there is.
        let last = page.lend();
        drop(page);
        drop(last);
        Ok(())
    }

    #[test]
    fn pool_keeps_pages() -> Result {
        let mut pool = Pool::new();
        let (a, mut b) = (pool.take(Alloc::Wait)?, pool.take(Alloc::BestEffort)?);
        let (first, lent) = (a.as_raw(), b.lend());
        pool.put(a);
        // It is not the pool's while somebody may write to it.
        pool.put(b);
        drop(lent);
        assert_eq!(pool.len(), 1);
        let page = pool.take(Alloc::Wait)?;
        assert_eq!(page.as_raw(), first);
        assert!(!page.is_lent());
        assert!(pool.is_empty());
        let mut other = Pool::new();
        other.put(page);
        other.put(Page::new(Alloc::Wait)?);
        pool.append(&mut other);
        assert_eq!((pool.len(), other.len()), (2, 0));
        Ok(())
    }

    #[test]
    fn cached_pages_are_counted() -> Result {
        let before = reclaimable();
        let mut cached = KVec::new();
        for _ in 0..1000 {
            cached.push(CachedPage::new()?, GFP_KERNEL)?;
        }
        assert_eq!(reclaimable() - before, 1000);
        drop(cached.pop());
        assert_eq!(reclaimable() - before, 999);
        drop(cached);
        assert_eq!(reclaimable(), before);
        Ok(())
    }

    #[test]
    fn spans() -> Result {
        // SAFETY: a new folio of four pages, which is freed below.
        let folio = unsafe {
            bindings::__folio_alloc_noprof(bindings::VFS_GFP_KERNEL, 2, 0, core::ptr::null_mut())
        };
        let page = |n| {
            // SAFETY: the folio is there, and has as many pages.
            NonNull::new(unsafe { bindings::helpers::folio_page(folio, n) })
        };
        let first = page(0).ok_or(ENOMEM)?;
        for (order, straight) in [([0, 1, 2, 3], true), ([3, 2, 1, 0], false)] {
            let pages = order.map(page);
            // SAFETY: the pages live longer than the span, in which each byte is written and read.
            unsafe {
                let span = Span::map(&pages)?;
                let same = span.as_ptr() == address(first);
                assert_eq!(same, straight);
                for (i, n) in order.into_iter().enumerate() {
                    let there = page(n).ok_or(EINVAL)?;
                    address(there).write_bytes(n as u8, PAGE_SIZE);
                    for at in [0, PAGE_SIZE - 1] {
                        assert_eq!(span.as_ptr().add(i * PAGE_SIZE + at).read(), n as u8);
                    }
                }
                span.as_ptr().write_bytes(9, 4 * PAGE_SIZE);
                assert_eq!(address(first).add(4 * PAGE_SIZE - 1).read(), 9);
            }
        }
        // SAFETY: The pages are there while they are mapped; the folio is ours to free.
        unsafe {
            assert!(Span::map(&[page(0), None]).is_err());
            assert!(Span::map(&[]).is_err());
            bindings::helpers::folio_put(folio);
        }
        Ok(())
    }

    #[test]
    fn shrinker_asks() -> Result {
        let left = Arc::new(AtomicUsize::new(100), GFP_KERNEL)?;
        let shrinker = Shrinker::new(c"vfs_test", Stock { left: left.clone() })?;
        let raw = shrinker.as_raw();
        let mut control = bindings::shrink_control {
            nr_to_scan: 30,
            ..Default::default()
        };
        // SAFETY: as memory reclaim calls it.
        let answers = unsafe {
            let (count, scan) = ((*raw).count_objects, (*raw).scan_objects);
            let (count, scan) = (count.ok_or(EINVAL)?, scan.ok_or(EINVAL)?);
            [
                count(raw, &mut control),
                scan(raw, &mut control),
                count(raw, &mut control),
            ]
        };
        assert_eq!(answers, [100, 30, 70]);
        drop(shrinker);
        // Its data went with it.
        assert!(Arc::into_unique_or_drop(left).is_some());
        Ok(())
    }

    #[test]
    fn queued_work_is_done_once() -> Result {
        let sum = Arc::new(AtomicUsize::new(0), GFP_KERNEL)?;
        let mut registrar = registrar();
        let queue = registrar.queue(c"vfs_test", Priority::High)?;
        for n in 1..=100 {
            let work = Work::new(Add(sum.clone(), n));
            queue.push(UniqueArc::pin_init(work, GFP_KERNEL)?);
        }
        drop(registrar);
        assert_eq!(sum.load(Ordering::Relaxed), 5050);
        // All of it is freed.
        assert!(Arc::into_unique_or_drop(sum).is_some());
        Ok(())
    }

    /// Whatever became of the handles, and though work of either queue pushes to the other.
    #[test]
    fn registrar_waits_for_all_work() -> Result {
        for round in 0..10 {
            let done = Arc::new(AtomicUsize::new(0), GFP_KERNEL)?;
            let mut registrar = registrar();
            let queues = [
                registrar.queue(c"vfs_test-a", Priority::High)?,
                registrar.queue(c"vfs_test-b", Priority::Normal)?,
            ];
            let relay = Relay {
                done: done.clone(),
                left: 20 + round,
                queues,
            };
            let relay = UniqueArc::pin_init(Work::new::<Infallible>(relay), GFP_KERNEL)?;
            queues[round % 2].push(relay);
            drop(registrar);
            assert_eq!(done.load(Ordering::Relaxed), 21 + round);
            assert!(Arc::into_unique_or_drop(done).is_some());
        }
        Ok(())
    }
}
