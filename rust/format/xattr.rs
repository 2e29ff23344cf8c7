// SPDX-License-Identifier: GPL-2.0-only

//! Extended attributes.
//!
//! ```text
//! inode's xattr area:  | header, 12 bytes | shared ids, 4 bytes each | entries ... |
//! entry:               | name length, name index, value size | name | value | 0..3 bytes |
//! ```
//!
//! A shared id counts 4-byte units from the start of the shared xattrs, where a single entry stands.
//! An entry is 4-byte aligned; its name and value can go over blocks' ends.
//!
//! A name is split into a prefix, which its index stands for, and the rest. An index with bit 7 set
//! stands for a long prefix: a short prefix and an infix from the image's table.
//!
//! C: `fs/erofs/xattr.c`.

use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use crate::{
    meta::{
        record,
        Area,
        Source, //
    },
    super_block::{
        compat,
        incompat,
        NAME_LEN, //
    },
    Error,
    Inode,
    Result,
    SuperBlock, //
};

/// `user.`
pub const INDEX_USER: u8 = 1;
/// `system.posix_acl_access`, with an empty rest.
pub const INDEX_POSIX_ACL_ACCESS: u8 = 2;
/// `system.posix_acl_default`, with an empty rest.
pub const INDEX_POSIX_ACL_DEFAULT: u8 = 3;
/// `trusted.`
pub const INDEX_TRUSTED: u8 = 4;
/// `security.`
pub const INDEX_SECURITY: u8 = 6;

/// A name index of a long prefix; the other bits number it.
const LONG_PREFIX: u8 = 0x80;

/// The filter's bits of the two ACLs.
const FILTER_NO_ACL: u32 = (1 << 21) | (1 << 30);

const HEADER_SIZE: u32 = 12;
const ENTRY_SIZE: u32 = 4;
const ID_SIZE: u32 = 4;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    name_filter: U32,
    shared_count: u8,
    reserved2: [u8; 7],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    name_len: u8,
    name_index: u8,
    value_size: U16,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_SIZE as usize);
const _: () = assert!(size_of::<RawEntry>() == ENTRY_SIZE as usize);

/// The name prefix that a short index stands for. `None` if there is no handler for it.
pub fn prefix(index: u8) -> Option<&'static [u8]> {
    Some(match index {
        INDEX_USER => b"user.",
        INDEX_POSIX_ACL_ACCESS => b"system.posix_acl_access",
        INDEX_POSIX_ACL_DEFAULT => b"system.posix_acl_default",
        INDEX_TRUSTED => b"trusted.",
        INDEX_SECURITY => b"security.",
        _ => return None,
    })
}

/// The names that an inode does not have, as 32 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Filter(u32);

impl Filter {
    /// The filter in the header of an inode's xattr area ([`Xattrs::header()`]). `None` if the image
    /// has no filters.
    ///
    /// # Errors
    ///
    /// `EIO` if `bytes` are too few.
    #[inline]
    pub fn parse(sb: &SuperBlock, bytes: &[u8]) -> Result<Option<Self>> {
        let raw: &RawHeader = record(bytes)?;

        Ok(sb.xattr_filter.then_some(Filter(raw.name_filter.get())))
    }

    /// The seed of the XXH32 hash of a name's rest.
    #[inline]
    pub fn seed(index: u8) -> u32 {
        0x25BB_E08Fu32.wrapping_add(u32::from(index))
    }

    /// Whether the inode is sure not to have the name of hash `hash`.
    #[inline]
    pub fn excludes(self, hash: u32) -> bool {
        self.0.wrapping_shr(hash & 31) & 1 != 0
    }

    /// Whether the inode is sure to have no ACL.
    pub fn excludes_acl(self) -> bool {
        self.0 & FILTER_NO_ACL == FILTER_NO_ACL
    }
}

/// The header of an inode's xattr area, with what is needed to go through the area.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Xattrs {
    /// The names that the inode does not have; `None` if the image has no filters.
    pub filter: Option<Filter>,
    /// The number of shared xattrs.
    pub shared_count: u8,
}

impl Xattrs {
    /// Where the header is. `None` if the inode has no xattrs (`ENODATA`).
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if there is a header and nothing else.
    pub fn header(inode: &Inode) -> Result<Option<Area>> {
        match inode.xattr_size {
            0 => Ok(None),
            HEADER_SIZE => Err(Error::XattrHeaderOnly),
            _ => Ok(Some(inode.xattr_area().part(0, HEADER_SIZE))),
        }
    }

    /// Parses the header.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if there is no place for all shared ids, `EIO` if `bytes` are too few.
    #[inline]
    pub fn parse(sb: &SuperBlock, inode: &Inode, bytes: &[u8]) -> Result<Self> {
        let raw: &RawHeader = record(bytes)?;
        let ids = u32::from(raw.shared_count).saturating_mul(ID_SIZE);

        if ids > inode.xattr_size.saturating_sub(HEADER_SIZE) {
            return Err(Error::XattrSharedCount(raw.shared_count));
        }
        Ok(Self {
            filter: Filter::parse(sb, bytes)?,
            shared_count: raw.shared_count,
        })
    }

    /// The ids of the shared xattrs, for [`shared_ids()`].
    #[inline]
    pub fn shared(&self, inode: &Inode) -> Area {
        let len = u32::from(self.shared_count).saturating_mul(ID_SIZE);

        inode.xattr_area().part(HEADER_SIZE, len)
    }

    /// The entries in the inode.
    #[inline]
    pub fn inline(&self, inode: &Inode) -> InlineEntries {
        let ids = self.shared(inode);
        let len = inode
            .xattr_size
            .saturating_sub(HEADER_SIZE)
            .saturating_sub(ids.len);

        InlineEntries(ids.part(ids.len, len))
    }
}

/// The shared ids in the bytes of [`Xattrs::shared()`], or in a part of them.
#[inline]
pub fn shared_ids(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes
        .chunks_exact(ID_SIZE as usize)
        .filter_map(|id| record::<U32>(id).ok())
        .map(|id| id.get())
}

impl SuperBlock {
    /// Where the header of the shared xattr `id` is.
    #[inline]
    pub fn shared_xattr(&self, id: u32) -> Area {
        let base = self.block.pos(u64::from(self.xattr_blkaddr));

        Area {
            source: match self.features.has_compat(compat::SHARED_EA_IN_METABOX) {
                true => Source::Metabox,
                false => Source::Device,
            },
            pos: u64::from(id)
                .saturating_mul(u64::from(ID_SIZE))
                .saturating_add(base),
            len: ENTRY_SIZE,
        }
    }
}

/// What a walk through the entries in an inode has left.
#[derive(Clone, Copy, Debug)]
pub struct InlineEntries(Area);

impl InlineEntries {
    /// Where the next entry's header is; `None` if there is no further one.
    #[inline]
    pub fn wanted(&self) -> Option<Area> {
        (self.0.len != 0).then(|| self.0.part(0, ENTRY_SIZE))
    }

    /// Takes the header that [`Self::wanted()`] named, and goes past its entry.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if the entry goes over the area's end, `EIO` if `bytes` are too few.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Entry> {
        let entry = Entry::parse(self.0, bytes)?;
        let rest = self
            .0
            .len
            .checked_sub(entry.size())
            .ok_or(Error::XattrEntry)?;

        self.0 = self.0.part(entry.size(), rest);
        Ok(entry)
    }
}

/// A xattr entry: its header, and where its name and value are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Which prefix the name has.
    pub index: NameIndex,
    /// The name without its prefix, 255 bytes at most.
    pub name: Area,
    /// The value, 65535 bytes at most.
    pub value: Area,
}

impl Entry {
    /// Parses the header of the entry that begins where `at` does.
    ///
    /// # Errors
    ///
    /// `EIO` if `bytes` are too few.
    #[inline]
    pub fn parse(at: Area, bytes: &[u8]) -> Result<Self> {
        let raw: &RawEntry = record(bytes)?;
        let name = at.part(ENTRY_SIZE, u32::from(raw.name_len));

        Ok(Self {
            index: NameIndex::new(raw.name_index),
            name,
            value: name.part(name.len, u32::from(raw.value_size.get())),
        })
    }

    /// The size with header and padding.
    #[inline]
    fn size(&self) -> u32 {
        ENTRY_SIZE
            .saturating_add(self.name.len)
            .saturating_add(self.value.len)
            .saturating_add(3)
            & !3
    }

    /// What must stand in the entry's name for it to be the xattr of prefix `index` and rest `name`.
    /// `None` if it cannot be, whatever stands there.
    ///
    /// `long` finds a long prefix by its number.
    #[inline]
    pub fn expected_name<'n, 'p>(
        &self,
        index: u8,
        name: &'n [u8],
        long: impl FnOnce(u8) -> Option<LongPrefix<'p>>,
    ) -> Option<&'n [u8]> {
        let prefix = self.index.resolve(long)?;

        if prefix.base_index != index {
            return None;
        }
        name.strip_prefix(prefix.infix)
            .filter(|rest| rest.len() == self.name.len as usize)
    }
}

/// The prefix of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameIndex {
    /// A short prefix, [`prefix()`].
    Short(u8),
    /// A long prefix, by its number in the image's table.
    Long(u8),
}

impl NameIndex {
    #[inline]
    fn new(index: u8) -> Self {
        match index & LONG_PREFIX {
            0 => NameIndex::Short(index),
            _ => NameIndex::Long(index & !LONG_PREFIX),
        }
    }

    /// The short prefix and the infix. `None` if the table has no such prefix.
    #[inline]
    pub fn resolve<'p>(
        self,
        long: impl FnOnce(u8) -> Option<LongPrefix<'p>>,
    ) -> Option<LongPrefix<'p>> {
        match self {
            NameIndex::Short(base_index) => Some(LongPrefix {
                base_index,
                infix: &[],
            }),
            NameIndex::Long(number) => long(number),
        }
    }
}

/// A prefix: a short one and an infix, which can be empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LongPrefix<'p> {
    /// The short prefix's index.
    pub base_index: u8,
    /// What follows it, 255 bytes at most.
    pub infix: &'p [u8],
}

impl<'p> LongPrefix<'p> {
    /// The prefix in the bytes of a table record, [`PrefixTable::feed()`].
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if there are none or too many.
    #[inline]
    pub fn parse(bytes: &'p [u8]) -> Result<Self> {
        match bytes.split_first() {
            Some((&base_index, infix)) if infix.len() <= NAME_LEN => Ok(Self { base_index, infix }),
            _ => Err(Error::XattrPrefix(bytes.len() as u32)),
        }
    }
}

/// A walk through the table of long prefixes.
///
/// ```text
/// | length, 2 bytes | base index | infix ... | 0..3 bytes | length ...
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PrefixTable {
    /// The next record's length field, and the number of records left.
    next: Area,
    left: u8,
}

impl PrefixTable {
    /// The table of an image; empty if it has none.
    pub fn new(sb: &SuperBlock) -> Self {
        let source = if sb.features.has_compat(compat::PLAIN_XATTR_PFX) {
            Source::Device
        } else if sb.features.has(incompat::METABOX) {
            Source::Metabox
        } else if sb.packed_nid.is_some() {
            Source::Packed
        } else {
            Source::Device
        };

        Self {
            next: Area {
                source,
                pos: u64::from(sb.xattr_prefix_start).wrapping_shl(2),
                len: 2,
            },
            left: sb.xattr_prefix_count,
        }
    }

    /// Where the next record's length is; `None` if there is no further one.
    pub fn wanted(&self) -> Option<Area> {
        (self.left != 0).then_some(self.next)
    }

    /// Takes the length that [`Self::wanted()`] named. Returns where the prefix is, for
    /// [`LongPrefix::parse()`], and goes past it.
    ///
    /// # Errors
    ///
    /// `EUCLEAN` if it cannot have that length, `EIO` if `bytes` are too few.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Area> {
        // 0 stands for 65536, which is too long.
        let len = u32::from(record::<U16>(bytes)?.get());
        let prefix = self.next.part(self.next.len, len);

        if len == 0 || len > (NAME_LEN as u32).saturating_add(1) {
            return Err(Error::XattrPrefix(len));
        }
        self.next.pos = prefix.pos.saturating_add(u64::from(len)).saturating_add(3) & !3;
        self.left = self.left.saturating_sub(1);
        Ok(prefix)
    }
}
