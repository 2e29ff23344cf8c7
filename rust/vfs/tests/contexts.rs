// SPDX-License-Identifier: GPL-2.0-only

//! The memory that decoders work with: made, counted, waited for, given back.

use super::{
    codec::{
        Sample,
        LZMA,
        PART,
        WHOLE,
        ZSTD, //
    },
    filesystem::registrar,
    streams::TEXT, //
};
use crate::{
    bindings::helpers,
    codec::{
        Algorithm,
        CodecError,
        Contexts,
        Decoder, //
    },
    workqueue::{
        Class,
        Priority,
        Run,
        Work, //
    }, //
};
use core::{
    convert::Infallible,
    sync::atomic::{
        AtomicBool,
        Ordering, //
    }, //
};
use kernel::{
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

/// Decodes a sample when its turn comes.
struct Later {
    sample: Sample,
    done: Arc<AtomicBool>,
}

impl Run for Later {
    fn class() -> Class {
        crate::work_class!("Later")
    }

    fn run(this: Pin<UniqueArc<Work<Self>>>) {
        let good = this.sample.is_good(0, (0, TEXT), WHOLE);
        this.done.store(good, Ordering::Relaxed);
    }
}

#[kunit_tests(vfs_contexts)]
mod suite {
    use super::*;

    #[test]
    fn contexts_come_back() -> Result {
        let contexts = Contexts::new()?;
        for algorithm in [LZMA, Algorithm::Deflate, ZSTD] {
            assert_eq!(contexts.count(), 0);
            let decoder = Decoder::new(contexts.clone(), algorithm)?;
            let again = Decoder::new(contexts.clone(), algorithm)?;
            let sample = Sample {
                decoder,
                ..Sample::new(algorithm)?
            };
            for _ in 0..3 {
                assert!(sample.is_good(0, (0, TEXT), WHOLE));
            }
            // The one that is there stays, as long as it may be wanted.
            assert_eq!(contexts.count(), 0);
            assert_eq!(contexts.shrink(10), 0);
            assert!(sample.is_good(0, (0, TEXT), WHOLE));
            drop(again);
            assert!(sample.is_good(0, (0, TEXT), WHOLE));
        }
        assert_eq!(contexts.count(), 0);
        Ok(())
    }

    /// Reclaim asks for pages, not for contexts.
    #[test]
    fn contexts_are_counted_in_pages() -> Result {
        let contexts = Contexts::new()?;
        let decoder = Decoder::new(contexts.clone(), Algorithm::Deflate)?;
        let mut pages = 0;
        for _ in 0..8 {
            pages = contexts.add_free()?;
        }
        assert!(pages >= 8);
        assert_eq!(contexts.count(), 8 * pages);
        assert_eq!(contexts.shrink(1), pages);
        assert_eq!(contexts.shrink(pages + 1), 2 * pages);
        assert_eq!(contexts.count(), 5 * pages);
        // One stays as long as it may be wanted.
        assert_eq!(contexts.shrink(usize::MAX), 5 * pages);
        assert_eq!(contexts.count(), 0);
        drop(decoder);
        Ok(())
    }

    /// Who finds no context waits until one comes back.
    #[test]
    fn contexts_are_waited_for() -> Result {
        let contexts = Contexts::new()?;
        let sample = Sample {
            decoder: Decoder::new(contexts.clone(), Algorithm::Deflate)?,
            ..Sample::new(Algorithm::Deflate)?
        };
        let mut held = KVec::new();
        // SAFETY: It reads a counter.
        for _ in 0..unsafe { helpers::num_online_cpus() } {
            held.push(contexts.hold()?, GFP_KERNEL)?;
        }
        assert_eq!((contexts.count(), contexts.shrink(10)), (0, 0));
        let mut registrar = registrar();
        let queue = registrar.queue(c"vfs_test", Priority::High)?;
        let done = Arc::new(AtomicBool::new(false), GFP_KERNEL)?;
        let later = Later {
            sample,
            done: done.clone(),
        };
        let work = Work::new::<Infallible>(later);
        queue.push(UniqueArc::pin_init(work, GFP_KERNEL)?);
        fsleep(Delta::from_millis(20));
        assert!(!done.load(Ordering::Relaxed));
        drop(held);
        drop(registrar);
        assert!(done.load(Ordering::Relaxed));
        // The decoder went with the work, and so did all that it may have wanted.
        assert_eq!(contexts.count(), 0);
        Ok(())
    }

    #[test]
    fn windows_grow() -> Result {
        let contexts = Contexts::new()?;
        for (small, large) in [
            (Algorithm::Lzma { dict: 4096 }, LZMA),
            (Algorithm::Zstd { window: 1024 }, ZSTD),
        ] {
            let first = Decoder::new(contexts.clone(), small)?;
            let sample = Sample {
                decoder: Decoder::new(contexts.clone(), large)?,
                ..Sample::new(large)?
            };
            assert!(sample.is_good(0, (0, TEXT), WHOLE));
            assert!(sample.is_good(0, (0, 100), PART));
            drop(first);
            assert!(sample.is_good(0, (0, TEXT), WHOLE));
        }
        // A frame that wants more than it was said to.
        let sample = Sample {
            decoder: Decoder::new(contexts, Algorithm::Zstd { window: 1024 })?,
            ..Sample::new(ZSTD)?
        };
        let result = sample.decode(&sample.stream, 0, (0, TEXT), WHOLE);
        assert_eq!(result.err(), Some(CodecError::Corrupt));
        Ok(())
    }
}
