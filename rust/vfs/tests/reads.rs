// SPDX-License-Identifier: GPL-2.0-only

//! Reads that end together: who is told, when, and what could not be read.

use super::{
    bio::with_file,
    filesystem::*,
    folio::Memory, //
};
use crate::{
    page::{
        Alloc,
        Page, //
    },
    page_bio::{
        Lent,
        PageBio, //
    },
    reads::{
        Batch,
        Reads, //
    },
    workqueue::{
        Class,
        Priority,
        Queues,
        Run,
        Work, //
    }, //
};
use core::{
    convert::Infallible,
    sync::atomic::{
        AtomicU64,
        Ordering, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

/// Tells what could not be read, when all is over.
struct Tell {
    batch: Batch,
    told: Arc<AtomicU64>,
}

const NOT_OVER: u64 = u64::MAX;

impl Run for Tell {
    fn class() -> Class {
        crate::work_class!("Tell")
    }

    fn run(this: Pin<UniqueArc<Work<Self>>>) {
        let failed = this.batch.failed();
        let told = match this.batch.is_over() {
            true => u64::from(failed.start) << 32 | u64::from(failed.end),
            false => NOT_OVER,
        };
        this.told.store(told, Ordering::Relaxed);
    }
}

#[kunit_tests(vfs_reads)]
mod suite {
    use super::*;

    /// A page of a file is lent until all of its batch is over.
    #[test]
    fn pages_of_files_are_lent_to_a_batch() -> Result {
        with_file(|file| {
            let (memory, other) = (Memory::new()?, Memory::new()?);
            let mut part = memory.lock()?.into_part();
            let mut page = part.give(0).ok_or(EINVAL)?;
            let (one, two) = (Reads::new()?, Reads::new()?);
            let mut a = PageBio::new(file, 0, 2, &one)?;
            let mut b = PageBio::new(file, 0, 2, &one)?;
            let mut c = PageBio::new(file, 0, 2, &two)?;
            let whole = 0..PAGE_SIZE + 1;
            assert_eq!(a.add(Lent::File(&mut page), whole, 0), Err(EINVAL));
            assert!(!page.is_lent());
            assert_eq!(a.add(Lent::File(&mut page), 0..1000, 0), Ok(()));
            assert_eq!(b.add(Lent::File(&mut page), 1000..PAGE_SIZE, 7), Ok(()));
            assert_eq!(c.add(Lent::File(&mut page), 0..10, 0), Err(EBUSY));
            a.submit();
            assert!(page.is_lent());
            // Not submitted, it fails, and is over, too.
            drop(b);
            assert!(page.is_lent() && !one.batch().is_over());
            assert_eq!(one.wait(), 7..8);
            assert!(!page.is_lent());
            assert_eq!(c.add(Lent::File(&mut page), 0..10, 0), Ok(()));
            drop(c);
            part.end(Ok(()));
            assert!(memory.is_locked());
            drop(page);
            assert!(memory.is_uptodate());
            assert!(memory.bytes()?[..1000].iter().all(|b| *b == BYTE));
            // None without room.
            let mut page = other.lock()?.into_part().give(0).ok_or(EINVAL)?;
            let mut full = PageBio::new(file, 0, 1, &two)?;
            for _ in 0..4 {
                let _ = full.add(Lent::File(&mut page), 0..10, 0);
            }
            assert_eq!(full.add(Lent::File(&mut page), 0..10, 0), Err(EINVAL));
            Ok(())
        })
    }

    #[test]
    fn failed_ones_are_told() -> Result {
        with_file(|file| {
            let reads = Reads::new()?;
            let mut page = Page::new(Alloc::Wait)?;
            for (number, pos) in [(1, 0), (3, SIZE), (5, 0), (6, SIZE), (9, 0)] {
                let mut bio = PageBio::new(file, pos, 1, &reads)?;
                bio.add(Lent::Page(page.lend()), 0..PAGE_SIZE, number)?;
                bio.submit();
            }
            assert_eq!(reads.wait(), 3..7);
            assert!(!page.is_lent());
            // None of none.
            assert!(Reads::new()?.wait().is_empty());
            Ok(())
        })
    }

    #[test]
    fn work_comes_last() -> Result {
        with_file(|file| {
            let mut registrar = registrar();
            let queue = registrar.queue(c"vfs_test", Priority::High)?;
            let queues = Queues {
                interrupt: queue,
                task: queue,
            };
            let told = Arc::new(AtomicU64::new(0), GFP_KERNEL)?;
            let reads = Reads::new()?;
            let batch = reads.batch().clone();
            let tell = Tell {
                batch: batch.clone(),
                told: told.clone(),
            };
            let tell = UniqueArc::pin_init(Work::new::<Infallible>(tell), GFP_KERNEL)?;
            let mut page = Page::new(Alloc::Wait)?;
            let mut first = PageBio::new(file, 0, 1, &reads)?;
            let mut last = PageBio::new(file, SIZE, 1, &reads)?;
            first.add(Lent::Page(page.lend()), 0..PAGE_SIZE, 0)?;
            last.add(Lent::Page(page.lend()), 0..PAGE_SIZE, 1)?;
            first.submit();
            reads.then(tell, queues);
            assert!(!batch.is_over());
            assert_eq!(told.load(Ordering::Relaxed), 0);
            last.submit();
            assert!(batch.is_over());
            drop(registrar);
            assert_eq!(told.load(Ordering::Relaxed), 1 << 32 | 2);
            // The work was freed once it was done.
            assert!(Arc::into_unique_or_drop(told).is_some());
            Ok(())
        })
    }
}
