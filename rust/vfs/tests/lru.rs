// SPDX-License-Identifier: GPL-2.0-only

//! Lists of reclaimable objects.

use crate::{
    bindings,
    lru::{
        Link,
        Lru,
        Reclaim,
        Reclaimer,
        FLOOR, //
    },
};
use core::sync::atomic::{
    AtomicUsize,
    Ordering, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// How many objects there are.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// An object that gives up its link.
#[pin_data(PinnedDrop)]
struct Object {
    #[pin]
    link: Mutex<Option<Link<Object>>>,
    taken: AtomicUsize,
}

impl Object {
    fn listed(lru: &Arc<Lru<Self>>) -> Result<Arc<Self>> {
        let this = Arc::pin_init(
            pin_init!(Self {
                link <- new_mutex!(None),
                taken: AtomicUsize::new(0),
            }),
            GFP_KERNEL,
        )?;
        LIVE.fetch_add(1, Ordering::Relaxed);
        let mut link = lru.link(&this)?;
        link.list(&this, 2);
        // Once more changes nothing.
        link.list(&this, 2);
        *this.link.lock() = Some(link);
        Ok(this)
    }

    fn touch(&self) {
        if let Some(link) = &*self.link.lock() {
            link.touch();
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Object {
    fn drop(self: Pin<&mut Self>) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reclaim for Object {
    type Taken = Link<Self>;

    fn take(&self) -> Option<Link<Self>> {
        self.link.try_lock()?.take()
    }

    fn taken(this: Arc<Self>, link: Link<Self>) {
        this.taken.fetch_add(1, Ordering::Relaxed);
        drop(link);
    }
}

/// Asks as memory reclaim does, outside of all cgroups.
fn ask(reclaimer: &Reclaimer<Object>, scan: Option<usize>) -> Result<usize> {
    let raw = reclaimer.as_raw();
    let mut control = bindings::shrink_control {
        nr_to_scan: scan.unwrap_or(0),
        ..Default::default()
    };
    // SAFETY: The shrinker is registered, and the request is one of node 0 and of no cgroup.
    unsafe {
        let call = match scan {
            Some(_) => (*raw).scan_objects,
            None => (*raw).count_objects,
        };
        Ok(call.ok_or(EINVAL)?(raw, &mut control))
    }
}

/// The pages that are counted.
fn counted(reclaimer: &Reclaimer<Object>) -> Result<usize> {
    ask(reclaimer, None)?.checked_sub(FLOOR).ok_or(EINVAL)
}

const EMPTY: usize = bindings::SHRINK_EMPTY as isize as usize;

#[kunit_tests(vfs_lru)]
mod cases {
    use super::*;

    #[test]
    fn the_least_recently_used_go_first() -> Result {
        let before = LIVE.load(Ordering::Relaxed);
        let reclaimer = Lru::<Object>::register(c"vfs_test")?;
        assert_eq!(ask(&reclaimer, None)?, EMPTY);
        let mut objects = KVec::new();
        for _ in 0..20 {
            objects.push(Object::listed(&reclaimer)?, GFP_KERNEL)?;
        }
        // In pages, and more than there are: short lists are asked, too.
        assert_eq!(counted(&reclaimer)?, 40);
        for object in objects.iter().take(5) {
            object.touch();
        }
        // Eight are looked at, and eight: five of them are spared, once.
        assert_eq!(ask(&reclaimer, Some(17))?, 22);
        assert_eq!(counted(&reclaimer)?, 18);
        assert_eq!(ask(&reclaimer, Some(100))?, 18);
        assert_eq!(ask(&reclaimer, None)?, EMPTY);
        for object in &objects {
            assert_eq!(object.taken.load(Ordering::Relaxed), 1);
        }
        drop(objects);
        assert_eq!(LIVE.load(Ordering::Relaxed), before);
        Ok(())
    }

    #[test]
    fn objects_in_use_stay() -> Result {
        let reclaimer = Lru::<Object>::register(c"vfs_test")?;
        let (busy, idle) = (Object::listed(&reclaimer)?, Object::listed(&reclaimer)?);
        {
            let _guard = busy.link.lock();
            assert_eq!(ask(&reclaimer, Some(100))?, 2);
            assert_eq!(ask(&reclaimer, Some(100))?, usize::MAX);
        }
        assert_eq!(idle.taken.load(Ordering::Relaxed), 1);
        assert_eq!(ask(&reclaimer, Some(100))?, 2);
        Ok(())
    }

    #[test]
    fn those_in_use_hide_nobody() -> Result {
        let reclaimer = Lru::<Object>::register(c"vfs_test")?;
        let (mut objects, mut links) = (KVec::new(), KVec::new());
        for _ in 0..8 {
            let object = Object::listed(&reclaimer)?;
            links.push(object.link.lock().take(), GFP_KERNEL)?;
            objects.push(object, GFP_KERNEL)?;
        }
        let idle = Object::listed(&reclaimer)?;
        assert_eq!(ask(&reclaimer, Some(16))?, 0);
        assert_eq!(ask(&reclaimer, Some(16))?, 2);
        assert_eq!(idle.taken.load(Ordering::Relaxed), 1);
        Ok(())
    }

    #[test]
    fn short_lists_are_spared_too() -> Result {
        let reclaimer = Lru::<Object>::register(c"vfs_test")?;
        let (first, second) = (Object::listed(&reclaimer)?, Object::listed(&reclaimer)?);
        first.touch();
        second.touch();
        // There is progress to be made by asking again.
        assert_eq!(ask(&reclaimer, Some(100))?, 0);
        assert_eq!(ask(&reclaimer, Some(100))?, 4);
        Ok(())
    }

    #[test]
    fn a_dropped_link_unlists() -> Result {
        let before = LIVE.load(Ordering::Relaxed);
        let reclaimer = Lru::<Object>::register(c"vfs_test")?;
        let (first, second) = (Object::listed(&reclaimer)?, Object::listed(&reclaimer)?);
        let link = first.link.lock().take();
        drop(link);
        assert_eq!(counted(&reclaimer)?, 2);
        drop(first);
        assert_eq!(LIVE.load(Ordering::Relaxed), before + 1);
        // A link lists its own object only.
        let other = Object::listed(&reclaimer)?;
        let mut link = other.link.lock().take().ok_or(EINVAL)?;
        link.list(&second, 2);
        drop(link);
        drop(other);
        // The list has the last reference.
        drop(second);
        assert_eq!(LIVE.load(Ordering::Relaxed), before + 1);
        assert_eq!(ask(&reclaimer, Some(100))?, 2);
        assert_eq!(LIVE.load(Ordering::Relaxed), before);
        Ok(())
    }
}
