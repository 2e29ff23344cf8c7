// SPDX-License-Identifier: GPL-2.0-only

//! Extended attributes in images made by hand.

use std::collections::BTreeMap;

use erofs_format::{
    meta::{
        Area,
        Source, //
    },
    super_block::{
        compat,
        incompat, //
    },
    xattr::{
        prefix,
        shared_ids,
        Entry,
        Filter,
        InlineEntries,
        LongPrefix,
        NameIndex,
        PrefixTable,
        Xattrs, //
    },
    Error,
    Inode,
    Nid,
    Result, //
};
use proptest::prelude::*;

use crate::{
    reader::{
        xxh32,
        Image, //
    },
    records::*, //
};

/// An inode with `units` units of 4 bytes of xattrs behind the header.
fn inode(units: u16) -> Inode {
    let record = put(compact(PLAIN, REG, 0), 2, &(units + 1).to_le_bytes());

    Inode::parse(&Super::new().ok(), Nid(0), &record).unwrap().0
}

fn header(filter: u32, shared: u8) -> Vec<u8> {
    [&filter.to_le_bytes()[..], &[shared], &[0; 7]].concat()
}

fn entry(index: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let size = (value.len() as u16).to_le_bytes();
    let mut bytes = [&[name.len() as u8, index], &size[..], name, value].concat();

    bytes.resize(bytes.len().next_multiple_of(4), 0xee);
    bytes
}

#[test]
fn headers() {
    let sb = Super::new().ok();
    let none = Inode::parse(&sb, Nid(0), &compact(PLAIN, REG, 0))
        .unwrap()
        .0;

    assert!(Xattrs::header(&none).unwrap().is_none());
    let error = Xattrs::header(&inode(0)).unwrap_err();
    assert_eq!((error, error.errno()), (Error::XattrHeaderOnly, EOPNOTSUPP));
    let area = Xattrs::header(&inode(1)).unwrap().unwrap();
    assert_eq!((area.source, area.pos, area.len), (Source::Device, 32, 12));

    // As many shared ids as there is room for.
    let parse = |units, shared| Xattrs::parse(&sb, &inode(units), &header(0, shared));
    for (units, shared, ok) in [(1, 0, true), (1, 1, true), (1, 2, false), (254, 255, false)] {
        match parse(units, shared) {
            Ok(xattrs) => assert_eq!((ok, xattrs.shared_count), (true, shared)),
            Err(e) => assert_eq!(
                (ok, e, e.errno()),
                (false, Error::XattrSharedCount(shared), EUCLEAN)
            ),
        }
    }
    let all = parse(255, 255).unwrap();
    let ids = all.shared(&inode(255));
    assert_eq!((ids.pos, ids.len), (44, 1020));
    assert_eq!(all.inline(&inode(255)).wanted(), None);
    let some = parse(10, 3).unwrap().inline(&inode(10));
    assert_eq!(some.wanted().map(|a| (a.pos, a.len)), Some((56, 4)));
    assert_eq!(
        Xattrs::parse(&sb, &inode(1), &[0; 11]).unwrap_err(),
        Error::Short
    );
    assert!(shared_ids(&[1, 0, 0, 0, 0, 2, 0, 0, 9]).eq([1, 512]));
}

#[test]
fn filters() {
    let sb = Super::new().compat(compat::XATTR_FILTER).ok();
    let filter = |bits| Filter::parse(&sb, &header(bits, 0)).unwrap().unwrap();

    for bit in 0..32 {
        assert!(filter(1 << bit).excludes(0xabcd_e000 | bit));
        assert!(!filter(!(1 << bit)).excludes(0xabcd_e000 | bit));
    }
    // The bits of both ACLs are those of their empty names.
    let bit = |index| 1 << (xxh32(b"", Filter::seed(index)) & 31);
    assert_eq!((bit(2), bit(3)), (1 << 30, 1 << 21));
    assert!(filter((1 << 30) | (1 << 21)).excludes_acl());
    assert!(!filter(!(1 << 30)).excludes_acl());
    assert!(!filter(!(1 << 21)).excludes_acl());

    let without = Super::new().ok();
    assert_eq!(Filter::parse(&without, &header(!0, 0)), Ok(None));
    assert_eq!(Filter::parse(&sb, &[0; 11]), Err(Error::Short));
}

/// Goes through the entries of an area of `units` units.
fn inline(units: u16, bytes: &[u8]) -> Result<Vec<Entry>> {
    let sb = Super::new().ok();
    let mut entries: InlineEntries =
        Xattrs::parse(&sb, &inode(units), &header(0, 0))?.inline(&inode(units));
    let mut found = Vec::new();

    while let Some(area) = entries.wanted() {
        found.push(entries.feed(&bytes[area.pos as usize - 44..])?);
    }
    Ok(found)
}

#[test]
fn inline_entries() {
    let bytes = [
        entry(1, b"abc", b"de"),
        entry(0x85, b"", b""),
        entry(4, b"x", b""),
    ]
    .concat();
    let found = inline(6, &bytes).unwrap();
    let at = |pos, len| Area {
        source: Source::Device,
        pos,
        len,
    };

    assert_eq!(found.len(), 3);
    assert_eq!((found[0].name, found[0].value), (at(48, 3), at(51, 2)));
    assert_eq!((found[1].name, found[1].value), (at(60, 0), at(60, 0)));
    assert_eq!((found[2].name, found[2].value), (at(64, 1), at(65, 0)));
    assert_eq!(found[0].index, NameIndex::Short(1));
    assert_eq!(found[1].index, NameIndex::Long(5));

    // An entry that is longer than what is left, in any way.
    for (units, bytes) in [
        (2, &bytes[..]),
        (1, &[1, 1, 0, 0]),
        (1, &[0, 1, 1, 0]),
        (100, &[255, 1, 255, 255]),
    ] {
        let error = inline(units, bytes).unwrap_err();
        assert_eq!((error, error.errno()), (Error::XattrEntry, EUCLEAN));
    }
    assert_eq!(inline(1, &[0; 3]).unwrap_err(), Error::Short);
    // The largest entry: 65535 bytes of value.
    let large = [&[255, 1, 255, 255][..], &[0; 65_790]].concat();
    assert_eq!(inline(16_449, &large).unwrap()[0].value.len, 65_535);
}

#[test]
fn names_with_prefixes() {
    let at = Area {
        source: Source::Device,
        pos: 0,
        len: 4,
    };
    let long = |number| match number {
        3 => Some(LongPrefix {
            base_index: 4,
            infix: b"overlay.",
        }),
        4 => Some(LongPrefix {
            base_index: 1,
            infix: b"",
        }),
        _ => None,
    };
    let expected = |bytes: [u8; 4], index, name: &'static [u8]| {
        Entry::parse(at, &bytes)
            .unwrap()
            .expected_name(index, name, long)
    };

    assert_eq!(expected([3, 1, 0, 0], 1, b"abc"), Some(&b"abc"[..]));
    assert_eq!(expected([3, 1, 0, 0], 4, b"abc"), None);
    assert_eq!(expected([3, 1, 0, 0], 1, b"abcd"), None);
    assert_eq!(expected([0, 2, 0, 0], 2, b""), Some(&b""[..]));
    assert_eq!(
        expected([2, 0x83, 0, 0], 4, b"overlay.ab"),
        Some(&b"ab"[..])
    );
    assert_eq!(expected([0, 0x83, 0, 0], 4, b"overlay."), Some(&b""[..]));
    assert_eq!(expected([2, 0x83, 0, 0], 4, b"overlaid.b"), None);
    assert_eq!(expected([2, 0x83, 0, 0], 1, b"overlay.ab"), None);
    assert_eq!(expected([3, 0x83, 0, 0], 4, b"overlay.ab"), None);
    assert_eq!(expected([1, 0x84, 0, 0], 1, b"u"), Some(&b"u"[..]));
    assert_eq!(expected([1, 0x85, 0, 0], 1, b"u"), None);

    for (index, text) in [
        (0, None),
        (1, Some("user.")),
        (2, Some("system.posix_acl_access")),
        (3, Some("system.posix_acl_default")),
        (4, Some("trusted.")),
        (5, None),
        (6, Some("security.")),
        (7, None),
        (0x81, None),
    ] {
        assert_eq!(prefix(index), text.map(str::as_bytes));
    }
}

#[test]
fn prefix_tables() {
    let table = |sb: Super| {
        let sb = sb.put(91, &[2]).put(92, &5u32.to_le_bytes());
        PrefixTable::new(&sb.ok())
    };
    let source = |sb| table(sb).wanted().unwrap().source;
    let packed = || Super::new().incompat(incompat::FRAGMENTS).put(96, &[9]);

    assert_eq!(source(Super::new()), Source::Device);
    assert_eq!(source(packed()), Source::Packed);
    assert_eq!(
        source(packed().compat(compat::PLAIN_XATTR_PFX)),
        Source::Device
    );
    let metabox = packed()
        .put(13, &[1])
        .incompat(incompat::METABOX | incompat::FRAGMENTS);
    assert_eq!(source(metabox), Source::Metabox);
    assert!(PrefixTable::new(&Super::new().ok()).wanted().is_none());

    let mut walk = table(Super::new());
    assert_eq!(walk.wanted().map(|a| (a.pos, a.len)), Some((20, 2)));
    let area = walk.feed(&[4, 0]).unwrap();
    assert_eq!((area.pos, area.len), (22, 4));
    // The next one is 4-byte aligned.
    assert_eq!(walk.wanted().map(|a| a.pos), Some(28));
    walk.feed(&[1, 0]).unwrap();
    assert_eq!(walk.wanted(), None);

    for (len, ok) in [
        (0u16, false),
        (1, true),
        (256, true),
        (257, false),
        (65_535, false),
    ] {
        match table(Super::new()).feed(&len.to_le_bytes()) {
            Ok(area) => assert_eq!((ok, area.len), (true, u32::from(len))),
            Err(e) => {
                let expected = Error::XattrPrefix(u32::from(len));
                assert_eq!((ok, e, e.errno()), (false, expected, EUCLEAN));
            }
        }
    }
    assert!(LongPrefix::parse(&[]).is_err());
    assert!(LongPrefix::parse(&[0; 257]).is_err());
    let longest = LongPrefix::parse(&[6; 256]).unwrap();
    assert_eq!((longest.base_index, longest.infix.len()), (6, 255));
}

#[test]
fn places_of_shared_xattrs() {
    let sb = |bits| Super::new().compat(bits).put(44, &7u32.to_le_bytes()).ok();
    let area = sb(0).shared_xattr(u32::MAX);

    assert_eq!(area.source, Source::Device);
    assert_eq!(area.pos, 7 * 4096 + 4 * 0xffff_ffff);
    let boxed = sb(compat::SHARED_EA_IN_METABOX).shared_xattr(1);
    assert_eq!((boxed.source, boxed.pos), (Source::Metabox, 7 * 4096 + 4));
}

type Attributes = BTreeMap<(u8, Vec<u8>), (Vec<u8>, bool)>;

/// An image with an inode at nid 0 that has these attributes, the marked ones shared; names that
/// begin with `p` are stored by a long prefix.
fn image(attributes: &Attributes) -> Image {
    let (mut shared, mut ids, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut filter = !0u32;

    for ((index, name), (value, is_shared)) in attributes {
        filter &= !(1 << (xxh32(name, Filter::seed(*index)) & 31));
        let bytes = match name.strip_prefix(b"p") {
            // Number 0 is there for `user.`, 1 for `trusted.`.
            Some(rest) if *index == 1 => entry(0x80, rest, value),
            Some(rest) if *index == 4 => entry(0x81, rest, value),
            _ => entry(*index, name, value),
        };

        match is_shared {
            true => {
                ids.extend((shared.len() as u32 / 4).to_le_bytes());
                shared.extend(bytes);
            }
            false => entries.extend(bytes),
        }
    }

    let area = [header(filter, (ids.len() / 4) as u8), ids, entries].concat();
    let units = (area.len() - 12) / 4;
    let record = put(compact(PLAIN, REG, 0), 2, &(units as u16 + 1).to_le_bytes());
    let super_block = Super::new()
        .compat(compat::XATTR_FILTER | compat::PLAIN_XATTR_PFX)
        .put(12, &[9])
        .put(40, &8u32.to_le_bytes())
        .put(91, &[2])
        .put(92, &(3072u32 / 4).to_le_bytes())
        .put(2048, &[2, 0, 1, b'p', 2, 0, 4, b'p']);

    let mut bytes = [vec![0; 1024], super_block.0, record, area].concat();
    let blkaddr = bytes.len().div_ceil(512);
    bytes.resize(blkaddr * 512, 0);
    bytes.extend(shared);
    bytes[1024 + 44..1024 + 48].copy_from_slice(&(blkaddr as u32).to_le_bytes());
    Image::open(Box::new(bytes), Vec::new()).unwrap()
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"pqr"[..]), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_are_found(
        attributes in prop::collection::btree_map(
            (prop::sample::select(&[1u8, 4, 6][..]), name()),
            (prop::collection::vec(any::<u8>(), 0..700), any::<bool>()),
            1..20,
        ),
        others in prop::collection::vec(name(), 0..20),
    ) {
        let image = image(&attributes);
        let (inode, _) = image.inode(Nid(0)).unwrap();
        let expected: BTreeMap<_, _> = attributes
            .iter()
            .map(|((index, name), (value, _))| {
                ([prefix(*index).unwrap(), name].concat(), value.clone())
            })
            .collect();

        prop_assert_eq!(image.xattrs(&inode), Ok(expected));
        for ((index, name), (value, _)) in &attributes {
            prop_assert_eq!(image.getxattr(&inode, *index, name), Ok(Some(value.clone())));
        }
        for name in others {
            for index in [1, 4, 6] {
                let expected = attributes.get(&(index, name.clone())).map(|(v, _)| v.clone());
                prop_assert_eq!(image.getxattr(&inode, index, &name), Ok(expected));
            }
        }
    }
}
