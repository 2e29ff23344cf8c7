// SPDX-License-Identifier: GPL-2.0-only

//! Values that are made when they are first needed.

use crate::once::OnceBox;
use core::sync::atomic::{
    AtomicUsize,
    Ordering, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Counts how many of it are dropped.
struct Counted(Arc<AtomicUsize>, usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[kunit_tests(vfs_once)]
mod suite {
    use super::*;

    #[test]
    fn the_second_finds_the_first() -> Result {
        let dropped = Arc::new(AtomicUsize::new(0), GFP_KERNEL)?;
        let make = |n| KBox::pin(Counted(dropped.clone(), n), GFP_KERNEL);
        let place = OnceBox::new();
        assert!(place.get().is_none());
        // Two tasks that found nothing have made one each.
        let (first, second) = (make(1)?, make(2)?);
        assert_eq!(place.get_or_set(first).1, 1);
        assert_eq!(place.get_or_set(second).1, 1);
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert_eq!(place.get().map(|c| c.1), Some(1));
        drop(place);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        drop(OnceBox::<Counted>::new());
        Ok(())
    }
}
