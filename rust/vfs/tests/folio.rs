// SPDX-License-Identifier: GPL-2.0-only

//! How reads of folios end.

use super::filesystem::*;
use crate::{
    bindings,
    folio::LockedFolio,
    reads::Reads,
    FileSystem, //
};
use core::ptr::NonNull;
use kernel::{
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// A folio of one page in no page cache.
pub(super) struct Memory(Page);

const LOCKED: usize = 1 << bindings::pageflags_PG_locked;
const UPTODATE: usize = 1 << bindings::pageflags_PG_uptodate;

impl Memory {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?))
    }

    fn folio(&self) -> *mut bindings::folio {
        self.0.as_ptr().cast()
    }

    /// Locks it; the result must end before the memory goes.
    pub(super) fn lock(&self) -> Result<LockedFolio> {
        let folio = NonNull::new(self.folio()).ok_or(ENOMEM)?;
        // SAFETY: a page of its own is a folio, and nobody else has it: no other lock is held.
        unsafe {
            let head = &mut (*folio.as_ptr()).__bindgen_anon_1.__bindgen_anon_1;
            head.flags.f = LOCKED as _;
            head.__bindgen_anon_2.index = 0;
            Ok(LockedFolio::from_raw(folio))
        }
    }

    fn flags(&self) -> usize {
        // SAFETY: the page is there.
        unsafe {
            (&raw const (*self.folio()).__bindgen_anon_1.__bindgen_anon_1.flags.f).read_volatile()
                as usize
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        self.flags() & LOCKED != 0
    }

    pub(super) fn is_uptodate(&self) -> bool {
        self.flags() & UPTODATE != 0
    }

    pub(super) fn bytes(&self) -> Result<KVec<u8>> {
        let mut bytes = KVec::from_elem(0, PAGE_SIZE, GFP_KERNEL)?;
        // SAFETY: the buffer is a page long, and nobody writes the page now.
        unsafe { self.0.read_raw(bytes.as_mut_ptr(), 0, PAGE_SIZE)? };
        Ok(bytes)
    }
}

/// A folio of four pages in no page cache.
struct Large(NonNull<bindings::folio>);

impl Large {
    fn new() -> Result<Self> {
        // SAFETY: It may sleep here; there is no memory policy.
        let folio = unsafe {
            bindings::__folio_alloc_noprof(bindings::VFS_GFP_KERNEL, 2, 0, core::ptr::null_mut())
        };
        Ok(Self(NonNull::new(folio).ok_or(ENOMEM)?))
    }

    fn flags(&self) -> *mut usize {
        // SAFETY: the folio is there.
        unsafe { (&raw mut (*self.0.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.flags.f).cast() }
    }

    /// Locks it; the result must end before the memory goes.
    fn lock(&self) -> Result<LockedFolio> {
        // SAFETY: nobody else has the folio: no other lock is held, and no one looks at its flags.
        unsafe {
            *self.flags() |= LOCKED;
            Ok(LockedFolio::from_raw(self.0))
        }
    }

    fn is_locked(&self) -> bool {
        // SAFETY: the folio is there.
        unsafe { self.flags().read_volatile() & LOCKED != 0 }
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { bindings::helpers::folio_put(self.0.as_ptr()) };
    }
}

#[kunit_tests(vfs_folio)]
mod suite {
    use super::*;

    #[test]
    fn whole_ends_as_told() -> Result {
        let memory = Memory::new()?;
        memory.lock()?.end(Ok(()));
        assert!(!memory.is_locked());
        assert!(memory.is_uptodate());

        let memory = Memory::new()?;
        memory.lock()?.end(Err(EIO));
        assert!(!memory.is_locked());
        assert!(!memory.is_uptodate());
        Ok(())
    }

    #[test]
    fn dropped_ends_with_error() -> Result {
        let memory = Memory::new()?;
        drop(memory.lock()?);
        assert!(!memory.is_locked());
        assert!(!memory.is_uptodate());
        Ok(())
    }

    #[test]
    fn last_part_ends_it() -> Result {
        let memory = Memory::new()?;
        let (mut a, rest) = memory.lock()?.into_part().split(512);
        let (mut b, c) = rest.ok_or(EINVAL)?.split(1024);
        let mut c = c.ok_or(EINVAL)?;
        assert_eq!((a.pos(), b.pos(), c.pos()), (0, 512, 1536));
        assert_eq!((a.len(), b.len(), c.len()), (512, 1024, PAGE_SIZE - 1536));
        c.zero(0..c.len())?;
        b.write(1000, &[2; 24])?;
        a.write(0, &[1; 512])?;
        assert_eq!(b.write(1001, &[3; 24]), Err(EINVAL));
        assert_eq!(a.write(usize::MAX, &[3; 24]), Err(EINVAL));
        assert_eq!(a.zero(0..513), Err(EINVAL));
        b.end(Ok(()));
        a.end(Ok(()));
        assert!(memory.is_locked());
        c.end(Ok(()));
        assert!(!memory.is_locked());
        assert!(memory.is_uptodate());
        let bytes = memory.bytes()?;
        assert!(bytes[..512].iter().all(|b| *b == 1));
        assert!(bytes[512..1512].iter().all(|b| *b == 0));
        assert!(bytes[1512..1536].iter().all(|b| *b == 2));
        assert!(bytes[1536..].iter().all(|b| *b == 0));
        Ok(())
    }

    #[test]
    fn one_bad_part_is_enough() -> Result {
        for bad in 0..3 {
            let memory = Memory::new()?;
            let mut rest = Some(memory.lock()?.into_part());
            let mut at = 0;
            while let Some(part) = rest.take() {
                assert!(memory.is_locked());
                let (part, more) = part.split(if at < 2 { 512 } else { u64::MAX });
                rest = more;
                if at != bad {
                    part.end(Ok(()));
                }
                at += 1;
            }
            assert_eq!(at, 3);
            assert!(!memory.is_locked());
            assert!(!memory.is_uptodate());
        }
        Ok(())
    }

    #[test]
    fn no_part_is_empty() -> Result {
        let memory = Memory::new()?;
        let (a, rest) = memory.lock()?.into_part().split(0);
        let b = rest.ok_or(EINVAL)?;
        assert_eq!((a.len(), b.len()), (1, PAGE_SIZE - 1));
        let (b, none) = b.split(PAGE_SIZE as u64);
        assert!(none.is_none());
        a.end(Ok(()));
        b.end(Ok(()));
        assert!(memory.is_uptodate());
        Ok(())
    }

    /// A page is given once, by who has all of it, and the last ones first.
    #[test]
    fn pages_are_given_once() -> Result {
        let memory = Large::new()?;
        let page = PAGE_SIZE as u64;
        let (mut a, rest) = memory.lock()?.into_part().split(page + 1000);
        let mut b = rest.ok_or(EINVAL)?;
        // Of the second page both have a piece, which is the second one of the first part.
        assert!(a.give(1).is_none() && b.give(0).is_none() && b.give(3).is_none());
        assert!(b.give(usize::MAX).is_none());
        let last = b.give(2).ok_or(EINVAL)?;
        assert!(b.give(2).is_none());
        // What they had together is whole again, and what was given stays so.
        let (piece, rest) = b.split(page - 1000);
        let mut rest = rest.ok_or(EINVAL)?;
        assert!(rest.give(1).is_none());
        let mut a = a.merge(piece).map_err(|_| EINVAL)?;
        let second = a.give(1).ok_or(EINVAL)?;
        let mut all = a.merge(rest).map_err(|_| EINVAL)?;
        for number in 1..4 {
            assert!(all.give(number).is_none());
        }
        let first = all.give(0).ok_or(EINVAL)?;
        assert!(all.give(0).is_none());
        // Each is another page, and all keep the folio.
        assert!(first.as_raw() != second.as_raw() && second.as_raw() != last.as_raw());
        let (front, back) = all.split(1);
        front.end(Ok(()));
        let mut back = back.ok_or(EINVAL)?;
        assert!(back.give(0).is_none());
        back.end(Ok(()));
        drop((first, last));
        assert!(memory.is_locked());
        drop(second);
        assert!(!memory.is_locked());
        Ok(())
    }

    /// To one batch at a time.
    #[test]
    fn pages_are_lent_until_the_batch_is_over() -> Result {
        let memory = Memory::new()?;
        let mut part = memory.lock()?.into_part();
        let mut page = part.give(0).ok_or(EINVAL)?;
        let (one, other) = (Reads::new()?, Reads::new()?);
        let (first, second) = (one.batch().clone(), other.batch().clone());
        assert!(!page.is_lent());
        let (a, b, c) = (one.begin(), one.begin(), other.begin());
        let holds = (page.lend(&a)?, page.lend(&b)?);
        assert!(page.is_lent());
        assert_eq!(page.lend(&c).err(), Some(EBUSY));
        drop(a);
        assert_eq!(page.lend(&c).err(), Some(EBUSY));
        drop(b);
        // There may be more of them.
        assert!(page.is_lent() && !first.is_over());
        drop(one);
        assert!(!page.is_lent() && first.is_over() && !second.is_over());
        drop(holds);
        let hold = page.lend(&c)?;
        assert!(page.is_lent());
        part.end(Ok(()));
        drop(page);
        assert!(memory.is_locked());
        drop((hold, c, other));
        assert!(memory.is_uptodate() && second.is_over());
        Ok(())
    }

    #[test]
    fn page_cache_is_filled() -> Result {
        with_mount(|mount| {
            let sb = mount.super_block();
            let mut bytes = KVec::from_elem(0u8, SIZE as usize, GFP_KERNEL)?;
            TestFs::iget(sb, FILE)?.content().read(0, &mut bytes)?;
            assert!(bytes.iter().all(|b| *b == BYTE));
            Ok(())
        })
    }

    /// It comes back, which it would not if the folio stayed locked; and so it does again.
    #[test]
    fn page_cache_tells_errors() -> Result {
        with_mount(|mount| {
            let sb = mount.super_block();
            let bad = TestFs::iget(sb, BAD_FILE)?;
            for _ in 0..2 {
                assert_eq!(bad.content().read(0, &mut [0; 10]), Err(EIO));
            }
            Ok(())
        })
    }

    /// The folios that the callback leaves are taken back, and read later.
    #[test]
    fn readahead_may_stop() -> Result {
        with_mount(|mount| {
            let sb = mount.super_block();
            for key in [FILE, BAD_FILE] {
                let inode = TestFs::iget(sb, key)?;
                let mut state = bindings::file_ra_state::default();
                // SAFETY: the inode is live, the state ours and as C makes it for a new file.
                unsafe {
                    let mapping = (*inode.as_ptr()).i_mapping;
                    bindings::file_ra_state_init(&mut state, mapping);
                    state.ra_pages = 3;
                    let file = core::ptr::null_mut();
                    bindings::helpers::page_cache_sync_readahead(mapping, &mut state, file, 0, 3);
                }
                let mut bytes = KVec::from_elem(0u8, SIZE as usize, GFP_KERNEL)?;
                let result = inode.content().read(0, &mut bytes);
                let expected = if key == FILE { Ok(()) } else { Err(EIO) };
                assert_eq!(result, expected);
            }
            Ok(())
        })
    }
}
