// SPDX-License-Identifier: GPL-2.0-only

//! A list like the kernel's: it can be short of memory, and never gets any in a lock.

use std::cell::Cell;

use erofs_chain::{
    List,
    NoMemory, //
};

thread_local! {
    /// How many requests for memory succeed until the first one fails.
    pub static MEMORY: Cell<usize> = const { Cell::new(usize::MAX) };
    /// How many cells there are.
    pub static CELLS: Cell<usize> = const { Cell::new(0) };
}

pub fn allocate() -> Result<(), NoMemory> {
    MEMORY.set(MEMORY.get().checked_sub(1).ok_or(NoMemory)?);
    Ok(())
}

pub struct Items<I>(Vec<I>);

impl<I> Default for Items<I> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<I> List<I> for Items<I> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn reserve(&mut self, more: usize) -> Result<(), NoMemory> {
        if self.0.capacity() - self.0.len() < more {
            allocate()?;
            self.0.reserve_exact(more);
        }
        Ok(())
    }

    fn push(&mut self, item: I) -> Result<(), NoMemory> {
        self.reserve(1)?;
        self.0.push(item);
        Ok(())
    }

    fn pop(&mut self) -> Option<I> {
        self.0.pop()
    }

    fn append(&mut self, other: &mut Self) -> Result<(), NoMemory> {
        if self.0.capacity() - self.0.len() < other.0.len() {
            return Err(NoMemory);
        }
        self.0.append(&mut other.0);
        Ok(())
    }
}

impl<I> Drop for Items<I> {
    fn drop(&mut self) {
        assert!(
            self.0.is_empty() || std::thread::panicking(),
            "claims are lost"
        );
    }
}
