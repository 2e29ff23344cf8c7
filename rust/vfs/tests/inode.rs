// SPDX-License-Identifier: GPL-2.0-only

//! The life of an inode.

use super::filesystem::*;
use crate::{
    bindings,
    inode::{
        Found,
        Kind,
        NewInode, //
    },
    super_block::SuperBlock,
    FileSystem, //
};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// A key that nothing else has.
const KEY: u64 = 100;

/// Lets what was dropped under RCU go.
fn grace() {
    // SAFETY: may sleep here.
    unsafe { bindings::rcu_barrier() };
}

/// An inode that is in nobody's hands yet.
fn fresh(sb: &SuperBlock<TestFs>) -> Result<NewInode<'_, TestFs>> {
    match sb.iget5(KEY, KEY)? {
        Found::New(new) => Ok(new),
        Found::Ready(_) => Err(EEXIST),
    }
}

/// How many inodes' data are dropped in all by what `test` does with a mount, and by its end.
fn drops(test: impl FnOnce(&Mount) -> Result) -> Result<usize> {
    let before = dropped();
    with_mount(test)?;
    grace();
    Ok(dropped() - before)
}

#[kunit_tests(vfs_inode)]
mod suite {
    use super::*;

    #[test]
    fn new_becomes_ready() -> Result {
        let gone = drops(|mount| {
            let sb = mount.super_block();
            let new = fresh(sb)?;
            let inode = init_file(new, 1)?;
            assert_eq!(inode.key(), KEY);
            assert_eq!(inode.size(), SIZE);
            let Found::Ready(again) = sb.iget5(KEY, KEY)? else {
                return Err(ENOENT);
            };
            assert!(core::ptr::eq(&*again, &*inode));
            Ok(())
        })?;
        // This one and the root.
        assert_eq!(gone, 2);
        Ok(())
    }

    #[test]
    fn dropped_new_leaves_the_hash() -> Result {
        let gone = drops(|mount| {
            let sb = mount.super_block();
            for _ in 0..3 {
                assert!(matches!(sb.iget5(KEY, KEY)?, Found::New(_)));
            }
            TestFs::iget(sb, KEY)?;
            Ok(())
        })?;
        // Those that failed had no data.
        assert_eq!(gone, 2);
        Ok(())
    }

    #[test]
    fn kind_must_fit_the_mode() -> Result {
        let gone = drops(|mount| {
            let sb = mount.super_block();
            let new = fresh(sb)?;
            let kind = Kind::regular::<Nodes, Nodes>();
            let result = new.init(|| Data, &attributes(bindings::S_IFDIR, 1), kind);
            assert_eq!(result.map(|_| ()), Err(EINVAL));
            assert!(matches!(sb.iget5(KEY, KEY)?, Found::New(_)));
            Ok(())
        })?;
        // The root's: none was made for an inode that failed.
        assert_eq!(gone, 1);
        Ok(())
    }

    #[test]
    fn data_is_dropped_once() -> Result {
        let gone = drops(|mount| {
            let sb = mount.super_block();
            let new = fresh(sb)?;
            let before = dropped();
            // Without a link it is evicted with the last reference.
            let inode = init_file(new, 0)?;
            grace();
            assert_eq!(dropped(), before);
            drop(inode);
            // At once: by this task, not under RCU.
            assert_eq!(dropped() - before, 1);
            grace();
            assert_eq!(dropped() - before, 1);
            assert!(matches!(sb.iget5(KEY, KEY)?, Found::New(_)));
            Ok(())
        })?;
        assert_eq!(gone, 2);
        Ok(())
    }

    #[test]
    fn forgotten_references_are_put_at_unmount() -> Result {
        let gone = drops(|mount| {
            let sb = mount.super_block();
            let before = dropped();
            for _ in 0..3 {
                core::mem::forget(TestFs::iget(sb, KEY)?);
                core::mem::forget(TestFs::iget(sb, ROOT)?);
            }
            // It stays new for ever, as far as others are concerned.
            core::mem::forget(sb.iget5(KEY + 1, KEY + 1)?);
            grace();
            assert_eq!(dropped(), before);
            Ok(())
        })?;
        // The new one had no data.
        assert_eq!(gone, 2);
        Ok(())
    }

    #[test]
    fn forgotten_references_are_put_if_a_mount_fails() -> Result {
        let before = dropped();
        FORGETFUL.store(true, Ordering::Relaxed);
        let result = with_mount(|_| Ok(()));
        FORGETFUL.store(false, Ordering::Relaxed);
        assert_eq!(result, Err(ENODEV));
        assert_eq!(dropped() - before, 1);
        Ok(())
    }

    #[test]
    fn references_are_limited() -> Result {
        with_mount(|mount| {
            let sb = mount.super_block();
            let inode = TestFs::iget(sb, KEY)?;
            // SAFETY: The inode is live, and as many references are taken back below.
            let count = unsafe { &raw mut (*inode.as_ptr()).i_count.counter };
            // SAFETY: Nobody else uses this inode.
            let more = |n: i32| unsafe { count.write_volatile(count.read_volatile() + n) };
            more(i32::MAX / 2 - 1);
            // As many as there may be, and one more.
            let last = TestFs::iget(sb, KEY);
            let refused = TestFs::iget(sb, KEY).map(|_| ());
            drop(last);
            more(-(i32::MAX / 2 - 1));
            assert_eq!(refused, Err(EOVERFLOW));
            assert_eq!(inode.key(), KEY);
            Ok(())
        })
    }

    #[test]
    fn internal_inodes_go_with_the_mount() -> Result {
        let gone = drops(|mount| {
            let sb = mount.super_block();
            sb.set_internal(0, TestFs::iget(sb, KEY)?)?;
            assert_eq!(sb.set_internal(0, TestFs::iget(sb, KEY)?), Err(EBUSY));
            assert_eq!(sb.internal(0).map(|inode| inode.key()), Some(KEY));
            assert!(sb.internal(1).is_none());
            Ok(())
        })?;
        assert_eq!(gone, 2);
        Ok(())
    }
}
