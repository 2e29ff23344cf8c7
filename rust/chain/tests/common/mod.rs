// SPDX-License-Identifier: GPL-2.0-only

//! A list like the kernel's: what it has no room for it does not take.

use erofs_chain::{
    List,
    NoMemory, //
};

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
        self.0.reserve_exact(more);
        Ok(())
    }

    fn push(&mut self, item: I) -> Result<(), NoMemory> {
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
        assert!(self.0.is_empty() || std::thread::panicking(), "claims are lost");
    }
}
