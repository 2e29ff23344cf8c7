// SPDX-License-Identifier: GPL-2.0-only

//! Directory blocks.
//!
//! ```text
//! | entry 0 | entry 1 | ... | entry n-1 | name 0 | name 1 | ... | name n-1 | 0 ... |
//!   12 bytes each             ^ entry 0's name offset
//! ```
//!
//! The entries of a block are sorted by name, and the blocks of a directory by their first names, so
//! a name is found by a binary search over blocks ([`BlockSearch`]) and another within one
//! ([`find()`]). A name ends where the next begins, the last one at a NUL or the block's end.
//!
//! Lookup trusts the name offsets no further than that they cannot point out of the block;
//! [`Entries`] checks each.
//!
//! C: `erofs_namei()`, `erofs_readdir()`.

use zerocopy::{
    little_endian::{
        U16,
        U64, //
    },
    FromBytes, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use crate::{
    meta::record,
    super_block::NAME_LEN,
    Error,
    Nid,
    Result, //
};

#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDirent {
    nid: U64,
    nameoff: U16,
    file_type: u8,
    reserved: u8,
}

/// The size of a directory entry without its name, in bytes.
pub const DIRENT_SIZE: u32 = 12;

const _: () = assert!(size_of::<RawDirent>() == DIRENT_SIZE as usize);

/// `d_type` of `readdir()` for the file type in a directory entry.
#[inline]
pub fn d_type(file_type: u8) -> u8 {
    // DT_UNKNOWN, DT_REG, DT_DIR, DT_CHR, DT_BLK, DT_FIFO, DT_SOCK, DT_LNK
    const DT: [u8; 8] = [0, 8, 4, 2, 6, 1, 12, 10];

    DT.get(usize::from(file_type)).copied().unwrap_or(0)
}

/// What a name was found to stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// The inode's number.
    pub nid: Nid,
    /// The file type as in [`d_type()`]'s argument; not checked against the inode's.
    pub file_type: u8,
}

/// A whole directory block; its size is a power of 2. What is behind the directory's end is 0.
#[derive(Clone, Copy)]
struct Block<'a> {
    bytes: &'a [u8],
    /// One or more.
    entries: &'a [RawDirent],
}

impl<'a> Block<'a> {
    /// The first name follows the entries.
    #[inline]
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let nameoff = mask(bytes, record::<RawDirent>(bytes)?);
        let fault = Error::NameOffset(nameoff as u16);
        let count = match nameoff.checked_div(DIRENT_SIZE as usize) {
            Some(count) if count != 0 => count,
            _ => return Err(fault),
        };
        match <[RawDirent]>::ref_from_prefix_with_elems(bytes, count) {
            Ok((entries, _)) => Ok(Self { bytes, entries }),
            Err(_) => Err(fault),
        }
    }

    /// The name of entry `index`; up to a NUL that may be in it. Offsets in the wrong order leave no
    /// name, and lookup passes over it.
    #[inline]
    fn name(self, index: usize) -> &'a [u8] {
        let Some((entry, behind)) = self.entries.get(index..).and_then(<[_]>::split_first) else {
            return &[];
        };
        let end = match behind.first() {
            Some(next) => mask(self.bytes, next),
            None => self.bytes.len(),
        };
        let name = self.bytes.get(mask(self.bytes, entry)..end);
        name.unwrap_or(&[])
    }

    #[inline]
    fn found(self, index: usize) -> Option<Found> {
        let entry = self.entries.get(index)?;

        Some(Found {
            nid: Nid(entry.nid.get()),
            file_type: entry.file_type,
        })
    }
}

/// An entry's name offset, made to point into the block.
#[inline]
fn mask(block: &[u8], entry: &RawDirent) -> usize {
    usize::from(entry.nameoff.get()) & block.len().wrapping_sub(1)
}

/// How the wanted name stands to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    Before,
    Same,
    After,
}

/// The bounds of a binary search, with the length of the prefix that the wanted name shares with the
/// names at both.
#[derive(Clone, Copy, Debug)]
struct Search<'n> {
    name: &'n [u8],
    /// The range that is left.
    head: u64,
    end: u64,
    head_prefix: usize,
    end_prefix: usize,
}

impl<'n> Search<'n> {
    fn new(name: &'n [u8], head: u64, end: u64) -> Self {
        Self {
            name,
            head,
            end,
            head_prefix: 0,
            end_prefix: 0,
        }
    }

    #[inline]
    fn middle(&self) -> Option<u64> {
        let last = self.end.checked_sub(1)?;
        let distance = last.checked_sub(self.head)?;

        Some(self.head.saturating_add(distance.wrapping_shr(1)))
    }

    /// Compares with the name at the middle, and halves the range.
    #[inline]
    fn narrow(&mut self, middle: u64, other: &[u8]) -> Order {
        let shared = self.head_prefix.min(self.end_prefix);
        let (order, shared) = compare(self.name, other, shared);

        match order {
            Order::Before => {
                self.end = middle;
                self.end_prefix = shared;
            }
            Order::After => {
                self.head = middle.saturating_add(1);
                self.head_prefix = shared;
            }
            Order::Same => {}
        }
        order
    }
}

/// Compares `name`, which has no NUL, with `other`, which ends at one, from byte `shared` on; up to
/// there they are taken to be equal. Returns how many bytes are.
#[inline]
fn compare(name: &[u8], other: &[u8], shared: usize) -> (Order, usize) {
    let wanted = name.get(shared..).unwrap_or(&[]);
    let other = other.get(shared..).unwrap_or(&[]);
    let differs = wanted.iter().zip(other).position(|(w, c)| w != c);
    let same = differs.unwrap_or(wanted.len().min(other.len()));
    // A NUL comes before all else.
    let order = match (wanted.get(same), other.get(same)) {
        (None, None | Some(0)) => Order::Same,
        (None, Some(_)) => Order::Before,
        (Some(_), None) => Order::After,
        (Some(w), Some(c)) if w < c => Order::Before,
        (Some(_), Some(_)) => Order::After,
    };
    (order, shared.saturating_add(same))
}

/// What [`BlockSearch::feed()`] learnt from a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The name is the block's first.
    Found(Found),
    /// If the name exists, it is in this block or in a later one: keep this block for [`find()`].
    Keep,
    /// If the name exists, it is in an earlier block.
    Earlier,
}

/// The search for the block of a directory that a name would be in.
///
/// The caller reads block [`BlockSearch::next()`] and feeds it, until the name is found or there is
/// no next block. Then the name is in the last block that was to be kept, or nowhere.
#[derive(Clone, Copy, Debug)]
pub struct BlockSearch<'n>(Search<'n>);

impl<'n> BlockSearch<'n> {
    /// The search for `name` in a directory of `blocks` blocks ([`BlockBits::blocks()`] of its
    /// size).
    ///
    /// [`BlockBits::blocks()`]: crate::meta::BlockBits::blocks
    pub fn new(name: &'n [u8], blocks: u64) -> Self {
        Self(Search::new(name, 0, blocks))
    }

    /// The directory's block to be read next.
    #[inline]
    pub fn next(&self) -> Option<u64> {
        self.0.middle()
    }

    /// Takes the block that [`Self::next()`] named, as a whole.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if the block has no entries.
    #[inline]
    pub fn feed(&mut self, block: &[u8]) -> Result<Step> {
        let middle = self.0.middle().ok_or(Error::Dirent)?;
        let block = Block::new(block)?;

        Ok(match self.0.narrow(middle, block.name(0)) {
            Order::Same => Step::Found(block.found(0).ok_or(Error::Dirent)?),
            Order::After => Step::Keep,
            Order::Before => Step::Earlier,
        })
    }
}

/// Looks for `name` in the block that [`BlockSearch`] ended with; it is known not to be the first
/// there. `None` is the C driver's `ENOENT`.
///
/// # Errors
///
/// `EUCLEAN` if the block has no entries.
pub fn find(block: &[u8], name: &[u8]) -> Result<Option<Found>> {
    let block = Block::new(block)?;
    let mut search = Search::new(name, 1, block.entries.len() as u64);

    while let Some(middle) = search.middle() {
        let index = middle as usize;

        if search.narrow(middle, block.name(index)) == Order::Same {
            return Ok(block.found(index));
        }
    }
    Ok(None)
}

/// A directory entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry<'a> {
    /// Where it is in its block, in bytes.
    pub offset: u32,
    /// The inode's number.
    pub nid: Nid,
    /// The file type as in [`d_type()`]'s argument.
    pub file_type: u8,
    /// The name, 1 to 255 bytes. A slash or a NUL in it is not looked for: the VFS does so.
    pub name: &'a [u8],
}

/// The entries of a directory block, each checked, for `readdir()`.
///
/// The position of an entry in a directory is its byte position there, and that of the next block
/// when a block's entries are over.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    block: &'a [u8],
    /// The part of the block that is in the directory: names are there.
    size: usize,
    /// The next entry, and where the entries end.
    offset: u32,
    end: u32,
}

impl<'a> Entries<'a> {
    /// The entries of a whole block from byte `offset` of it on, or from the next entry's begin. Only
    /// the block's first `size` bytes are in the directory.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if the first name's offset cannot be.
    #[inline]
    pub fn new(block: &'a [u8], size: u32, offset: u32) -> Result<Self> {
        let nameoff = record::<RawDirent>(block)?.nameoff.get();
        let end = u32::from(nameoff);

        if end == 0 || end as usize >= block.len() || !is_entry_offset(end) {
            return Err(Error::NameOffset(nameoff));
        }
        Ok(Self {
            block,
            size: size as usize,
            offset: next_entry_offset(offset),
            end,
        })
    }

    /// Where in the block the next entry would be. After a seek into the middle of an entry this is
    /// not where the seek went to.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    #[inline]
    fn dirent(&self, offset: u32) -> Result<&'a RawDirent> {
        record(self.block.get(offset as usize..).ok_or(Error::Dirent)?).map_err(|_| Error::Dirent)
    }

    #[inline]
    fn entry(&self) -> Result<Entry<'a>> {
        let dirent = self.dirent(self.offset)?;
        let start = usize::from(dirent.nameoff.get());
        let next = self.offset.saturating_add(DIRENT_SIZE);
        let names = self.block.get(..self.size).unwrap_or(self.block);

        let name = if next < self.end {
            names.get(start..usize::from(self.dirent(next)?.nameoff.get()))
        } else {
            let rest = names.get(start..);
            rest.and_then(|rest| rest.split(|&c| c == 0).next())
        };
        match name {
            Some(name) if !name.is_empty() && name.len() <= NAME_LEN => Ok(Entry {
                offset: self.offset,
                nid: Nid(dirent.nid.get()),
                file_type: dirent.file_type,
                name,
            }),
            _ => Err(Error::Dirent),
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    /// The next entry; `EUCLEAN` if its name is empty, too long or outside of the block, and then no
    /// further one.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.end {
            return None;
        }
        let entry = self.entry();

        self.offset = match entry {
            Ok(_) => self.offset.saturating_add(DIRENT_SIZE),
            Err(_) => self.end,
        };
        Some(entry)
    }
}

fn is_entry_offset(offset: u32) -> bool {
    next_entry_offset(offset) == offset
}

/// `offset` rounded up to an entry's begin.
fn next_entry_offset(offset: u32) -> u32 {
    let index = offset.saturating_add(DIRENT_SIZE - 1) / DIRENT_SIZE;

    index.saturating_mul(DIRENT_SIZE)
}
