// SPDX-License-Identifier: GPL-2.0-only

//! Inodes: what is refused, with which errno, and what is just still accepted.

use erofs_format::{
    inode::{
        record_len,
        Attributes,
        FileType,
        Layout, //
    },
    map::map_blocks,
    meta::{
        Area,
        Source, //
    },
    super_block::incompat,
    Error,
    Inode,
    Nid,
    Result, //
};

use crate::records::*;

fn parse(record: &[u8]) -> Result<(Inode, Attributes)> {
    Inode::parse(&Super::new().ok(), Nid(36), record)
}

#[track_caller]
fn refused(record: &[u8], error: Error, errno: i32) {
    assert_eq!(parse(record).unwrap_err(), error);
    assert_eq!(error.errno(), errno);
}

#[test]
fn nids() {
    let sb = Super::new().put(40, &3u32.to_le_bytes()).ok();
    let at = |pos| Area {
        source: Source::Device,
        pos,
        len: 32,
    };
    assert_eq!(sb.iloc(Nid(0)), Ok(at(3 * 4096)));
    assert_eq!(sb.iloc(Nid(5)), Ok(at(3 * 4096 + 160)));
    for nid in [1 << 62, (1 << 58) + 5, 1 << 58, (1 << 58) - 1] {
        assert_eq!(sb.iloc(Nid(nid)), Err(Error::NidRange));
    }
    assert_eq!(Error::NidRange.errno(), EUCLEAN);
    assert_eq!(sb.iloc(Nid((1 << 63) | 5)), Err(Error::NoMetabox));
    assert_eq!(Error::NoMetabox.errno(), EUCLEAN);

    let boxed = Super::new()
        .incompat(incompat::METABOX)
        .put(13, &[1])
        .put(40, &3u32.to_le_bytes())
        .ok();
    let area = boxed.iloc(Nid((1 << 63) | 5)).unwrap();
    assert_eq!((area.source, area.pos), (Source::Metabox, 160));
    assert_eq!(boxed.iloc(Nid((1 << 63) | (1 << 58))), Err(Error::NidRange));

    // Numbers for user space.
    for (nid, plain, with_metabox) in [
        (5, 5, 5),
        (0x7fff_ffff, 0x7fff_ffff, 0x7fff_ffff),
        (0x8000_0000, 0x8000_0000, 1 << 32),
        (1 << 62, 1 << 62, 1 << 63),
        ((1 << 63) | 5, (1 << 63) | 5, 0x8000_0005),
        (u64::MAX, u64::MAX, u64::MAX),
    ] {
        assert_eq!(sb.ino64(Nid(nid)), plain);
        assert_eq!(boxed.ino64(Nid(nid)), with_metabox);
    }
    assert_eq!(sb.ino32(Nid(0x1_0000_0003)), 2);
    assert_eq!(boxed.ino32(Nid((1 << 63) | 5)), 0x8000_0005);
}

#[test]
fn inode_formats() {
    assert_eq!(record_len(&compact(PLAIN, REG, 0)), Ok(32));
    assert_eq!(record_len(&extended(PLAIN, REG, 0)), Ok(64));
    assert_eq!(record_len(&[0]), Err(Error::Short));
    for bit in 5..16 {
        let record = compact(1 << bit, REG, 0);
        refused(&record, Error::InodeFormat(1 << bit), EOPNOTSUPP);
        assert_eq!(record_len(&record), Err(Error::InodeFormat(1 << bit)));
    }
    for layout in 5..8 {
        let record = compact(u16::from(layout) << 1, REG, 0);
        refused(&record, Error::DataLayout(layout), EOPNOTSUPP);
        assert_eq!(record_len(&record), Err(Error::DataLayout(layout)));
    }
    refused(&compact(PLAIN, REG, 0)[..31], Error::Short, EIO);
    refused(&extended(PLAIN, REG, 0)[..63], Error::Short, EIO);

    refused(&extended(PLAIN, REG, 1 << 63), Error::NegativeSize, EUCLEAN);
    assert_eq!(
        parse(&extended(PLAIN, REG, i64::MAX as u64))
            .unwrap()
            .0
            .size,
        i64::MAX as u64
    );
    // The size comes before the type.
    refused(&extended(PLAIN, 0, u64::MAX), Error::NegativeSize, EUCLEAN);
}

#[test]
fn inode_types() {
    for kind in 0..16u16 {
        let mode = (kind << 12) | 0o7777;
        let record = compact(PLAIN, mode, 0);
        let expected = match kind {
            1 => FileType::Fifo,
            2 => FileType::CharDevice,
            4 => FileType::Directory,
            6 => FileType::BlockDevice,
            8 => FileType::Regular,
            10 => FileType::Symlink,
            12 => FileType::Socket,
            _ => {
                refused(&record, Error::Mode(mode), EUCLEAN);
                continue;
            }
        };
        let (_, attributes) = parse(&record).unwrap();
        assert_eq!((attributes.file_type, attributes.mode), (expected, mode));

        // Only devices have a number: 12 bits of major, 20 of minor.
        let record = put(record, 16, &0xabcd_ef12u32.to_le_bytes());
        let (_, attributes) = parse(&record).unwrap();
        let number = match kind {
            2 | 6 => (0xdef, 0xabc12),
            _ => (0, 0),
        };
        assert_eq!(attributes.rdev, number);
    }
}

#[test]
fn inode_attributes() {
    let sb = Super::new()
        .put(24, &(-1000i64).to_le_bytes())
        .put(32, &2_000_000_000u32.to_le_bytes())
        .ok();
    let record = compact(PLAIN, REG, u32::MAX);
    let record = put(record, 6, &7u16.to_le_bytes());
    let record = put(record, 12, &u32::MAX.to_le_bytes());
    let record = put(record, 24, &[0xff, 0xff, 0xfe, 0xff]);
    let (inode, a) = Inode::parse(&sb, Nid(1), &record).unwrap();
    assert_eq!((a.nlink, a.uid, a.gid), (7, 0xffff, 0xfffe));
    assert_eq!((inode.size, a.size), (0xffff_ffff, 0xffff_ffff));
    assert_eq!((a.mtime, a.mtime_nsec), (0xffff_ffff - 1000, 2_000_000_000));
    assert_eq!(a.blocks, (1 << 32) / 512);

    let record = extended(PLAIN, REG, 1);
    let record = put(
        record,
        24,
        &[0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff],
    );
    let record = put(record, 32, &i64::MIN.to_le_bytes());
    let record = put(record, 40, &u32::MAX.to_le_bytes());
    let record = put(record, 44, &0x1234_5678u32.to_le_bytes());
    let (_, a) = Inode::parse(&sb, Nid(1), &record).unwrap();
    assert_eq!((a.nlink, a.uid, a.gid), (0x1234_5678, !0, 0xffff_fffe));
    assert_eq!((a.mtime, a.mtime_nsec), (i64::MIN, u32::MAX));
    assert_eq!(a.blocks, 8);

    // The epoch may be anything: the sum wraps.
    let sb = Super::new().put(24, &i64::MAX.to_le_bytes()).ok();
    let record = put(compact(PLAIN, REG, 0), 12, &1u32.to_le_bytes());
    let (_, a) = Inode::parse(&sb, Nid(1), &record).unwrap();
    assert_eq!(a.mtime, i64::MIN);
}

#[test]
fn inode_addresses() {
    let dir = 0o040755;
    let start = |record: Vec<u8>| match parse(&record).unwrap().0.layout {
        Layout::Plain { start } => start,
        layout => panic!("{layout:?}"),
    };
    let with =
        |record, lo: u32, hi: u16| put(put(record, 16, &lo.to_le_bytes()), 6, &hi.to_le_bytes());

    // A compact inode has a link count where an extended one has the address's high bits, unless
    // bit 4 says that the count is 1; on a directory that bit says something else.
    assert_eq!(start(with(compact(PLAIN, REG, 9), 5, 2)), Some(5));
    assert_eq!(
        start(with(compact(PLAIN | BIT4, REG, 9), 5, 2)),
        Some(5 | (2 << 32))
    );
    assert_eq!(start(with(compact(PLAIN | BIT4, dir, 9), 5, 2)), Some(5));
    assert_eq!(
        start(with(extended(PLAIN, REG, 9), 5, 2)),
        Some(5 | (2 << 32))
    );

    // No address is all ones, as wide as there is room.
    assert_eq!(start(with(compact(PLAIN, REG, 9), !0, 2)), None);
    assert_eq!(
        start(with(compact(PLAIN | BIT4, REG, 9), !0, 2)),
        Some(0x2_ffff_ffff)
    );
    assert_eq!(start(with(compact(PLAIN | BIT4, REG, 9), !0, !0)), None);
    assert_eq!(
        start(with(extended(PLAIN, REG, 9), !0, 2)),
        Some(0x2_ffff_ffff)
    );
    assert_eq!(start(with(extended(PLAIN, REG, 9), !0, !0)), None);

    for (format, mode, nlink, omitted) in [
        (PLAIN, REG, 2, false),
        (PLAIN | BIT4, REG, 1, false),
        (PLAIN, dir, 2, false),
        (PLAIN | BIT4, dir, 2, true),
    ] {
        let (inode, a) = parse(&with(compact(format, mode, 9), 0, 2)).unwrap();
        assert_eq!((a.nlink, inode.dot_omitted), (nlink, omitted));
        let (inode, _) = parse(&extended(format, mode, 9)).unwrap();
        assert_eq!(inode.dot_omitted, omitted);
    }
}

#[test]
fn inode_layouts() {
    for layout in [FULL, COMPACT] {
        // A fifo's layout counts, too.
        for mode in [REG, 0o010644] {
            refused(&compact(layout, mode, 9), Error::CompressedInode, EUCLEAN);
        }
        let sb = Super::new().incompat(incompat::LZ4_0PADDING).ok();
        let record = put(extended(layout, REG, 1 << 40), 16, &3u32.to_le_bytes());
        let record = put(record, 6, &1u16.to_le_bytes());
        let (inode, a) = Inode::parse(&sb, Nid(1), &record).unwrap();
        let compact = layout == COMPACT;
        assert_eq!(inode.layout, Layout::Compressed { compact });
        assert!(inode.is_compressed());
        assert_eq!(a.blocks, ((1 << 32) + 3) * 8);
        let error = map_blocks(&sb, &inode, 0).unwrap_err();
        assert_eq!((error, error.errno()), (Error::Compressed, EOPNOTSUPP));
    }

    for format in [0x80u16, 0x100, 0x8000] {
        let record = put(compact(CHUNK, REG, 9), 16, &format.to_le_bytes());
        refused(&record, Error::ChunkFormat(format), EOPNOTSUPP);
    }
    for (format, size, entry) in [(0u16, 4096, 4), (0x1f, 1 << 43, 4), (0x61, 8192, 8)] {
        let record = put(compact(CHUNK, REG, 9), 16, &format.to_le_bytes());
        // The upper half is reserved.
        let record = put(record, 18, &[0xff, 0xff]);
        match parse(&record).unwrap().0.layout {
            Layout::Chunk(chunk) => {
                assert_eq!((chunk.chunk_size(), chunk.entry_size()), (size, entry));
            }
            layout => panic!("{layout:?}"),
        }
    }

    for (count, size) in [(0u16, 0), (1, 12), (2, 16), (u16::MAX, 12 + 65_534 * 4)] {
        let record = put(compact(PLAIN, REG, 9), 2, &count.to_le_bytes());
        assert_eq!(parse(&record).unwrap().0.xattr_size, size);
    }
}

#[test]
fn fast_symlinks() {
    let sb = Super::new().put(12, &[9]).ok();
    let link = |record: Vec<u8>, nid, xattrs: u16| {
        let record = put(record, 2, &xattrs.to_le_bytes());
        let (inode, _) = Inode::parse(&sb, Nid(nid), &record).unwrap();
        inode
            .fast_symlink(sb.block)
            .map(|area| (area.pos, area.len))
    };
    let short = |layout, size| compact(layout, 0o120777, size);
    let long = |size| extended(INLINE, 0o120777, size);

    assert_eq!(link(short(INLINE, 480), 16, 0), Some((544, 480)));
    assert_eq!(link(short(INLINE, 481), 16, 0), None);
    assert_eq!(link(short(PLAIN, 5), 16, 0), None);
    assert_eq!(link(short(INLINE, 400), 16, 5), Some((544 + 28, 400)));
    assert_eq!(link(short(INLINE, 460), 16, 5), None);
    assert_eq!(link(short(INLINE, u32::MAX), 16, 0), None);
    assert_eq!(link(long(i64::MAX as u64), 16, 0), None);

    // At the end of its block, and over it.
    assert_eq!(link(short(INLINE, 1), 31, 0), None);
    assert_eq!(link(long(1), 30, 0), None);
    assert_eq!(link(long(480), 31, 0), Some((31 * 32 + 64, 480)));
    assert_eq!(link(long(481), 31, 0), None);
    // The C driver looks into the block of the record only.
    assert_eq!(link(short(INLINE, 1), 16, 200), None);

    for (target, ok) in [
        (&b"a"[..], true),
        (b"", false),
        (b"a\0", false),
        (b"\0a", false),
    ] {
        match Inode::check_symlink(target) {
            Ok(()) => assert!(ok),
            Err(e) => assert_eq!((ok, e.errno()), (false, EUCLEAN)),
        }
    }
}
