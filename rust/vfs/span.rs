// SPDX-License-Identifier: GPL-2.0-only

//! The bytes of several pages as one range of addresses, for decoders in C.
//!
//! No reference to these bytes is ever made: some are of page cache folios.
//!
//! C headers: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use crate::{
    bindings::{
        self,
        helpers, //
    },
    few::Few,
    page::Alloc, //
};
use core::ptr::NonNull;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// How often address space is looked for.
const TRIES: usize = 3;

/// A page, or a place for one.
pub(crate) type Slot = Option<NonNull<bindings::page>>;

/// The pages of something, most often few, in order.
pub(crate) type PageList = Few<Slot, 8>;

/// Makes `list` one of `len` places without a page. `ENOMEM`.
#[inline]
pub(crate) fn make_places(list: &mut PageList, len: usize, alloc: Alloc) -> Result {
    Ok(alloc.within(|| list.fill_with(len, alloc.flags(), || None))?)
}

/// Returns the address of a page's first byte.
///
/// # Safety
///
/// The page is live, and is a [`Page`](crate::page::Page) or one of a folio that is being read.
pub(crate) unsafe fn address(page: NonNull<bindings::page>) -> *mut u8 {
    // SAFETY: The page is live. It is not in high memory, so it has an address: pages of one's own
    // are allocated by `GFP_KERNEL`, and `NewInode::init` keeps the page caches of inodes out of there.
    unsafe { helpers::page_address(page.as_ptr()) }.cast()
}

/// Pages that follow each other in the kernel's address space.
///
/// # Invariants
///
/// `address` is that of `mapped` pages that are mapped for it alone; where `mapped` is 0 the pages
/// follow each other in memory, and have it anyway.
pub(crate) struct Span {
    address: NonNull<u8>,
    mapped: u32,
}

impl Span {
    /// Maps `pages`, at least one and without gaps. `ENOMEM` if there is no address space. May
    /// sleep.
    ///
    /// # Safety
    ///
    /// The pages are live for as long as the result.
    pub(crate) unsafe fn map(pages: &[Slot]) -> Result<Self> {
        // SAFETY: The caller has live pages.
        if let Some(address) = unsafe { contiguous(pages) } {
            // INVARIANT: they have it anyway.
            return Ok(Self { address, mapped: 0 });
        }
        if pages.is_empty() || pages.iter().any(Option::is_none) {
            return Err(EINVAL);
        }
        let count = u32::try_from(pages.len())?;
        for n in 0..TRIES {
            if n > 0 {
                // SAFETY: It gives back what was unmapped, but not yet everywhere, which nobody uses.
                unsafe { bindings::vm_unmap_aliases() };
            }
            // SAFETY: an array of pointers to live pages, as none is missing, that is only read.
            let address = unsafe {
                bindings::vm_map_ram(
                    pages.as_ptr().cast_mut().cast(),
                    count,
                    bindings::NUMA_NO_NODE,
                )
            };
            if let Some(address) = NonNull::new(address.cast()) {
                // INVARIANT: just mapped.
                return Ok(Self {
                    address,
                    mapped: count,
                });
            }
        }
        Err(ENOMEM)
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }
}

/// The address of pages that follow each other in memory.
///
/// # Safety
///
/// As for [`address`], of all pages.
unsafe fn contiguous(pages: &[Slot]) -> Option<NonNull<u8>> {
    let (first, rest) = pages.split_first()?;
    // SAFETY: The caller has live pages.
    let first = unsafe { address((*first)?) };
    let mut end = first;
    for page in rest {
        end = end.wrapping_add(PAGE_SIZE);
        // SAFETY: The caller has live pages.
        if unsafe { address((*page)?) } != end {
            return None;
        }
    }
    NonNull::new(first)
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.mapped != 0 {
            // SAFETY: So many pages are mapped there, for this alone.
            unsafe { bindings::vm_unmap_ram(self.as_ptr().cast(), self.mapped) };
        }
    }
}
