// SPDX-License-Identifier: GPL-2.0-only

//! Extended attributes.
//!
//! Most look-ups are for names that are not there (`security.capability` at each exec): they end at
//! the inode's name filter, which is in memory once the inode's xattr header has been read.

use crate::{
    super_block::{
        self,
        fault,
        fault_at, //
    },
    Erofs, //
};
use erofs_format::{
    meta::{
        BlockBits,
        Source, //
    },
    super_block::NAME_LEN,
    xattr::{
        self,
        shared_ids,
        Entry,
        Filter,
        LongPrefix,
        PrefixTable,
        Xattrs, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use vfs::{
    inode::Inode,
    meta::MetaReader,
    super_block::SuperBlock,
    xattr::{
        List,
        Namespace,
        Sink, //
    }, //
};

/// Length of the header of an inode's xattr area, in bytes.
const HEADER_LEN: usize = 12;

/// How many bytes of shared ids are kept with an inode: most have one or two, and three make a record
/// and this a whole number of words.
const IDS_LEN: usize = 12;

/// How much of an inode's xattr area is of use when the inode is read, in bytes.
pub(crate) const HEAD_LEN: usize = HEADER_LEN + IDS_LEN;

/// Bytes of a xattr entry before its name.
const ENTRY_LEN: usize = 4;

/// How many bytes of entries are read in one go.
const WINDOW: usize = 128;

/// How many bytes of shared ids are read in one go.
const PIECE: usize = 64;

/// What is kept in memory of the head of an inode's xattr area.
///
/// The used bytes of the header are in one word, so that readers need no lock; who comes first and
/// second store the same. The rest of the header is reserved.
pub(crate) struct Head {
    header: Atomic<u64>,
    ids: Option<[u8; IDS_LEN]>,
}

impl Head {
    const READ: u64 = 1 << 63;
    const USED: usize = 5;

    /// Keeps what there is of the area's first bytes; the rest is read where it is needed.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let (header, ids) = match bytes.split_first_chunk() {
            Some((header, ids)) => (Self::pack(header), ids.first_chunk().copied()),
            None => (0, None),
        };
        Self {
            header: Atomic::new(header),
            ids,
        }
    }

    fn pack(bytes: &[u8; HEADER_LEN]) -> u64 {
        let mut word = [0; 8];
        word[..Self::USED].copy_from_slice(&bytes[..Self::USED]);
        u64::from_le_bytes(word) | Self::READ
    }

    fn header(&self) -> Option<[u8; HEADER_LEN]> {
        let word = self.header.load(Relaxed);
        let mut bytes = [0; HEADER_LEN];
        bytes[..Self::USED].copy_from_slice(&word.to_le_bytes()[..Self::USED]);
        (word & Self::READ != 0).then_some(bytes)
    }

    fn set_header(&self, bytes: &[u8; HEADER_LEN]) {
        self.header.store(Self::pack(bytes), Relaxed);
    }

    /// Whether the header is known to show that there is no ACL.
    pub(crate) fn excludes_acl(&self, format: &erofs_format::SuperBlock) -> bool {
        let filter = self.header().map(|bytes| Filter::parse(format, &bytes));
        matches!(filter, Some(Ok(Some(filter))) if filter.excludes_acl())
    }
}

/// The image's long name prefixes: for each the index of a short prefix, and an infix.
pub(crate) struct Prefixes(KVec<KVec<u8>>);

impl Prefixes {
    /// Reads the table. Errors are those of the device, `EUCLEAN`, `ENOMEM`. May sleep.
    pub(crate) fn read(sb: &SuperBlock<Erofs>) -> Result<Self> {
        let format = &sb.data().format;
        let mut prefixes = KVec::with_capacity(format.xattr_prefix_count.into(), GFP_KERNEL)?;
        let mut table = PrefixTable::new(format);
        let Some(first) = table.wanted() else {
            return Ok(Self(prefixes));
        };
        let mut meta = super_block::meta(sb, first.source)?;
        while let Some(area) = table.wanted() {
            let mut len = [0; 2];
            meta.read(area.pos, &mut len)?;
            let area = table.feed(&len).map_err(|e| fault(sb, e))?;
            let prefix = meta.read_vec(area.pos, area.len as usize)?;
            prefixes.push(prefix, GFP_KERNEL)?;
        }
        Ok(Self(prefixes))
    }

    pub(crate) fn get(&self, number: u8) -> Option<LongPrefix<'_>> {
        LongPrefix::parse(self.0.get(usize::from(number))?).ok()
    }
}

/// The name index of a namespace.
fn index(namespace: Namespace) -> u8 {
    match namespace {
        Namespace::User => xattr::INDEX_USER,
        Namespace::Trusted => xattr::INDEX_TRUSTED,
        Namespace::Security => xattr::INDEX_SECURITY,
        Namespace::AclAccess => xattr::INDEX_POSIX_ACL_ACCESS,
        Namespace::AclDefault => xattr::INDEX_POSIX_ACL_DEFAULT,
    }
}

fn namespace(index: u8) -> Option<Namespace> {
    Some(match index {
        xattr::INDEX_USER => Namespace::User,
        xattr::INDEX_TRUSTED => Namespace::Trusted,
        xattr::INDEX_SECURITY => Namespace::Security,
        xattr::INDEX_POSIX_ACL_ACCESS => Namespace::AclAccess,
        xattr::INDEX_POSIX_ACL_DEFAULT => Namespace::AclDefault,
        _ => return None,
    })
}

/// The header of the inode's xattr area, from memory or from disk. `None` if it has no such area.
#[inline]
fn header(inode: &Inode<Erofs>) -> Result<Option<Xattrs>> {
    let sb = inode.super_block();
    let info = inode.data();
    let fault = |e| fault_at(sb, info.nid, e);

    let Some(area) = Xattrs::header(info).map_err(fault)? else {
        return Ok(None);
    };
    let bytes = match info.xattr_head.header() {
        Some(bytes) => bytes,
        None => {
            let mut bytes = [0; HEADER_LEN];
            super_block::read_area(sb, area, &mut bytes)?;
            info.xattr_head.set_header(&bytes);
            bytes
        }
    };
    Xattrs::parse(&sb.data().format, info, &bytes)
        .map(Some)
        .map_err(fault)
}

/// A part of metadata that was copied in one go, since entries stand close together.
struct Window<'a> {
    meta: MetaReader<'a>,
    block: BlockBits,
    start: u64,
    len: usize,
    bytes: [u8; WINDOW],
}

impl<'a> Window<'a> {
    fn new(sb: &'a SuperBlock<Erofs>, source: Source) -> Result<Self> {
        Ok(Self {
            meta: super_block::meta(sb, source)?,
            block: sb.data().format.block,
            start: 0,
            len: 0,
            bytes: [0; WINDOW],
        })
    }

    /// Where the window has all of the `len` bytes at `pos`.
    fn find(&self, pos: u64, len: usize) -> Option<core::ops::Range<usize>> {
        let skip = usize::try_from(pos.checked_sub(self.start)?).ok()?;
        let end = skip.checked_add(len)?;
        (end <= self.len).then_some(skip..end)
    }

    /// The `len` bytes at `pos`, or those of them that are in the same block.
    fn part(&mut self, pos: u64, len: usize) -> Result<&[u8]> {
        let found = match self.find(pos, len) {
            Some(found) => found,
            None => {
                let ahead = WINDOW.min(self.block.rest(pos) as usize);
                self.len = 0;
                self.meta.read(pos, &mut self.bytes[..ahead])?;
                self.start = pos;
                self.len = ahead;
                0..len.min(ahead)
            }
        };
        Ok(&self.bytes[found])
    }

    /// Fills `to` from byte `pos` on.
    fn read(&mut self, pos: u64, to: &mut [u8]) -> Result {
        match self.find(pos, to.len()) {
            Some(found) => {
                to.copy_from_slice(&self.bytes[found]);
                Ok(())
            }
            None => self.meta.read(pos, to),
        }
    }

    /// Whether `expected` stands at `pos`.
    fn matches(&mut self, mut pos: u64, mut expected: &[u8]) -> Result<bool> {
        while !expected.is_empty() {
            let part = self.part(pos, expected.len().min(WINDOW))?;
            let Some(rest) = expected.strip_prefix(part) else {
                return Ok(false);
            };
            pos += part.len() as u64;
            expected = rest;
        }
        Ok(true)
    }
}

/// Shows the entries to `visit`, with what their names and values are read from: first those in the
/// inode, then the shared ones. Ends when `visit` returns `true`, and tells whether it did.
fn walk(
    inode: &Inode<Erofs>,
    xattrs: &Xattrs,
    mut visit: impl FnMut(&mut Window<'_>, &Entry) -> Result<bool>,
) -> Result<bool> {
    let sb = inode.super_block();
    let info = inode.data();
    let format = &sb.data().format;
    let fault = |e| fault_at(sb, info.nid, e);

    let mut inside = Window::new(sb, info.xattr_area().source)?;
    let mut entries = xattrs.inline(info);
    while let Some(area) = entries.wanted() {
        let raw = inside.part(area.pos, ENTRY_LEN)?;
        let entry = entries.feed(raw).map_err(fault)?;
        if visit(&mut inside, &entry)? {
            return Ok(true);
        }
    }

    let mut shared = Window::new(sb, format.shared_xattr(0).source)?;
    let ids = xattrs.shared(info);
    let len = ids.len as usize;
    let mut buffer = [0; PIECE];
    for done in (0..len).step_by(PIECE) {
        let piece = &mut buffer[..PIECE.min(len - done)];
        match &info.xattr_head.ids {
            Some(kept) if len <= IDS_LEN => piece.copy_from_slice(&kept[..len]),
            _ => inside.read(ids.pos + done as u64, piece)?,
        }
        for id in shared_ids(piece) {
            let area = format.shared_xattr(id);
            let raw = shared.part(area.pos, ENTRY_LEN)?;
            let entry = Entry::parse(area, raw).map_err(fault)?;
            if visit(&mut shared, &entry)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Puts the value of the named attribute into `value`. `ENODATA` if there is none. May sleep.
pub(crate) fn get(
    inode: &Inode<Erofs>,
    namespace: Namespace,
    name: &[u8],
    value: &mut Sink<'_>,
) -> Result {
    let index = index(namespace);
    let xattrs = header(inode)?.ok_or(ENODATA)?;
    if let Some(filter) = xattrs.filter {
        if filter.excludes(vfs::hash::xxh32(name, Filter::seed(index))) {
            return Err(ENODATA);
        }
    }
    if name.len() > NAME_LEN {
        return Err(ERANGE);
    }
    let found = walk(inode, &xattrs, |window, entry| {
        let info = inode.super_block().data();
        let Some(rest) = entry.expected_name(index, name, |n| info.prefix(n)) else {
            return Ok(false);
        };
        if !window.matches(entry.name.pos, rest)? {
            return Ok(false);
        }
        if let Some(place) = value.take(entry.value.len as usize)? {
            window.read(entry.value.pos, place)?;
        }
        Ok(true)
    })?;
    if found {
        Ok(())
    } else {
        Err(ENODATA)
    }
}

/// Puts the names of all attributes into `list`, but those of unknown prefixes. May sleep.
pub(crate) fn list(inode: &Inode<Erofs>, list: &mut List<'_, Erofs>) -> Result {
    let Some(xattrs) = header(inode)? else {
        return Ok(());
    };
    let info = inode.super_block().data();
    walk(inode, &xattrs, |window, entry| {
        let prefix = entry.index.resolve(|n| info.prefix(n));
        if let Some(LongPrefix { base_index, infix }) = prefix {
            if let Some(namespace) = namespace(base_index) {
                let len = entry.name.len as usize;
                list.add(namespace, infix, len, |place| {
                    window.read(entry.name.pos, place)
                })?;
            }
        }
        Ok(false)
    })?;
    Ok(())
}
