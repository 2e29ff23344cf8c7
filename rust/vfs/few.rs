// SPDX-License-Identifier: GPL-2.0-only

//! Lists of a known length, which mostly is small.

use core::{
    mem::MaybeUninit,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*, //
};

/// A list with room for a number of items that is known when it is made: in itself if there are not
/// more than `N`, else in memory of its own.
pub struct Few<T, const N: usize>(Room<T, N>);

/// # Invariants
///
/// Of `Here`, the first `len` are initialised.
enum Room<T, const N: usize> {
    Here {
        items: [MaybeUninit<T>; N],
        len: usize,
    },
    There(KVVec<T>),
}

impl<T, const N: usize> Default for Few<T, N> {
    /// An empty list with room for `N` items.
    fn default() -> Self {
        // INVARIANT: none is.
        Self(Room::Here {
            items: [const { MaybeUninit::uninit() }; N],
            len: 0,
        })
    }
}

impl<T, const N: usize> Few<T, N> {
    /// An empty list with room for `capacity` items.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        if capacity <= N {
            return Ok(Self::default());
        }
        Ok(Self(Room::There(KVVec::with_capacity(capacity, flags)?)))
    }

    /// A list of `len` items.
    #[inline]
    pub fn filled_with(len: usize, flags: Flags, item: impl Fn() -> T) -> Result<Self, AllocError> {
        let mut list = Self::with_capacity(len, flags)?;
        match &mut list.0 {
            Room::There(many) => {
                for _ in 0..len {
                    // There is room.
                    let _ = many.push_within_capacity(item());
                }
            }
            Room::Here { items, len: filled } => {
                for place in items.iter_mut().take(len) {
                    place.write(item());
                }
                // INVARIANT: these.
                *filled = len;
            }
        }
        Ok(list)
    }

    /// Adds `item` to the end. Gives it back if there is no room for it.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        match &mut self.0 {
            Room::There(many) => many.push_within_capacity(item).map_err(|e| e.0),
            Room::Here { items, len } => match items.get_mut(*len) {
                None => Err(item),
                Some(place) => {
                    place.write(item);
                    // INVARIANT: it is the next one.
                    *len += 1;
                    Ok(())
                }
            },
        }
    }

    /// Whether there is no more room.
    pub fn is_full(&self) -> bool {
        match &self.0 {
            Room::There(many) => many.len() == many.capacity(),
            Room::Here { len, .. } => *len == N,
        }
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Room::There(many) => many,
            // SAFETY: The first `len` are initialised by the invariants, and lie in a row.
            Room::Here { items, len } => unsafe {
                core::slice::from_raw_parts(items.as_ptr().cast(), *len)
            },
        }
    }
}

impl<T, const N: usize> DerefMut for Few<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Room::There(many) => many,
            // SAFETY: The first `len` are initialised by the invariants, and lie in a row; the borrow
            // is unique.
            Room::Here { items, len } => unsafe {
                core::slice::from_raw_parts_mut(items.as_mut_ptr().cast(), *len)
            },
        }
    }
}

impl<T, const N: usize> Drop for Few<T, N> {
    fn drop(&mut self) {
        let Room::Here { items, len } = &mut self.0 else {
            return;
        };
        let items = core::ptr::slice_from_raw_parts_mut(items.as_mut_ptr().cast::<T>(), *len);
        // SAFETY: The first `len` are initialised by the invariants, and nobody looks at them again.
        unsafe { core::ptr::drop_in_place(items) };
    }
}
