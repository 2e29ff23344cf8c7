// SPDX-License-Identifier: GPL-2.0-only

//! What a bio owns, and that all of it comes back once.

use super::{
    filesystem::*,
    folio::Memory, //
};
use crate::{
    bdev::BlockDevice,
    bindings,
    bio::{
        Bio,
        Completion,
        EndRead,
        Parts,
        Target, //
    },
    error::from_ptr,
    file_page::Batch,
    inode::MINOR_BITS,
    page_bio::{
        Lent,
        PageBio,
        PageCompletion, //
    }, //
};
use core::sync::atomic::{
    AtomicUsize,
    Ordering, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// What completions saw.
#[derive(Default)]
struct Seen {
    good: AtomicUsize,
    bad: AtomicUsize,
    parts: AtomicUsize,
    bytes: AtomicUsize,
}

impl Seen {
    /// Completions with a good result, with a bad one, parts, and bytes of them.
    fn all(&self) -> (usize, usize, usize, usize) {
        let get = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        (
            get(&self.good),
            get(&self.bad),
            get(&self.parts),
            get(&self.bytes),
        )
    }
}

struct Watch;

impl Completion for Watch {
    type Data = Arc<Seen>;

    fn complete(seen: Arc<Seen>, result: Result, parts: Parts<'_>) {
        let count = if result.is_ok() {
            &seen.good
        } else {
            &seen.bad
        };
        count.fetch_add(1, Ordering::Relaxed);
        for part in parts {
            seen.parts.fetch_add(1, Ordering::Relaxed);
            seen.bytes.fetch_add(part.len(), Ordering::Relaxed);
            part.end(result);
        }
    }
}

/// Counts completions, and by [`OVER`] those after which no read of the batch is under way.
struct Over;

const OVER: usize = 100;

impl PageCompletion for Over {
    type Data = (Batch, Arc<AtomicUsize>);

    fn complete((batch, heard): Self::Data, _result: Result) {
        let over = if batch.is_over() { OVER } else { 0 };
        heard.fetch_add(1 + over, Ordering::Relaxed);
    }
}

fn seen() -> Result<Arc<Seen>> {
    Ok(Arc::new(Seen::default(), GFP_KERNEL)?)
}

/// Runs `test` with a file of [`SIZE`] bytes, all [`BYTE`].
fn with_file(test: impl FnOnce(Target<'_>) -> Result) -> Result {
    with_mount(|mount| test(Target::File(&mount.open()?)))
}

/// A loop device, as `dev_t`.
const LOOP7: bindings::dev_t = 7 << MINOR_BITS | 7;

/// Runs `test` with a loop device that has no file: it is open, but has no bytes.
fn with_empty_device(test: impl FnOnce(BlockDevice<'_>) -> Result) -> Result {
    // SAFETY: nobody claims the device. It is closed once the test is over.
    unsafe {
        let file = from_ptr(
            bindings::bdev_file_open_by_dev(
                LOOP7,
                bindings::VFS_BLK_OPEN_READ,
                core::ptr::null_mut(),
                core::ptr::null(),
            ),
            ENODEV,
        )?;
        let device = BlockDevice::from_raw(bindings::file_bdev(file.as_ptr())).ok_or(ENODEV)?;
        let result = test(device);
        bindings::bdev_fput(file.as_ptr());
        result
    }
}

#[kunit_tests(vfs_bio)]
mod suite {
    use super::*;

    #[test]
    fn unsubmitted_gives_all_back() -> Result {
        with_file(|file| {
            let (memory, seen) = (Memory::new()?, seen()?);
            let mut bio = Bio::<Watch>::new(file, 0, 4, seen.clone())?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            assert!(memory.is_locked());
            assert_eq!(seen.all(), (0, 0, 0, 0));
            drop(bio);
            assert_eq!(seen.all(), (0, 1, 1, PAGE_SIZE));
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());
            // Both references but this one are gone.
            assert!(Arc::into_unique_or_drop(seen).is_some());
            Ok(())
        })
    }

    #[test]
    fn read_of_a_file() -> Result {
        with_file(|file| {
            let (a, b, seen) = (Memory::new()?, Memory::new()?, seen()?);
            let mut bio = Bio::<Watch>::new(file, 100, 4, seen.clone())?;
            // Half of the first, whose other half comes from elsewhere.
            let (mut front, rest) = a.lock()?.into_part().split(1000);
            front.write(0, &[1; 1000])?;
            front.end(Ok(()));
            assert!(bio.add(rest.ok_or(EINVAL)?).is_ok());
            assert!(bio.add(b.lock()?.into_part()).is_ok());
            assert_eq!(bio.end(), 100 + 2 * PAGE_SIZE as u64 - 1000);
            bio.submit();
            assert_eq!(seen.all(), (1, 0, 2, 2 * PAGE_SIZE - 1000));
            for memory in [&a, &b] {
                assert!(!memory.is_locked());
                assert!(memory.is_uptodate());
            }
            assert!(a.bytes()?[..1000].iter().all(|b| *b == 1));
            assert!(a.bytes()?[1000..].iter().all(|b| *b == BYTE));
            Ok(())
        })
    }

    #[test]
    fn neighbours_become_one_part() -> Result {
        with_file(|file| {
            let (memory, seen) = (Memory::new()?, seen()?);
            let mut bio = Bio::<Watch>::new(file, 0, 1, seen.clone())?;
            let mut rest = Some(memory.lock()?.into_part());
            while let Some(part) = rest.take() {
                let (part, more) = part.split(512);
                rest = more;
                assert!(bio.add(part).is_ok());
            }
            assert_eq!(bio.submit_and_wait(), Ok(()));
            assert_eq!(seen.all(), (1, 0, 1, PAGE_SIZE));
            assert!(memory.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn gaps_stay_parts() -> Result {
        with_file(|file| {
            let (memory, seen) = (Memory::new()?, seen()?);
            let mut bio = Bio::<Watch>::new(file, 0, 2, seen.clone())?;
            let (a, rest) = memory.lock()?.into_part().split(512);
            let (hole, c) = rest.ok_or(EINVAL)?.split(512);
            assert!(bio.add(a).is_ok());
            assert!(bio.add(c.ok_or(EINVAL)?).is_ok());
            bio.submit();
            assert_eq!(seen.all(), (1, 0, 2, PAGE_SIZE - 512));
            assert!(memory.is_locked());
            hole.end(Ok(()));
            assert!(memory.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn full_gives_the_part_back() -> Result {
        with_file(|file| {
            let a = Memory::new()?;
            let mut bio = Bio::<EndRead>::new(file, 0, 1, ())?;
            // The page in halves, the second first, so that nothing can be merged.
            let (front, back) = a.lock()?.into_part().split(2048);
            assert!(bio.add(back.ok_or(EINVAL)?).is_ok());
            let front = bio.add(front).err().ok_or(EINVAL)?;
            bio.submit();
            assert!(a.is_locked());
            front.end(Ok(()));
            assert!(a.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn short_file_is_an_error() -> Result {
        with_file(|file| {
            let (memory, seen) = (Memory::new()?, seen()?);
            let mut bio = Bio::<Watch>::new(file, SIZE - 512, 1, seen.clone())?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            assert_eq!(bio.submit_and_wait(), Err(EIO));
            assert_eq!(seen.all(), (0, 1, 1, PAGE_SIZE));
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn end_read_ends_what_it_is_given() -> Result {
        with_file(|file| {
            for (pos, good) in [(0, true), (SIZE, false)] {
                let memory = Memory::new()?;
                let mut bio = Bio::<EndRead>::new(file, pos, 1, ())?;
                assert!(bio.add(memory.lock()?.into_part()).is_ok());
                bio.submit();
                assert!(!memory.is_locked());
                assert_eq!(memory.is_uptodate(), good);
            }
            Ok(())
        })
    }

    #[test]
    fn device_fails_it_once() -> Result {
        with_empty_device(|device| {
            let target = Target::Device(device);
            let (memory, seen) = (Memory::new()?, seen()?);
            let mut bio = Bio::<Watch>::new(target, 0, 1, seen.clone())?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            // Beyond the end of the device, which is known at once.
            bio.submit();
            assert_eq!(seen.all(), (0, 1, 1, PAGE_SIZE));
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());

            let memory = Memory::new()?;
            let mut bio = Bio::<Watch>::new(target, 0, 1, seen.clone())?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            assert_eq!(bio.submit_and_wait(), Err(EIO));
            assert_eq!(seen.all(), (0, 2, 2, 2 * PAGE_SIZE));
            assert!(!memory.is_locked());
            Ok(())
        })
    }

    /// A page of a file is lent until all of its batch is over, which is before completions hear of it.
    #[test]
    fn pages_of_files_are_lent_to_a_batch() -> Result {
        with_file(|file| {
            let (memory, other) = (Memory::new()?, Memory::new()?);
            let mut part = memory.lock()?.into_part();
            let mut page = part.give(0).ok_or(EINVAL)?;
            let (one, two) = (Batch::new()?, Batch::new()?);
            let heard = Arc::new(AtomicUsize::new(0), GFP_KERNEL)?;
            let tell = || (one.clone(), heard.clone());
            let mut a = PageBio::<Over>::new(file, 0, 2, &one, tell())?;
            let mut b = PageBio::<Over>::new(file, 0, 2, &one, tell())?;
            let mut c = PageBio::<Over>::new(file, 0, 2, &two, (two.clone(), heard.clone()))?;
            assert_eq!(a.add(Lent::File(&mut page), 0..PAGE_SIZE + 1), Err(EINVAL));
            assert!(!page.is_lent());
            assert_eq!(a.add(Lent::File(&mut page), 0..1000), Ok(()));
            assert_eq!(b.add(Lent::File(&mut page), 1000..PAGE_SIZE), Ok(()));
            assert_eq!(c.add(Lent::File(&mut page), 0..10), Err(EBUSY));
            a.submit();
            assert!(page.is_lent());
            // Not submitted, it fails, and is over, too.
            drop(b);
            assert!(!page.is_lent() && one.is_over());
            assert_eq!(heard.load(Ordering::Relaxed), 2 + OVER);
            assert_eq!(c.add(Lent::File(&mut page), 0..10), Ok(()));
            drop(c);
            assert_eq!(heard.load(Ordering::Relaxed), 3 + 2 * OVER);
            part.end(Ok(()));
            assert!(memory.is_locked());
            drop(page);
            assert!(memory.is_uptodate());
            assert!(memory.bytes()?[..1000].iter().all(|b| *b == BYTE));
            // None without room.
            let mut page = other.lock()?.into_part().give(0).ok_or(EINVAL)?;
            let mut full = PageBio::<Over>::new(file, 0, 1, &two, (two.clone(), heard))?;
            for _ in 0..4 {
                let _ = full.add(Lent::File(&mut page), 0..10);
            }
            assert_eq!(full.add(Lent::File(&mut page), 0..10), Err(EINVAL));
            Ok(())
        })
    }

    #[test]
    fn device_has_sectors() -> Result {
        with_empty_device(|device| {
            let target = Target::Device(device);
            let seen = seen()?;
            assert!(Bio::<Watch>::new(target, 100, 1, seen.clone()).is_err());
            let memory = Memory::new()?;
            let mut bio = Bio::<Watch>::new(target, 512, 1, seen.clone())?;
            let (part, _rest) = memory.lock()?.into_part().split(100);
            assert!(bio.add(part).is_err());
            // Nothing to read is read.
            assert_eq!(bio.submit_and_wait(), Ok(()));
            assert_eq!(seen.all(), (1, 0, 0, 0));
            Ok(())
        })
    }
}
