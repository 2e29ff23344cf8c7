// SPDX-License-Identifier: GPL-2.0-only

//! A reader of EROFS images in user space: what the crate's caller has to do, and no more. The tests
//! and the fuzzers drive the crate through it.
//!
//! It asserts what the crate promises of its answers, so that a fuzzer finds a broken promise.

pub mod z;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt, //
};

use erofs_format::{
    device::{
        map_dev,
        Device,
        Devices,
        Slot, //
    },
    dir,
    inode::{
        record_len,
        Attributes,
        FileType, //
    },
    map::{
        map_blocks,
        Extent,
        Plan,
        Target, //
    },
    meta::{
        Area,
        Source, //
    },
    super_block::SUPER_OFFSET,
    xattr,
    Error,
    Inode,
    Nid,
    Result,
    SuperBlock, //
};

/// As on x86.
const PAGE_BITS: u8 = 12;

/// A device. Like a block device's page cache it reads as zeros behind its end.
pub trait Storage {
    fn read(&self, pos: u64, buf: &mut [u8]);
}

impl Storage for File {
    fn read(&self, mut pos: u64, mut buf: &mut [u8]) {
        while !buf.is_empty() && pos <= i64::MAX as u64 {
            let n = self.read_at(buf, pos).expect("cannot read the image");

            if n == 0 {
                break;
            }
            buf = &mut buf[n..];
            pos += n as u64;
        }
        buf.fill(0);
    }
}

impl Storage for Vec<u8> {
    fn read(&self, pos: u64, buf: &mut [u8]) {
        let start = usize::try_from(pos).unwrap_or(usize::MAX).min(self.len());
        let n = buf.len().min(self.len() - start);

        buf[..n].copy_from_slice(&self[start..start + n]);
        buf[n..].fill(0);
    }
}

/// The kernel's crc32c(): raw.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    })
}

/// The kernel's xxh32().
pub fn xxh32(bytes: &[u8], seed: u32) -> u32 {
    const P: [u32; 5] = [
        0x9e37_79b1,
        0x85eb_ca77,
        0xc2b2_ae3d,
        0x27d4_eb2f,
        0x1656_67b1,
    ];
    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
    let mut rest = bytes;
    let mut hash;

    if bytes.len() >= 16 {
        let mut lanes = [
            seed.wrapping_add(P[0]).wrapping_add(P[1]),
            seed.wrapping_add(P[1]),
            seed,
            seed.wrapping_sub(P[0]),
        ];

        while rest.len() >= 16 {
            for (lane, input) in lanes.iter_mut().zip(rest.chunks_exact(4)) {
                *lane = lane
                    .wrapping_add(word(input).wrapping_mul(P[1]))
                    .rotate_left(13)
                    .wrapping_mul(P[0]);
            }
            rest = &rest[16..];
        }
        hash = lanes
            .iter()
            .zip([1, 7, 12, 18])
            .fold(0u32, |h, (lane, r)| h.wrapping_add(lane.rotate_left(r)));
    } else {
        hash = seed.wrapping_add(P[4]);
    }
    hash = hash.wrapping_add(bytes.len() as u32);
    while rest.len() >= 4 {
        hash = hash
            .wrapping_add(word(&rest[..4]).wrapping_mul(P[2]))
            .rotate_left(17)
            .wrapping_mul(P[3]);
        rest = &rest[4..];
    }
    for &byte in rest {
        hash = hash
            .wrapping_add(u32::from(byte).wrapping_mul(P[4]))
            .rotate_left(11)
            .wrapping_mul(P[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P[2]);
    hash ^ (hash >> 16)
}

/// An entry that readdir() gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DirEntry {
    pub pos: u64,
    pub name: Vec<u8>,
    pub nid: Nid,
    pub file_type: u8,
}

/// A "mounted" image.
pub struct Image {
    pub sb: SuperBlock,
    pub root: Nid,
    primary: Box<dyn Storage>,
    extra: Vec<Box<dyn Storage>>,
    devices: Devices,
    table: Vec<Device>,
    metabox: Option<Inode>,
    packed: Option<Inode>,
    prefixes: Vec<Vec<u8>>,
    /// Reads that may still be made: a fuzzed image can be endless.
    budget: Cell<u64>,
}

impl Image {
    pub fn open(primary: Box<dyn Storage>, extra: Vec<Box<dyn Storage>>) -> Result<Self> {
        Self::open_limited(primary, extra, u64::MAX)
    }

    pub fn open_limited(
        primary: Box<dyn Storage>,
        extra: Vec<Box<dyn Storage>>,
        budget: u64,
    ) -> Result<Self> {
        let mut page = vec![0; (1 << PAGE_BITS) - SUPER_OFFSET as usize];

        primary.read(u64::from(SUPER_OFFSET), &mut page);
        let sb = SuperBlock::parse(&page, PAGE_BITS, crc32c)?;
        let mut image = Self {
            sb,
            root: sb.root_nid,
            devices: sb.devices(extra.len() as u32)?,
            primary,
            extra,
            table: Vec::new(),
            metabox: None,
            packed: None,
            prefixes: Vec::new(),
            budget: Cell::new(budget),
        };

        for index in 0..sb.extra_devices {
            let slot = Slot::parse(&sb, &image.meta(sb.device_slot(index))?)?;

            image.table.push(slot.device);
        }
        if let Some(nid) = sb.metabox_nid {
            image.metabox = Some(image.inode(nid)?.0);
        }
        if let Some(nid) = sb.packed_nid {
            image.packed = Some(image.inode(nid)?.0);
        }
        let mut table = xattr::PrefixTable::new(&sb);
        while let Some(area) = table.wanted() {
            let prefix = image.meta(table.feed(&image.meta(area)?)?)?;

            xattr::LongPrefix::parse(&prefix)?;
            image.prefixes.push(prefix);
        }
        Ok(image)
    }

    fn spend(&self) -> Result<()> {
        self.budget
            .set(self.budget.get().checked_sub(1).ok_or(Error::Short)?);
        Ok(())
    }

    /// Reads metadata.
    pub fn meta(&self, area: Area) -> Result<Vec<u8>> {
        let mut buf = vec![0; area.len as usize];
        let holder = match area.source {
            Source::Device => {
                self.spend()?;
                self.primary.read(area.pos, &mut buf);
                return Ok(buf);
            }
            Source::Metabox => self.metabox.as_ref(),
            Source::Packed => self.packed.as_ref(),
        };
        self.read(holder.ok_or(Error::NoMetabox)?, area.pos, &mut buf)?;
        Ok(buf)
    }

    pub fn inode(&self, nid: Nid) -> Result<(Inode, Attributes)> {
        let mut area = self.sb.iloc(nid)?;
        let mut record = self.meta(area)?;

        area.pos += u64::from(area.len);
        area.len = (record_len(&record)? - record.len()) as u32;
        record.extend(self.meta(area)?);
        Inode::parse(&self.sb, nid, &record)
    }

    /// The extent of a file that `pos` is in, with `step` bytes of chunk entries read at a time.
    pub fn extent(&self, inode: &Inode, pos: u64, step: u32) -> Result<Extent> {
        let extent = match map_blocks(&self.sb, inode, pos)? {
            Plan::Extent(extent) => extent,
            Plan::Chunks(mut lookup) => loop {
                let mut area = lookup.wanted();

                assert!(area.len > 0 && area.pos + u64::from(area.len) <= 1 << 63);
                assert_eq!(
                    self.sb.block.block(area.pos),
                    self.sb.block.block(area.pos + u64::from(area.len) - 1)
                );
                area.len = area.len.min(step);
                if let Some(extent) = lookup.feed(&self.meta(area)?)? {
                    break extent;
                }
            },
        };

        assert!(extent.la <= pos && pos - extent.la < extent.len);
        if let Target::Inline(area) = extent.target {
            assert_eq!((extent.la, u64::from(area.len)), (pos, extent.len));
            assert!(area.len <= self.sb.block.rest(area.pos));
        }
        Ok(extent)
    }

    /// The extents of a whole file.
    pub fn extents(&self, inode: &Inode) -> Result<Vec<Extent>> {
        let mut extents = Vec::new();
        let mut pos = 0;

        while pos < inode.size {
            let extent = self.extent(inode, pos, u32::MAX)?;

            assert_eq!(extent.la, pos, "a file's extents must not overlap");
            pos += extent.len;
            extents.push(extent);
        }
        Ok(extents)
    }

    /// Reads from a device of the image, by the number that an extent gives.
    fn read_device(&self, device: u16, pa: u64, buf: &mut [u8]) -> Result<()> {
        let place = map_dev(self.sb.block, self.devices, &self.table, device, pa)?;

        self.spend()?;
        let storage = match place.device {
            None => &self.primary,
            Some(index) => &self.extra[usize::from(index)],
        };
        storage.read(place.pos, buf);
        Ok(())
    }

    /// Reads a file's bytes from `pos` on; zeros behind its end.
    pub fn read(&self, inode: &Inode, mut pos: u64, mut buf: &mut [u8]) -> Result<()> {
        if inode.is_compressed() {
            return self.zread(inode, pos, buf);
        }
        while !buf.is_empty() {
            if pos >= inode.size {
                buf.fill(0);
                break;
            }
            let extent = self.extent(inode, pos, 64)?;
            let skip = pos - extent.la;
            let n = (extent.len - skip)
                .min(inode.size - pos)
                .min(buf.len() as u64) as usize;
            let (part, rest) = buf.split_at_mut(n);

            match extent.target {
                Target::Hole => part.fill(0),
                Target::Inline(mut area) => {
                    area.len = n as u32;
                    part.copy_from_slice(&self.meta(area)?);
                }
                Target::Mapped { device, pa } => {
                    self.read_device(device, pa.saturating_add(skip), part)?;
                }
            }
            buf = rest;
            pos += n as u64;
        }
        Ok(())
    }

    pub fn content(&self, inode: &Inode) -> Result<Vec<u8>> {
        let mut content = vec![0; inode.size as usize];

        self.read(inode, 0, &mut content)?;
        Ok(content)
    }

    pub fn readlink(&self, inode: &Inode) -> Result<Vec<u8>> {
        match inode.fast_symlink(self.sb.block) {
            Some(area) => {
                assert!(area.len <= self.sb.block.rest(area.pos));
                let target = self.meta(area)?;

                Inode::check_symlink(&target)?;
                Ok(target)
            }
            None => self.content(inode),
        }
    }

    fn dir_block(&self, dir: &Inode, index: u64) -> Result<Vec<u8>> {
        let mut block = vec![0; self.sb.block.size() as usize];

        self.read(dir, self.sb.block.pos(index), &mut block)?;
        Ok(block)
    }

    /// The entries of a directory from position `pos` on, each handed to `each`.
    pub fn readdir(&self, dir: &Inode, pos: u64, mut each: impl FnMut(DirEntry)) -> Result<()> {
        let block = self.sb.block;
        let mut offset = block.offset(pos);

        for index in block.block(pos)..block.blocks(dir.size) {
            let start = block.pos(index);
            let size = (dir.size - start).min(u64::from(block.size())) as u32;
            let bytes = self.dir_block(dir, index)?;

            for entry in dir::Entries::new(&bytes, size, offset)? {
                let entry = entry?;

                assert!((1..=255).contains(&entry.name.len()));
                each(DirEntry {
                    pos: start + u64::from(entry.offset),
                    name: entry.name.to_vec(),
                    nid: entry.nid,
                    file_type: entry.file_type,
                });
            }
            offset = 0;
        }
        if dir.dot_omitted && pos <= dir.size {
            each(DirEntry {
                pos: dir.size,
                name: b".".to_vec(),
                nid: dir.nid,
                file_type: 2,
            });
        }
        Ok(())
    }

    pub fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<dir::Found>> {
        let mut search = dir::BlockSearch::new(name, self.sb.block.blocks(dir.size));
        let mut kept = None;

        while let Some(index) = search.next() {
            let block = self.dir_block(dir, index)?;

            match search.feed(&block)? {
                dir::Step::Found(found) => return Ok(Some(found)),
                dir::Step::Keep => kept = Some(block),
                dir::Step::Earlier => {}
            }
        }
        kept.map_or(Ok(None), |block| dir::find(&block, name))
    }

    fn long_prefix(&self, number: u8) -> Option<xattr::LongPrefix<'_>> {
        let prefix = self.prefixes.get(usize::from(number))?;

        xattr::LongPrefix::parse(prefix).ok()
    }

    /// Every xattr entry of an inode, first those in it, then the shared ones.
    pub fn each_xattr(
        &self,
        inode: &Inode,
        mut each: impl FnMut(&xattr::Entry) -> Result<bool>,
    ) -> Result<()> {
        let Some(header) = xattr::Xattrs::header(inode)? else {
            return Ok(());
        };
        let xattrs = xattr::Xattrs::parse(&self.sb, inode, &self.meta(header)?)?;
        let mut inline = xattrs.inline(inode);

        while let Some(area) = inline.wanted() {
            if !each(&inline.feed(&self.meta(area)?)?)? {
                return Ok(());
            }
        }
        for id in xattr::shared_ids(&self.meta(xattrs.shared(inode))?) {
            let area = self.sb.shared_xattr(id);

            if !each(&xattr::Entry::parse(area, &self.meta(area)?)?)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// listxattr() and a getxattr() of each.
    pub fn xattrs(&self, inode: &Inode) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut found = BTreeMap::new();

        self.each_xattr(inode, |entry| {
            let Some(long) = entry.index.resolve(|n| self.long_prefix(n)) else {
                return Ok(true);
            };
            if let Some(prefix) = xattr::prefix(long.base_index) {
                let rest = [long.infix, &self.meta(entry.name)?].concat();
                let value = self.meta(entry.value)?;

                found
                    .entry([prefix, &rest].concat())
                    .or_insert((long.base_index, rest, value));
            }
            Ok(true)
        })?;

        for (name, (index, rest, value)) in &found {
            let got = self.getxattr(inode, *index, rest)?;

            // A fuzzed filter can deny what is there.
            assert!(
                got.is_none() || got.as_ref() == Some(value),
                "{name:?} is found with another value"
            );
        }
        Ok(found.into_iter().map(|(k, (_, _, v))| (k, v)).collect())
    }

    pub fn getxattr(&self, inode: &Inode, index: u8, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = None;

        if let Some(header) = xattr::Xattrs::header(inode)? {
            let filter = xattr::Filter::parse(&self.sb, &self.meta(header)?)?;
            let hash = xxh32(name, xattr::Filter::seed(index));

            if filter.is_some_and(|filter| filter.excludes(hash)) {
                return Ok(None);
            }
        }
        self.each_xattr(inode, |entry| {
            let long = |n| self.long_prefix(n);

            if let Some(expected) = entry.expected_name(index, name, long) {
                if self.meta(entry.name)? == expected {
                    value = Some(self.meta(entry.value)?);
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(value)
    }

    /// Everything below a directory by path, the directory itself as an empty path. Directories are
    /// entered once, at most `depth` deep.
    pub fn walk(&self, depth: u32) -> Result<BTreeMap<Vec<u8>, (Inode, Attributes)>> {
        let mut found = BTreeMap::new();
        let mut todo = vec![(Vec::new(), self.root, depth)];
        let mut entered = std::collections::BTreeSet::new();

        while let Some((path, nid, depth)) = todo.pop() {
            let (inode, attributes) = self.inode(nid)?;

            found.insert(path.clone(), (inode, attributes));
            if attributes.file_type != FileType::Directory || depth == 0 || !entered.insert(nid) {
                continue;
            }
            self.readdir(&inode, 0, |entry| {
                if entry.name != b"." && entry.name != b".." {
                    let mut path = path.clone();

                    path.push(b'/');
                    path.extend(&entry.name);
                    todo.push((path, entry.nid, depth - 1));
                }
            })?;
        }
        Ok(found)
    }
}
