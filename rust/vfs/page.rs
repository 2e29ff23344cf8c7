// SPDX-License-Identifier: GPL-2.0-only

//! Pages of one's own, outside of any page cache: for compressed data, and for decoded bytes that
//! nobody asked for.
//!
//! A [`Page`] is owned like a value. To be read into by the device it is lent: a [`PageRef`] keeps
//! the memory and the right to write to it, and until that is dropped nobody looks at the bytes.
//! Decoders rely on that, as not all of them stand input that changes while they look at it.
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h)

use crate::bindings::{
    self,
    helpers, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::atomic::{
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// How hard memory is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alloc {
    /// Somebody waits for the result: reclaims, also by I/O. May sleep.
    Wait,
    /// As [`Wait`](Alloc::Wait), where I/O must not be waited for: it may be what this is part of.
    NoIo,
    /// Nobody waits: takes what is free, and fails without a word.
    BestEffort,
}

impl Alloc {
    /// The flags for it, to be used [`within`](Alloc::within).
    pub(crate) fn flags(self) -> Flags {
        match self {
            Self::Wait | Self::NoIo => GFP_KERNEL,
            Self::BestEffort => GFP_NOWAIT | __GFP_NOWARN,
        }
    }

    /// Does `f`, in which memory is allocated; C code that does so by itself follows it, too.
    #[inline(always)]
    pub(crate) fn within<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: It changes a flag of the current task.
        let flags = (self == Self::NoIo).then(|| unsafe { helpers::memalloc_noio_save() });
        let result = f();
        if let Some(flags) = flags {
            // SAFETY: The task is the same, `flags` are those that it had, and other changes were
            // undone in `f`, as all are made by functions like this one.
            unsafe { helpers::memalloc_flags_restore(flags) };
        }
        result
    }
}

/// Does `f`, in which nothing that this task allocates waits for I/O, or for a filesystem.
#[inline(always)] // So that `f` is no function of its own.
pub fn no_io<R>(f: impl FnOnce() -> R) -> R {
    Alloc::NoIo.within(f)
}

/// Does `f`, in which nothing that this task allocates makes a filesystem free memory, which may wait
/// for a locked folio (of an inode that is evicted, for one).
#[inline(always)] // So that `f` is no function of its own.
pub fn no_fs<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: It changes a flag of the current task.
    let flags = unsafe { helpers::memalloc_nofs_save() };
    let result = f();
    // SAFETY: The task is the same, `flags` are those that it had, and other changes were undone in
    // `f`, as all are made by functions like this one.
    unsafe { helpers::memalloc_flags_restore(flags) };
    result
}

/// A page of memory, freed with its owner. What it holds at first is undefined.
///
/// # Invariants
///
/// The page is in no page cache, of its own, and a reference to it is ours. Its private word is the
/// link of a [`Pool`] while it is in one, else the number of [`PageRef`]s to it.
pub struct Page(NonNull<bindings::page>);

// SAFETY: A page belongs to no task, and may be freed by any.
unsafe impl Send for Page {}

// SAFETY: By reference a page can be asked whether it is lent, which is one atomic load, and read by
// decoders, while which nobody can write to it: lending needs the page mutably (`Page::lend`).
unsafe impl Sync for Page {}

impl Page {
    /// A page, or `ENOMEM`. May sleep, but for [`Alloc::BestEffort`].
    pub fn new(alloc: Alloc) -> Result<Self> {
        let gfp = match alloc {
            Alloc::Wait | Alloc::NoIo => bindings::VFS_GFP_KERNEL,
            Alloc::BestEffort => bindings::VFS_GFP_BEST_EFFORT,
        };
        alloc.within(|| Self::with_flags(gfp))
    }

    fn with_flags(gfp: bindings::gfp_t) -> Result<Self> {
        // SAFETY: Allocating has no precondition but that it may sleep, where the flags say so.
        let page = NonNull::new(unsafe { bindings::alloc_pages(gfp, 0) }).ok_or(ENOMEM)?;
        // SAFETY: the page is new and ours.
        unsafe { private(page).write(0) };
        // INVARIANT: with the reference of the allocation, and nothing lent.
        Ok(Self(page))
    }

    pub(crate) fn as_raw(&self) -> NonNull<bindings::page> {
        self.0
    }

    fn lent(&self) -> &AtomicUsize {
        // SAFETY: The page lives as long as `self`. It is in no pool while there is a `Page`, so its
        // private word is the number of references that were lent, and only accessed atomically.
        unsafe { AtomicUsize::from_ptr(private(self.as_raw())) }
    }

    /// Lends it out to be written to.
    pub fn lend(&mut self) -> PageRef {
        self.lent().fetch_add(1, Ordering::Relaxed);
        // SAFETY: The page is live, and was allocated alone (order 0), so it is its own folio.
        unsafe { helpers::folio_get(self.as_raw().as_ptr().cast()) };
        // INVARIANT: counted, and with a reference of its own.
        PageRef(self.as_raw())
    }

    /// Whether a [`PageRef`] to it is left.
    pub fn is_lent(&self) -> bool {
        // Acquire: what was written through the last reference is seen by who looks at the page.
        self.lent().load(Ordering::Acquire) != 0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the reference is ours. The memory goes with the last one.
        unsafe { bindings::__free_pages(self.0.as_ptr(), 0) };
    }
}

/// Where a page keeps its private word.
///
/// # Safety
///
/// `page` is live.
unsafe fn private(page: NonNull<bindings::page>) -> *mut usize {
    // SAFETY: The caller has a live page; only the address of the field is taken.
    unsafe { (&raw mut (*page.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.private).cast() }
}

/// The right to write to a [`Page`] that was lent, and a reference to its memory. May be dropped in
/// any context.
///
/// # Invariants
///
/// It has a reference to the page, and is counted in its private word.
pub struct PageRef(NonNull<bindings::page>);

// SAFETY: both counts are atomic.
unsafe impl Send for PageRef {}

impl PageRef {
    pub(crate) fn as_raw(&self) -> NonNull<bindings::page> {
        self.0
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        let page = self.as_raw();
        // SAFETY: The reference is ours, and so the page live; it is one of those that the private word
        // counts. That comes first, as the page may go with the reference. Allocated alone, it is
        // its own folio.
        unsafe {
            AtomicUsize::from_ptr(private(page)).fetch_sub(1, Ordering::Release);
            helpers::folio_put(page.as_ptr().cast());
        }
    }
}

/// A page that is kept as a cache: charged to the memory cgroup of the task that allocated it, and
/// counted as reclaimable.
pub struct CachedPage(Page);

impl CachedPage {
    /// Allocates a page from free memory that is not reserved.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if the current memory cgroup is at its limit.
    ///
    /// # Context
    ///
    /// Does not sleep.
    pub fn new() -> Result<Self> {
        let page = Page::with_flags(bindings::VFS_GFP_KEPT)?;
        count_reclaimable(&page, 1);
        Ok(Self(page))
    }

    /// As [`Page::lend`].
    pub fn lend(&mut self) -> PageRef {
        self.0.lend()
    }
}

impl core::ops::Deref for CachedPage {
    type Target = Page;

    fn deref(&self) -> &Page {
        &self.0
    }
}

impl Drop for CachedPage {
    fn drop(&mut self) {
        count_reclaimable(&self.0, -1);
    }
}

fn count_reclaimable(page: &Page, pages: isize) {
    // SAFETY: the page is live, and so is its node.
    unsafe { helpers::count_reclaimable(page.as_raw().as_ptr(), pages) };
}

/// Free pages that a reader keeps at hand, in a list of their own links.
///
/// # Invariants
///
/// `first` is null or a page that is owned by the pool and not lent, and the private word of each
/// such page is the next one, or null.
pub struct Pool {
    first: *mut bindings::page,
    len: usize,
}

// SAFETY: the pages of the list are owned by it.
unsafe impl Send for Pool {}

impl Pool {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            first: core::ptr::null_mut(),
            len: 0,
        }
    }

    /// The number of pages in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// One of the pages, or a new one as [`Page::new`].
    pub fn take(&mut self, alloc: Alloc) -> Result<Page> {
        match self.pop() {
            Some(page) => Ok(page),
            None => Page::new(alloc),
        }
    }

    fn pop(&mut self) -> Option<Page> {
        let page = NonNull::new(self.first)?;
        // SAFETY: The page is on the list, so it is ours, not lent, and its private word is the next
        // one. It moves to the caller.
        unsafe {
            let next = private(page);
            self.first = core::ptr::with_exposed_provenance_mut(next.read());
            self.len -= 1;
            // INVARIANT: nothing is lent.
            next.write(0);
            Some(Page(page))
        }
    }

    /// Keeps `page`. One that is still lent is left to who has it.
    pub fn put(&mut self, page: Page) {
        if page.is_lent() {
            return;
        }
        let page = ManuallyDrop::new(page);
        // SAFETY: the page is ours, and not lent. It moves into the list.
        unsafe { private(page.as_raw()).write(self.first.expose_provenance()) };
        self.first = page.as_raw().as_ptr();
        self.len += 1;
    }

    /// Keeps all the pages of `other`.
    pub(crate) fn append(&mut self, other: &mut Self) {
        while let Some(page) = other.pop() {
            self.put(page);
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
