// SPDX-License-Identifier: GPL-2.0-only

//! What a bio owns, and that all of it ends once.

use super::{
    filesystem::*,
    folio::Memory, //
};
use crate::{
    bdev::BlockDevice,
    bindings,
    bio::{
        Bio,
        Target, //
    },
    error::from_ptr,
    inode::MINOR_BITS, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// Runs `test` with a file of [`SIZE`] bytes, all [`BYTE`].
pub(super) fn with_file(test: impl FnOnce(Target<'_>) -> Result) -> Result {
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
    fn unsubmitted_fails() -> Result {
        with_file(|file| {
            let memory = Memory::new()?;
            let mut bio = Bio::new(file, 0, 4)?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            assert!(memory.is_locked());
            drop(bio);
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn read_of_a_file() -> Result {
        with_file(|file| {
            let (a, b) = (Memory::new()?, Memory::new()?);
            let mut bio = Bio::new(file, 100, 4)?;
            // Half of the first, whose other half comes from elsewhere.
            let (mut front, rest) = a.lock()?.into_part().split(1000);
            front.write(0, &[1; 1000])?;
            front.end(Ok(()));
            assert!(bio.add(rest.ok_or(EINVAL)?).is_ok());
            assert!(bio.add(b.lock()?.into_part()).is_ok());
            assert_eq!(bio.end(), 100 + 2 * PAGE_SIZE as u64 - 1000);
            bio.submit();
            for memory in [&a, &b] {
                assert!(!memory.is_locked());
                assert!(memory.is_uptodate());
            }
            assert!(a.bytes()?[..1000].iter().all(|b| *b == 1));
            assert!(a.bytes()?[1000..].iter().all(|b| *b == BYTE));
            Ok(())
        })
    }

    /// One part that ended twice, or not at all, would leave its folio locked or end it too early.
    #[test]
    fn neighbours_become_one_part() -> Result {
        with_file(|file| {
            let memory = Memory::new()?;
            let mut bio = Bio::new(file, 0, 1)?;
            let mut rest = Some(memory.lock()?.into_part());
            while let Some(part) = rest.take() {
                let (part, more) = part.split(512);
                rest = more;
                assert!(bio.add(part).is_ok());
            }
            bio.submit();
            assert!(!memory.is_locked());
            assert!(memory.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn gaps_stay_parts() -> Result {
        with_file(|file| {
            let memory = Memory::new()?;
            let mut bio = Bio::new(file, 0, 2)?;
            let (a, rest) = memory.lock()?.into_part().split(512);
            let (hole, c) = rest.ok_or(EINVAL)?.split(512);
            assert!(bio.add(a).is_ok());
            assert!(bio.add(c.ok_or(EINVAL)?).is_ok());
            bio.submit();
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
            let mut bio = Bio::new(file, 0, 1)?;
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
            let memory = Memory::new()?;
            let mut bio = Bio::new(file, SIZE - 512, 1)?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            bio.submit();
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());
            Ok(())
        })
    }

    #[test]
    fn folios_end_as_the_read_does() -> Result {
        with_file(|file| {
            for (pos, good) in [(0, true), (SIZE, false)] {
                let memory = Memory::new()?;
                let mut bio = Bio::new(file, pos, 1)?;
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
            let memory = Memory::new()?;
            let mut bio = Bio::new(target, 0, 1)?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            // Beyond the end of the device, which is known at once.
            bio.submit();
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());

            let memory = Memory::new()?;
            let mut bio = Bio::new(target, 0, 1)?;
            assert!(bio.add(memory.lock()?.into_part()).is_ok());
            bio.submit();
            assert!(!memory.is_locked());
            Ok(())
        })
    }

    #[test]
    fn device_has_sectors() -> Result {
        with_empty_device(|device| {
            let target = Target::Device(device);
            assert!(Bio::new(target, 100, 1).is_err());
            let memory = Memory::new()?;
            let mut bio = Bio::new(target, 512, 1)?;
            let (part, _rest) = memory.lock()?.into_part().split(100);
            assert!(bio.add(part).is_err());
            // Nothing to read is read.
            bio.submit();
            Ok(())
        })
    }
}
