// SPDX-License-Identifier: GPL-2.0-only

//! Memory that decoders work with.
//!
//! A context is made when one is wanted and none is free, up to one for each CPU, and kept when it is
//! given back. Those that are free can be had back by [`Contexts::shrink`]: all but one, as long as
//! somebody may want it. So whoever waits for a context gets one without any memory being there.

use super::{
    deflate,
    lzma,
    zstd,
    Algorithm,
    CodecError, //
};
use crate::{
    bindings::helpers,
    page::Alloc, //
};
use core::{
    mem::ManuallyDrop,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    new_condvar,
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        SpinLock, //
    }, //
};

/// The contexts of all algorithms.
#[pin_data]
pub struct Contexts {
    #[pin]
    pub(super) lzma: Store<lzma::Context>,
    #[pin]
    pub(super) deflate: Store<deflate::Context>,
    #[pin]
    pub(super) zstd: Store<zstd::Context>,
}

impl Contexts {
    /// None yet. `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        let this = pin_init!(Self {
            lzma <- Store::new(),
            deflate <- Store::new(),
            zstd <- Store::new(),
        });
        Arc::pin_init(this, GFP_KERNEL)
    }

    /// Sees to it that there is a context for `algorithm` until it is released.
    pub(super) fn acquire(&self, algorithm: Algorithm) -> Result {
        match algorithm {
            Algorithm::Lz4 => Ok(()),
            Algorithm::Lzma { dict } => self.lzma.acquire(dict as usize),
            Algorithm::Deflate => self.deflate.acquire(0),
            Algorithm::Zstd { window } => self.zstd.acquire(window as usize),
        }
    }

    pub(super) fn release(&self, algorithm: Algorithm) {
        match algorithm {
            Algorithm::Lz4 => {}
            Algorithm::Lzma { .. } => self.lzma.release(),
            Algorithm::Deflate => self.deflate.release(),
            Algorithm::Zstd { .. } => self.zstd.release(),
        }
    }

    /// Returns how many pages can be freed now.
    pub fn count(&self) -> usize {
        self.lzma.count() + self.deflate.count() + self.zstd.count()
    }

    /// Frees contexts of `pages` pages or a little more; returns how many pages. May sleep, but waits
    /// for no decoder.
    pub fn shrink(&self, pages: usize) -> usize {
        let mut done = self.lzma.shrink(pages);
        done += self.deflate.shrink(pages.saturating_sub(done));
        done + self.zstd.shrink(pages.saturating_sub(done))
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl Contexts {
    /// For tests: takes one of DEFLATE, until what it gives is dropped.
    pub(crate) fn hold(&self) -> Result<impl Sized + '_, CodecError> {
        self.deflate.take(Alloc::Wait)
    }

    /// For tests: has one more of DEFLATE free, as if a further CPU had used it. Returns its pages.
    pub(crate) fn add_free(&self) -> Result<usize> {
        let node = Node::<deflate::Context>::new(0, Alloc::Wait)?;
        let pages = node.context.pages();
        let mut state = self.deflate.state.lock();
        state.total += 1;
        state.push(node);
        Ok(pages)
    }
}

/// What a decoder keeps between two streams.
pub(super) trait Context: Sized + Send {
    /// One for windows of up to `size` bytes.
    fn new(size: usize, alloc: Alloc) -> Result<Self>;

    /// Returns how many pages of memory it takes, about.
    fn pages(&self) -> usize;
}

/// Memory that a decoder divides as it likes.
pub(super) struct Workspace(KVVec<u64>);

impl Workspace {
    pub(super) fn new(size: usize, alloc: Alloc) -> Result<Self> {
        let words = size.div_ceil(size_of::<u64>());
        Ok(Self(
            alloc.within(|| KVVec::with_capacity(words, alloc.flags()))?,
        ))
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// In bytes.
    pub(super) fn len(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }

    pub(super) fn pages(&self) -> usize {
        self.len().div_ceil(PAGE_SIZE)
    }
}

/// The contexts of one algorithm.
#[pin_data]
pub(super) struct Store<C> {
    #[pin]
    state: SpinLock<State<C>>,
    #[pin]
    given_back: CondVar,
}

struct State<C> {
    /// Those that are free, all of this size.
    free: Option<KBox<Node<C>>>,
    size: usize,
    /// How many are free; how many of this size there are; how many are being made.
    kept: usize,
    total: usize,
    making: usize,
    /// How many decoders there are. If there is any, `total` is not 0.
    users: usize,
}

struct Node<C> {
    context: C,
    size: usize,
    next: Option<KBox<Node<C>>>,
}

impl<C: Context> Node<C> {
    fn new(size: usize, alloc: Alloc) -> Result<KBox<Self>> {
        let context = C::new(size, alloc)?;
        let node = Self {
            context,
            size,
            next: None,
        };
        Ok(KBox::new(node, alloc.flags())?)
    }
}

impl<C> State<C> {
    fn push(&mut self, mut node: KBox<Node<C>>) {
        node.next = self.free.take();
        self.free = Some(node);
        self.kept += 1;
    }

    fn pop(&mut self) -> Option<KBox<Node<C>>> {
        let mut node = self.free.take()?;
        self.free = node.next.take();
        self.kept -= 1;
        Some(node)
    }

    /// How many of the free ones can go.
    fn spare(&self) -> usize {
        let needed = usize::from(self.users > 0 && self.total == self.kept);
        self.kept - needed
    }
}

impl<C: Context> Store<C> {
    fn new() -> impl PinInit<Self> {
        let state = State {
            free: None,
            size: 0,
            kept: 0,
            total: 0,
            making: 0,
            users: 0,
        };
        pin_init!(Self {
            state <- new_spinlock!(state, "vfs_contexts"),
            given_back <- new_condvar!("vfs_contexts"),
        })
    }

    /// There is one for windows of `size` bytes from now on.
    fn acquire(&self, size: usize) -> Result {
        {
            let mut state = self.state.lock();
            if state.users > 0 && size <= state.size {
                state.users += 1;
                return Ok(());
            }
        }
        let node = Node::new(size, Alloc::Wait)?;
        let (unused, mut old) = {
            let mut state = self.state.lock();
            state.users += 1;
            if state.users > 1 && size <= state.size {
                (Some(node), None)
            } else {
                // Those that are free are too small, and those that are in use will not come back.
                state.size = size;
                let old = state.free.take();
                (state.kept, state.total) = (0, 1);
                state.push(node);
                (None, old)
            }
        };
        self.given_back.notify_all();
        drop(unused);
        while let Some(mut node) = old {
            old = node.next.take();
        }
        Ok(())
    }

    fn release(&self) {
        self.state.lock().users -= 1;
        // With the last user all can go, and do: what is not used costs nothing.
        while let Some(_node) = self.remove(|state| state.users == 0) {}
    }

    /// Takes a free one out for good.
    fn remove(&self, may: impl FnOnce(&State<C>) -> bool) -> Option<KBox<Node<C>>> {
        let mut state = self.state.lock();
        if !may(&state) {
            return None;
        }
        let node = state.pop()?;
        state.total -= 1;
        Some(node)
    }

    /// In pages.
    fn count(&self) -> usize {
        let state = self.state.lock();
        // All are of one size.
        let pages = state.free.as_ref().map_or(0, |node| node.context.pages());
        state.spare() * pages
    }

    fn shrink(&self, pages: usize) -> usize {
        let mut done = 0;
        while done < pages {
            let Some(node) = self.remove(|state| state.spare() > 0) else {
                break;
            };
            done += node.context.pages();
        }
        done
    }

    /// A context: a free one, else a new one, else one that somebody gives back. May sleep.
    ///
    /// Whoever has one does not wait for anything but a CPU.
    pub(super) fn take(&self, alloc: Alloc) -> Result<Lease<'_, C>, CodecError> {
        // SAFETY: It reads a counter.
        let most = unsafe { helpers::num_online_cpus() } as usize;
        let mut may_make = true;
        let mut state = self.state.lock();
        loop {
            if let Some(node) = state.pop() {
                return Ok(Lease::new(self, node));
            }
            if may_make && state.total + state.making < most {
                state.making += 1;
                let size = state.size;
                drop(state);
                let made = Node::new(size, alloc);
                state = self.state.lock();
                state.making -= 1;
                if size == state.size {
                    if let Ok(node) = made {
                        state.total += 1;
                        return Ok(Lease::new(self, node));
                    }
                    may_make = false;
                } else {
                    // They have grown: this one is too small. What there is must be freed unlocked.
                    drop(state);
                    drop(made);
                    state = self.state.lock();
                }
                continue;
            }
            if state.total == 0 {
                return Err(CodecError::NoMemory);
            }
            self.given_back.wait(&mut state);
        }
    }

    fn put(&self, node: KBox<Node<C>>) {
        let mut state = self.state.lock();
        if node.size == state.size {
            state.push(node);
            drop(state);
            self.given_back.notify_one();
        } else {
            drop(state);
            drop(node);
        }
    }
}

/// A context for one decoding; it is given back with this.
pub(super) struct Lease<'a, C: Context> {
    store: &'a Store<C>,
    node: ManuallyDrop<KBox<Node<C>>>,
}

impl<'a, C: Context> Lease<'a, C> {
    fn new(store: &'a Store<C>, node: KBox<Node<C>>) -> Self {
        Self {
            store,
            node: ManuallyDrop::new(node),
        }
    }
}

impl<C: Context> Deref for Lease<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.node.context
    }
}

impl<C: Context> DerefMut for Lease<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.node.context
    }
}

impl<C: Context> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        // SAFETY: this is the end of it, and the only place that takes the node.
        let node = unsafe { ManuallyDrop::take(&mut self.node) };
        self.store.put(node);
    }
}
