// SPDX-License-Identifier: GPL-2.0-only

//! Reclaimable objects: a least-recently-used list for each memory cgroup, and its shrinker.
//!
//! An owner that holds memory it can do without keeps a [`Link`] beside it, and lists itself. The
//! kernel asks the [`Lru`] for memory, cgroup by cgroup: an object that was used since the last
//! round gets another one, the others give up what they hold.
//!
//! C headers: [`include/linux/list_lru.h`](srctree/include/linux/list_lru.h),
//! [`include/linux/shrinker.h`](srctree/include/linux/shrinker.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    shrinker::Raw, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::atomic::{
        AtomicBool,
        AtomicU32,
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// An object that can give up memory.
pub trait Reclaim: Send + Sync + 'static {
    /// The memory that it gives up. Dropping it may sleep.
    type Taken: Send;

    /// Takes the memory out of an idle object. `None` leaves the object on its list: somebody uses
    /// it.
    ///
    /// # Context
    ///
    /// Under the spinlock of the list: must not sleep, and must not list, unlist or drop a
    /// [`Link`] of the same [`Lru`]. A lock that is held while memory is allocated may only be
    /// tried.
    fn take(&self) -> Option<Self::Taken>;

    /// Ends what [`take`](Self::take) began. The object is on no list any more.
    ///
    /// # Context
    ///
    /// In the task that needs memory, which may hold locks of the same filesystem. May sleep.
    fn taken(this: Arc<Self>, taken: Self::Taken);
}

/// The number of objects that one walk of a list takes. They are on the stack of a task that is
/// deep in an allocation.
const BATCH: usize = 8;

/// The fewest pages that are asked for at a time: as many as reclaim takes from the page cache
/// (`SWAP_CLUSTER_MAX`).
const MIN_SCAN: usize = 32;

/// What a list that is not empty counts more than it has, in pages.
///
/// Reclaim begins with a 2^12th of what is counted (`DEF_PRIORITY`), four times that with one seek
/// an object: a list of 15 MiB would not be asked at all as long as there is any page cache. With
/// this it gives [`MIN_SCAN`] pages from the first pass on.
pub(crate) const FLOOR: usize = (MIN_SCAN / 4) << 12;

/// The lists of all objects of a type ([`Registrar::lru`](crate::registrar::Registrar::lru)).
///
/// # Invariants
///
/// `lru` is initialised, with entries of `cache` only.
#[pin_data(PinnedDrop)]
pub struct Lru<T: Reclaim> {
    #[pin]
    lru: Opaque<bindings::list_lru>,
    cache: Slab<T>,
    /// All that is listed: objects, and their pages.
    objects: AtomicUsize,
    pages: AtomicUsize,
}

/// A slab of `Entry<T>`.
///
/// # Invariants
///
/// The slab is ours.
struct Slab<T>(NonNull<bindings::kmem_cache>, PhantomData<T>);

impl<T> Slab<T> {
    fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: Without a constructor there is nothing for it to get wrong; the name is static.
        let slab = unsafe {
            helpers::kmem_cache_create(
                name.as_char_ptr(),
                size_of::<Entry<T>>() as u32,
                align_of::<Entry<T>>() as u32,
                bindings::VFS_SLAB_INODE_FLAGS,
                None,
            )
        };
        // INVARIANT: It is new.
        NonNull::new(slab)
            .map(|slab| Self(slab, PhantomData))
            .ok_or(ENOMEM)
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        // SAFETY: It is ours. The kernel leaks it, with a warning, if an object was forgotten.
        unsafe { bindings::kmem_cache_destroy(self.0.as_ptr()) };
    }
}

// SAFETY: The lists lock themselves, and the objects on them can be used by any task.
unsafe impl<T: Reclaim> Send for Lru<T> {}
// SAFETY: The lists lock themselves, and the objects on them can be used by any task.
unsafe impl<T: Reclaim> Sync for Lru<T> {}

/// An object's place on a list.
///
/// # Invariants
///
/// While `links` is on a list, `owner` is the object of an `Arc`, and the list owns one reference to
/// it.
#[repr(C)]
struct Entry<T> {
    links: Opaque<bindings::list_head>,
    recent: AtomicBool,
    /// How many pages the owner holds.
    pages: AtomicU32,
    owner: *const T,
}

/// The right to be on the list of an [`Lru`]; the memory of the entry. Dropping it unlists the
/// owner.
///
/// The memory is charged to the memory cgroup of the task that made it, which is the one whose
/// list the owner will be on.
///
/// # Invariants
///
/// `entry` is an initialised `Entry<T>` of the slab of `lru`, which nobody else frees.
pub struct Link<T: Reclaim> {
    entry: NonNull<Entry<T>>,
    lru: Arc<Lru<T>>,
}

// SAFETY: An entry is only changed under the lock of its list, or atomically.
unsafe impl<T: Reclaim> Send for Link<T> {}
// SAFETY: An entry is only changed under the lock of its list, or atomically.
unsafe impl<T: Reclaim> Sync for Link<T> {}

/// Asks for memory as long as it is there.
pub(crate) struct Reclaimer<T: Reclaim> {
    shrinker: Raw,
    lru: Arc<Lru<T>>,
}

impl<T: Reclaim> Lru<T> {
    /// Makes empty lists, and has the kernel reclaim from them as `name`.
    ///
    /// Reclaim asks a list that is short for as much as it takes from the page cache, so that it goes
    /// before page cache that is in use does. An object that was used since the last pass is spared
    /// once.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn register(name: &'static CStr) -> Result<Reclaimer<T>> {
        let flags = bindings::VFS_SHRINKER_MEMCG_AWARE | bindings::VFS_SHRINKER_NUMA_AWARE;
        let shrinker = Raw::new(name, flags)?;
        let number = shrinker.as_ptr();
        let lru = Arc::pin_init(
            try_pin_init!(Self {
                cache: Slab::new(name)?,
                objects: AtomicUsize::new(0),
                pages: AtomicUsize::new(0),
                lru <- Opaque::try_ffi_init(move |lru: *mut bindings::list_lru| {
                    // SAFETY: The place is new and pinned; zeroes are what C starts from. The
                    // shrinker is there, and has its number.
                    kernel::error::to_result(unsafe {
                        lru.write(pin_init::zeroed());
                        bindings::__list_lru_init(lru, true, number)
                    })
                }),
            }),
            GFP_KERNEL,
        )?;
        let mut this = Reclaimer { shrinker, lru };
        let data = Arc::as_ptr(&this.lru).cast_mut().cast();
        // SAFETY: The callbacks take an `Lru<T>`, which `this` keeps until they are over.
        unsafe {
            this.shrinker
                .register(count::<T>, scan::<T>, 1, MIN_SCAN, data)
        };
        Ok(this)
    }

    /// Makes a link for `owner`, which is on no list yet. It is charged to the current memory
    /// cgroup.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory without waiting, or none left in the cgroup.
    ///
    /// # Context
    ///
    /// Does not sleep.
    pub fn link(self: &Arc<Self>, owner: &Arc<T>) -> Result<Link<T>> {
        // SAFETY: The slab and the lists live as long as `self`. This also makes the list of the
        // cgroup that is charged.
        let entry = unsafe {
            bindings::kmem_cache_alloc_lru_noprof(
                self.cache.0.as_ptr(),
                self.lru.get(),
                bindings::VFS_GFP_BEST_EFFORT,
            )
        };
        let entry = NonNull::new(entry.cast::<Entry<T>>()).ok_or(ENOMEM)?;
        // SAFETY: The entry is new and as large as the type. An empty list points to itself.
        unsafe {
            let links = Opaque::cast_into(&raw const (*entry.as_ptr()).links);
            links.write(bindings::list_head {
                next: links,
                prev: links,
            });
            (&raw mut (*entry.as_ptr()).recent).write(AtomicBool::new(false));
            (&raw mut (*entry.as_ptr()).pages).write(AtomicU32::new(0));
            // INVARIANT: The link is on no list, and `Link::list` checks the owner.
            (&raw mut (*entry.as_ptr()).owner).write(Arc::as_ptr(owner));
        }
        // INVARIANT: It was just initialised, and is this link's.
        Ok(Link {
            entry,
            lru: self.clone(),
        })
    }
}

impl<T: Reclaim> Lru<T> {
    /// Counts an object of `pages` pages that is listed no more.
    fn unlisted(&self, pages: u32) {
        self.objects.fetch_sub(1, Ordering::Relaxed);
        self.pages.fetch_sub(pages as usize, Ordering::Relaxed);
    }

    /// Returns about how many pages `objects` of the lists hold.
    fn pages_of(&self, objects: usize) -> usize {
        let all = self.objects.load(Ordering::Relaxed).max(1);
        let each = self.pages.load(Ordering::Relaxed).div_ceil(all);
        objects.saturating_mul(each.max(1))
    }
}

#[pinned_drop]
impl<T: Reclaim> PinnedDrop for Lru<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Each link has a reference to `self`, so no entry is left, on a list or not. The
        // shrinker does not look at the lists: its `Reclaimer` has a reference, too.
        unsafe { bindings::list_lru_destroy(self.lru.get()) };
    }
}

impl<T: Reclaim> core::ops::Deref for Reclaimer<T> {
    type Target = Arc<Lru<T>>;

    fn deref(&self) -> &Arc<Lru<T>> {
        &self.lru
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl<T: Reclaim> Reclaimer<T> {
    /// For tests, which call it as the kernel does.
    pub(crate) fn as_raw(&self) -> *mut bindings::shrinker {
        self.shrinker.as_ptr()
    }
}

impl<T: Reclaim> Link<T> {
    fn entry(&self) -> &Entry<T> {
        // SAFETY: By the invariants it is initialised, and lives as long as the link; what changes
        // is behind `Opaque` or atomic.
        unsafe { self.entry.as_ref() }
    }

    /// Puts `owner`, which holds `pages` pages, on its list, unless it is there. `owner` must be the
    /// object that the link was made for; any other is ignored.
    ///
    /// # Context
    ///
    /// Does not sleep. Takes the spinlock of the list.
    pub fn list(&mut self, owner: &Arc<T>, pages: usize) {
        if !core::ptr::eq(self.entry().owner, Arc::as_ptr(owner)) {
            return;
        }
        let links = self.entry().links.get();
        // SAFETY: The entry is initialised. On a list, its neighbours may change the word, but not to
        // the entry's own address.
        if unsafe { (&raw const (*links).next).read_volatile() } != links {
            return;
        }
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        self.entry().pages.store(pages, Ordering::Relaxed);
        self.lru.objects.fetch_add(1, Ordering::Relaxed);
        self.lru.pages.fetch_add(pages as usize, Ordering::Relaxed);
        let reference = Arc::into_raw(owner.clone());
        // SAFETY: The entry is an object of a slab, is initialised, and lives until `drop`, which
        // unlists it. The list owns the reference from here on.
        if !unsafe { bindings::list_lru_add_obj(self.lru.lru.get(), links) } {
            self.lru.unlisted(pages);
            // SAFETY: It is on the list with a reference of its own; this one came from `into_raw`.
            drop(unsafe { Arc::from_raw(reference) });
        }
    }

    /// Notes that the owner was used: the next pass of reclaim spares it.
    pub fn touch(&self) {
        // A lost race costs or grants one pass.
        if !self.entry().recent.load(Ordering::Relaxed) {
            self.entry().recent.store(true, Ordering::Relaxed);
        }
    }
}

impl<T: Reclaim> Drop for Link<T> {
    fn drop(&mut self) {
        let entry = self.entry.as_ptr();
        // SAFETY: The entry is initialised. The lock of the list, which this takes in any case,
        // orders it with a walk that isolates the entry. What the list owned moves here, once. The
        // entry is on no list after this, and its memory is this link's.
        unsafe {
            let (owner, pages) = ((*entry).owner, (*entry).pages.load(Ordering::Relaxed));
            let listed = bindings::list_lru_del_obj(self.lru.lru.get(), (*entry).links.get());
            bindings::kmem_cache_free(self.lru.cache.0.as_ptr(), entry.cast());
            if listed {
                self.lru.unlisted(pages);
                drop(Arc::from_raw(owner));
            }
        }
    }
}

/// The objects that one walk took memory from.
struct Batch<'a, T: Reclaim> {
    lru: &'a Lru<T>,
    items: [Option<(Arc<T>, T::Taken)>; BATCH],
    len: usize,
    /// The pages of these, and those of all that were looked at.
    freed: usize,
    seen: usize,
    /// One that was used stays for now.
    spared: bool,
}

/// # Safety
///
/// Only to be called as the shrinker's callback of a [`Reclaimer<T>`].
unsafe extern "C" fn count<T: Reclaim>(
    shrinker: *mut bindings::shrinker,
    control: *mut bindings::shrink_control,
) -> usize {
    // SAFETY: `private_data` is the `Lru<T>` that the reclaimer keeps until the last callback.
    let lru = unsafe { &*(*shrinker).private_data.cast::<Lru<T>>() };
    // SAFETY: The lists are initialised, and the cgroup of the request is live.
    match unsafe { bindings::list_lru_count_one(lru.lru.get(), (*control).nid, (*control).memcg) } {
        0 => bindings::SHRINK_EMPTY as isize as usize,
        n => lru.pages_of(n) + FLOOR,
    }
}

/// # Safety
///
/// Only to be called as the shrinker's callback of a [`Reclaimer<T>`].
unsafe extern "C" fn scan<T: Reclaim>(
    shrinker: *mut bindings::shrinker,
    control: *mut bindings::shrink_control,
) -> usize {
    // SAFETY: `private_data` is the `Lru<T>` that the reclaimer keeps until the last callback.
    let lru = unsafe { &*(*shrinker).private_data.cast::<Lru<T>>() };
    // SAFETY: The request is this callback's.
    let control = unsafe { &mut *control };
    let (mut freed, mut seen, mut spared) = (0, 0, false);
    // What stays on the list goes to its end, where a walk would meet it again: each object is looked
    // at but once in a call.
    // SAFETY: The lists are initialised, and the cgroup of the request is live.
    let mut left =
        unsafe { bindings::list_lru_count_one(lru.lru.get(), control.nid, control.memcg) };
    while seen < control.nr_to_scan && left > 0 {
        let mut batch = Batch::<T> {
            lru,
            items: [const { None }; BATCH],
            len: 0,
            freed: 0,
            seen: 0,
            spared: false,
        };
        let most = left.min(BATCH);
        let mut walk = most;
        // SAFETY: The lists are initialised and have entries of `T`; the callback takes a `Batch<T>`.
        unsafe {
            bindings::list_lru_walk_one(
                lru.lru.get(),
                control.nid,
                control.memcg,
                Some(isolate::<T>),
                (&raw mut batch).cast(),
                &mut walk,
            )
        };
        freed += batch.freed;
        seen += batch.seen;
        spared |= batch.spared;
        for (owner, taken) in batch.items.into_iter().flatten() {
            T::taken(owner, taken);
        }
        // The list may have become shorter meanwhile.
        left = if walk > 0 { 0 } else { left - most };
    }
    if freed == 0 && !spared && left == 0 {
        // All are in use, so there is no use in asking again.
        return SHRINK_STOP;
    }
    control.nr_scanned = seen.max(control.nr_to_scan);
    freed
}

/// `SHRINK_STOP`: no progress can be made.
const SHRINK_STOP: usize = usize::MAX;

/// # Safety
///
/// Only to be called by a walk of [`scan`], with an entry of the list, whose lock is held.
unsafe extern "C" fn isolate<T: Reclaim>(
    item: *mut bindings::list_head,
    list: *mut bindings::list_lru_one,
    batch: *mut c_void,
) -> bindings::lru_status {
    // SAFETY: `links` is the first field of an entry that is on the list, so its link cannot be
    // dropped before the lock is. The walk has a batch of its own.
    let (entry, batch) = unsafe {
        (
            &*item.cast::<Entry<T>>(),
            &mut *batch.cast::<Batch<'_, T>>(),
        )
    };
    let pages = entry.pages.load(Ordering::Relaxed);
    batch.seen += (pages as usize).max(1);
    if entry.recent.swap(false, Ordering::Relaxed) {
        batch.spared = true;
        return bindings::lru_status::LRU_ROTATE;
    }
    // SAFETY: The list has a reference to the owner, which is only borrowed here.
    let owner = ManuallyDrop::new(unsafe { Arc::from_raw(entry.owner) });
    let Some(place) = batch.items.get_mut(batch.len) else {
        return bindings::lru_status::LRU_SKIP;
    };
    let Some(taken) = owner.take() else {
        // At the end it does not hide those behind it from the next walk, however long it is used.
        return bindings::lru_status::LRU_ROTATE;
    };
    // SAFETY: The entry is on the list, whose lock is held.
    unsafe { bindings::list_lru_isolate(list, item) };
    batch.lru.unlisted(pages);
    // The reference of the list moves to the batch.
    *place = Some((ManuallyDrop::into_inner(owner), taken));
    batch.len += 1;
    batch.freed += pages as usize;
    bindings::lru_status::LRU_REMOVED
}
