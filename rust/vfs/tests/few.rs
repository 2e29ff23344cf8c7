// SPDX-License-Identifier: GPL-2.0-only

//! Lists that are short most often.

use crate::few::Few;
use core::sync::atomic::{
    AtomicUsize,
    Ordering, //
};
use kernel::prelude::*;

/// Counts how many of it are dropped.
struct Counted<'a>(&'a AtomicUsize, usize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn numbers(list: &[Counted<'_>]) -> usize {
    list.iter().fold(0, |all, c| all * 10 + c.1)
}

#[kunit_tests(vfs_few)]
mod suite {
    use super::*;

    #[test]
    fn holds_as_many_as_said_and_drops_each_once() -> Result {
        for capacity in [2, 3, 5] {
            let dropped = AtomicUsize::new(0);
            let mut list = Few::<_, 3>::with_capacity(capacity, GFP_KERNEL)?;
            let room = capacity.max(3);
            for n in 1..=room {
                assert!(!list.is_full());
                assert_eq!(list.len(), n - 1);
                assert!(list.push(Counted(&dropped, n)).is_ok());
            }
            assert!(list.is_full());
            // What has no room comes back.
            let back = list.push(Counted(&dropped, 9));
            assert_eq!(back.map_err(|c| c.1).err(), Some(9));
            assert_eq!(dropped.load(Ordering::Relaxed), 1);

            list.reverse();
            assert_eq!(numbers(&list), if room == 3 { 321 } else { 54321 });
            list[0] = Counted(&dropped, 7);
            assert_eq!(dropped.load(Ordering::Relaxed), 2);
            drop(list);
            assert_eq!(dropped.load(Ordering::Relaxed), 2 + room);
        }
        Ok(())
    }

    #[test]
    fn filled_again_where_it_stands() -> Result {
        let dropped = AtomicUsize::new(0);
        let mut list = Few::<_, 3>::default();
        let mut all = 0;
        for len in [2, 5, 3, 0, 4, 6] {
            list.fill_with(len, GFP_KERNEL, || Counted(&dropped, len))?;
            assert_eq!(list.len(), len);
            assert!(list.iter().all(|c| c.1 == len));
            assert_eq!(dropped.load(Ordering::Relaxed), all);
            all += len;
        }
        drop(list);
        assert_eq!(dropped.load(Ordering::Relaxed), all);
        Ok(())
    }

    #[test]
    fn filled_from_the_start() -> Result {
        for len in [0, 1, 3, 4, 100] {
            let list = Few::<_, 3>::filled_with(len, GFP_KERNEL, || 8)?;
            assert_eq!(list.len(), len);
            assert!(list.iter().all(|n| *n == 8));
        }
        assert!(Few::<u8, 3>::default().is_empty());
        Ok(())
    }

    #[test]
    fn moves_with_what_it_has() -> Result {
        let dropped = AtomicUsize::new(0);
        let mut list = Few::<_, 2>::default();
        for n in [4, 2] {
            assert!(list.push(Counted(&dropped, n)).is_ok());
        }
        let boxed = KBox::new(list, GFP_KERNEL)?;
        assert_eq!(numbers(&boxed), 42);
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
        drop(boxed);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        Ok(())
    }
}
