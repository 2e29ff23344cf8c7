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
pub(crate) const HEADER_LEN: usize = 12;

/// Bytes of a xattr entry before its name.
const ENTRY_LEN: usize = 4;

/// How many bytes of names or shared ids are looked at in one go.
const PIECE: usize = 64;

/// The used bytes of an inode's xattr header, once they were read.
///
/// The rest of the header is reserved. It is all in one word, so that readers need no lock; who
/// comes first and second store the same.
pub(crate) struct Header(Atomic<u64>);

impl Header {
    const READ: u64 = 1 << 63;
    const USED: usize = 5;

    /// A header that was read, or is yet to be.
    pub(crate) fn new(bytes: Option<&[u8; HEADER_LEN]>) -> Self {
        Self(Atomic::new(bytes.map_or(0, Self::pack)))
    }

    fn pack(bytes: &[u8; HEADER_LEN]) -> u64 {
        let mut word = [0; 8];
        word[..Self::USED].copy_from_slice(&bytes[..Self::USED]);
        u64::from_le_bytes(word) | Self::READ
    }

    fn get(&self) -> Option<[u8; HEADER_LEN]> {
        let word = self.0.load(Relaxed);
        let mut bytes = [0; HEADER_LEN];
        bytes[..Self::USED].copy_from_slice(&word.to_le_bytes()[..Self::USED]);
        (word & Self::READ != 0).then_some(bytes)
    }

    fn set(&self, bytes: &[u8; HEADER_LEN]) {
        self.0.store(Self::pack(bytes), Relaxed);
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
            let mut prefix = KVec::from_elem(0u8, area.len as usize, GFP_KERNEL)?;
            meta.read(area.pos, &mut prefix)?;
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
fn header(inode: &Inode<Erofs>) -> Result<Option<Xattrs>> {
    let sb = inode.super_block();
    let info = inode.data();
    let fault = |e| fault_at(sb, info.nid, e);

    let Some(area) = Xattrs::header(info).map_err(fault)? else {
        return Ok(None);
    };
    let bytes = match info.xattr_header.get() {
        Some(bytes) => bytes,
        None => {
            let mut bytes = [0; HEADER_LEN];
            super_block::read_area(sb, area, &mut bytes)?;
            info.xattr_header.set(&bytes);
            bytes
        }
    };
    Xattrs::parse(&sb.data().format, info, &bytes)
        .map(Some)
        .map_err(fault)
}

/// Shows the entries to `visit`, with what their names and values are read from: first those in the
/// inode, then the shared ones. Ends when `visit` returns `true`, and tells whether it did.
fn walk(
    inode: &Inode<Erofs>,
    xattrs: &Xattrs,
    mut visit: impl FnMut(&mut MetaReader<'_>, &Entry) -> Result<bool>,
) -> Result<bool> {
    let sb = inode.super_block();
    let info = inode.data();
    let format = &sb.data().format;
    let fault = |e| fault_at(sb, info.nid, e);
    let mut raw = [0; ENTRY_LEN];

    let mut meta = super_block::meta(sb, info.xattr_area().source)?;
    let mut entries = xattrs.inline(info);
    while let Some(area) = entries.wanted() {
        meta.read(area.pos, &mut raw)?;
        let entry = entries.feed(&raw).map_err(fault)?;
        if visit(&mut meta, &entry)? {
            return Ok(true);
        }
    }

    let mut shared = super_block::meta(sb, format.shared_xattr(0).source)?;
    let ids = xattrs.shared(info);
    let mut buffer = [0; PIECE];
    for done in (0..ids.len as usize).step_by(PIECE) {
        let piece = &mut buffer[..PIECE.min(ids.len as usize - done)];
        meta.read(ids.pos + done as u64, piece)?;
        for id in shared_ids(piece) {
            let area = format.shared_xattr(id);
            shared.read(area.pos, &mut raw)?;
            let entry = Entry::parse(area, &raw).map_err(fault)?;
            if visit(&mut shared, &entry)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether `expected` stands at `pos`.
fn stands_at(meta: &mut MetaReader<'_>, pos: u64, expected: &[u8]) -> Result<bool> {
    let mut buffer = [0; PIECE];
    let mut pos = pos;
    for expected in expected.chunks(PIECE) {
        let piece = &mut buffer[..expected.len()];
        meta.read(pos, piece)?;
        if piece != expected {
            return Ok(false);
        }
        pos += expected.len() as u64;
    }
    Ok(true)
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
    let found = walk(inode, &xattrs, |meta, entry| {
        let info = inode.super_block().data();
        let Some(rest) = entry.expected_name(index, name, |n| info.prefix(n)) else {
            return Ok(false);
        };
        if !stands_at(meta, entry.name.pos, rest)? {
            return Ok(false);
        }
        if let Some(place) = value.take(entry.value.len as usize)? {
            meta.read(entry.value.pos, place)?;
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
    walk(inode, &xattrs, |meta, entry| {
        let prefix = entry.index.resolve(|n| info.prefix(n));
        if let Some(LongPrefix { base_index, infix }) = prefix {
            if let Some(namespace) = namespace(base_index) {
                let len = entry.name.len as usize;
                list.add(namespace, infix, len, |place| {
                    meta.read(entry.name.pos, place)
                })?;
            }
        }
        Ok(false)
    })?;
    Ok(())
}

/// Whether a header that was read with the inode shows that there is no ACL.
pub(crate) fn excludes_acl(
    sb: &SuperBlock<Erofs>,
    inode: &erofs_format::Inode,
    header: Option<&[u8; HEADER_LEN]>,
) -> bool {
    let filter = header.and_then(|bytes| Filter::parse(&sb.data().format, bytes).ok().flatten());
    inode.xattr_size == 0 || filter.is_some_and(Filter::excludes_acl)
}
