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
        let mut list = Self::default();
        list.fill_with(len, flags, item)?;
        Ok(list)
    }

    /// Makes it a list of `len` items, where it stands; an empty one without memory.
    #[inline]
    pub fn fill_with(
        &mut self,
        len: usize,
        flags: Flags,
        item: impl Fn() -> T,
    ) -> Result<(), AllocError> {
        self.clear();
        if len > N {
            let mut many = KVVec::with_capacity(len, flags)?;
            for _ in 0..len {
                // There is room.
                let _ = many.push_within_capacity(item());
            }
            self.0 = Room::There(many);
            return Ok(());
        }
        // INVARIANT: none is, and with each item one more.
        self.0 = Room::Here {
            items: [const { MaybeUninit::uninit() }; N],
            len: 0,
        };
        if let Room::Here { items, len: filled } = &mut self.0 {
            for place in items.iter_mut().take(len) {
                place.write(item());
                *filled += 1;
            }
        }
        Ok(())
    }

    /// Drops all items. What memory there is stays.
    fn clear(&mut self) {
        match &mut self.0 {
            Room::There(many) => many.clear(),
            Room::Here { items, len } => {
                // INVARIANT: none is, even if dropping one of them goes wrong.
                let len = core::mem::take(len);
                let items =
                    core::ptr::slice_from_raw_parts_mut(items.as_mut_ptr().cast::<T>(), len);
                // SAFETY: By the invariants so many were initialised, and nobody looks at them again.
                unsafe { core::ptr::drop_in_place(items) };
            }
        }
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
        // The other one drops its items by itself.
        if let Room::Here { .. } = self.0 {
            self.clear();
        }
    }
}
