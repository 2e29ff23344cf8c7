// SPDX-License-Identifier: GPL-2.0-only

//! The superblock and the device table: what is refused, with which errno, and what is just still
//! accepted.

use erofs_format::{
    device::{
        map_dev,
        Device,
        Devices,
        Place,
        Slot, //
    },
    meta::{
        Area,
        Source, //
    },
    super_block::{
        compat,
        incompat,
        AlgorithmNames,
        FeatureNames, //
    },
    Error,
    Nid,
    SuperBlock, //
};

use crate::{
    reader::crc32c,
    records::*, //
};

impl Super {
    fn checksum(self, len: usize) -> Self {
        // The same polynomial over magic and a zero checksum gives the seed.
        let crc = crc32c(crc32c(!0, &self.0[..4]), &[0; 4]);
        assert_eq!(crc, 0x5045_b54a);
        let crc = crc32c(crc, &self.0[8..len]);
        self.put(4, &crc.to_le_bytes())
    }

    #[track_caller]
    fn refused(&self, error: Error, errno: i32) {
        assert_eq!(self.parse().unwrap_err(), error);
        assert_eq!(error.errno(), errno);
    }
}

#[test]
fn super_block_magic_and_block_size() {
    Super::new()
        .put(3, &[0])
        .refused(Error::Magic(0x00f5_e1e2), EINVAL);
    for bits in 0..=255 {
        let sb = Super::new().put(12, &[bits]);

        match bits {
            9..=12 => assert_eq!(sb.ok().block.size(), 1 << bits),
            _ => sb.refused(Error::BlockBits(bits), EINVAL),
        }
    }
    // A block is no larger than a page.
    let sb = Super::new().put(12, &[14]);
    assert!(SuperBlock::parse(&sb.0, 14, crc32c).is_ok());
    assert_eq!(
        SuperBlock::parse(&sb.0, 13, crc32c).unwrap_err(),
        Error::BlockBits(14)
    );
    Super::new()
        .put(90, &[1])
        .refused(Error::DirBlockBits(1), EINVAL);
    assert_eq!(
        SuperBlock::parse(&Super::new().0[..127], 12, crc32c).unwrap_err(),
        Error::Short
    );
    assert_eq!(Error::Short.errno(), EIO);
}

#[test]
fn super_block_checksum() {
    // A block that holds more than what precedes the superblock ends what is covered.
    for (bits, len) in [(9, 512), (10, 1024), (11, 1024), (12, 3072)] {
        let sb = Super::new()
            .compat(compat::SB_CHKSUM)
            .put(12, &[bits])
            .put(len - 1, &[0x5a])
            .checksum(len);
        sb.ok();

        let broken = sb.put(len - 1, &[0]);
        let error = broken.parse().unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }));
        assert_eq!(error.errno(), EBADMSG);
        // What is behind does not count, and nothing does without the feature.
        if len < 3072 {
            broken.put(len - 1, &[0x5a]).put(len, &[1]).ok();
        }
    }
    let sb = Super::new().compat(compat::SB_CHKSUM).checksum(3072);
    assert_eq!(
        SuperBlock::parse(&sb.0[..3000], 12, crc32c).unwrap_err(),
        Error::Short
    );
    // The checksum comes before the features.
    let error = Super::new()
        .compat(compat::SB_CHKSUM)
        .incompat(!0)
        .parse()
        .unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }));
}

#[test]
fn super_block_features() {
    Super::new()
        .compat(!compat::SB_CHKSUM & !compat::ISHARE_XATTRS)
        .ok();
    Super::new()
        .incompat(incompat::ALL & !incompat::METABOX)
        .ok();
    Super::new()
        .incompat(0x8000_0a01)
        .refused(Error::UnknownIncompat(0x8000_0a00), EINVAL);
    assert_eq!(
        Error::UnknownIncompat(0x8000_0a00).to_string(),
        "unknown incompatible features (bit 9, bit 11, bit 31)"
    );
    assert_eq!(
        FeatureNames(incompat::BIT48 | incompat::METABOX).to_string(),
        "48bit, metabox"
    );

    // Slots up to the page's end.
    Super::new().put(13, &[184]).ok();
    Super::new()
        .put(13, &[185])
        .refused(Error::ExtSlots(185), EINVAL);

    let share = |id, count| {
        Super::new()
            .compat(compat::ISHARE_XATTRS)
            .put(91, &[count])
            .put(105, &[id])
    };
    assert_eq!(share(2, 3).ok().share_prefix, Some(2));
    share(3, 3).refused(Error::SharePrefix(3), EUCLEAN);
    assert_eq!(share(3, 3).compat(0).ok().share_prefix, None);
}

#[test]
fn super_block_root_and_blocks() {
    let sb = || {
        Super::new()
            .put(14, &0x1234u16.to_le_bytes())
            .put(36, &0x89ab_cdefu32.to_le_bytes())
    };
    let wide = |sb: Super| sb.put(112, &0x11_2233_4455u64.to_le_bytes());

    let plain = wide(sb()).ok();
    assert_eq!((plain.root_nid, plain.blocks), (Nid(0x1234), 0x89ab_cdef));
    // Without an 8-byte nid the 2 bytes are a nid, 48-bit or not.
    let short = sb().incompat(incompat::BIT48).ok();
    assert_eq!((short.root_nid, short.blocks), (Nid(0x1234), 0x89ab_cdef));
    let long = wide(sb()).incompat(incompat::BIT48).ok();
    assert_eq!(
        (long.root_nid, long.blocks),
        (Nid(0x11_2233_4455), 0x1234_89ab_cdef)
    );
}

#[test]
fn super_block_metabox_and_packed() {
    let metabox = |nid: u64, slots| {
        Super::new()
            .incompat(incompat::METABOX)
            .put(13, &[slots])
            .put(128, &nid.to_le_bytes())
    };
    assert_eq!(metabox(9, 1).ok().metabox_nid, Some(Nid(9)));
    assert_eq!(metabox(9, 1).incompat(0).ok().metabox_nid, None);
    metabox(9, 0).refused(Error::MetaboxNid, EUCLEAN);
    metabox(9 | (1 << 63), 1).refused(Error::MetaboxNid, EUCLEAN);

    let packed = |nid: u64, bits| {
        let sb = Super::new().put(96, &nid.to_le_bytes()).incompat(bits);
        sb.ok().packed_nid
    };
    assert_eq!(packed(7, incompat::FRAGMENTS), Some(Nid(7)));
    assert_eq!(packed(0, incompat::FRAGMENTS), None);
    assert_eq!(packed(7, 0), None);
}

#[test]
fn super_block_compression() {
    let sb = |field: u16, bits| Super::new().put(84, &field.to_le_bytes()).incompat(bits);
    let algorithms = |field, bits| sb(field, bits).ok().algorithms;

    assert_eq!(algorithms(0, 0), 0);
    assert_eq!(algorithms(1000, 0), 1);
    assert_eq!(algorithms(0, incompat::LZ4_0PADDING), 1);
    assert_eq!(algorithms(0, incompat::COMPR_CFGS), 0);
    assert_eq!(algorithms(0xf, incompat::COMPR_CFGS), 0xf);
    assert_eq!(sb(1000, 0).ok().lz4_max_distance, 1000);
    assert_eq!(sb(9, incompat::COMPR_CFGS).ok().lz4_max_distance, 0);
    sb(0x21, incompat::COMPR_CFGS).refused(Error::UnknownAlgorithms(0x20), EOPNOTSUPP);
    assert_eq!(AlgorithmNames(0x1a).to_string(), "lzma, zstd, bit 4");
}

#[test]
fn label_and_filter() {
    let sb = Super::new().put(64, b"0123456789abcdef").ok();
    assert_eq!(sb.label(), b"0123456789abcdef");
    assert_eq!(Super::new().put(64, b"ab\0cd").ok().label(), b"ab");
    assert_eq!(Super::new().ok().label(), b"");

    let filter = |reserved| {
        let sb = Super::new()
            .compat(compat::XATTR_FILTER)
            .put(104, &[reserved]);
        sb.ok().xattr_filter
    };
    assert!(filter(0));
    assert!(!filter(1));
    assert!(!Super::new().ok().xattr_filter);
}

fn device_slot(tag: &[u8], blocks: u64, uniaddr: u64) -> Vec<u8> {
    let mut slot = vec![0; 128];

    slot[..tag.len()].copy_from_slice(tag);
    slot[64..68].copy_from_slice(&blocks.to_le_bytes()[..4]);
    slot[68..72].copy_from_slice(&uniaddr.to_le_bytes()[..4]);
    slot[72..74].copy_from_slice(&blocks.to_le_bytes()[4..6]);
    slot[74..76].copy_from_slice(&uniaddr.to_le_bytes()[4..6]);
    slot
}

#[test]
fn device_table() {
    let sb = with_devices(3, 0).ok();
    assert_eq!(sb.devices(0), Ok(Devices::Flat));
    assert_eq!(sb.devices(3), Ok(Devices::Separate));
    for given in [1, 2, 4, 65_539] {
        let error = sb.devices(given).unwrap_err();
        assert_eq!(error, Error::DeviceCount { on_disk: 3, given });
        assert_eq!(error.errno(), EINVAL);
    }
    assert_eq!(
        sb.device_slot(2),
        Area {
            source: Source::Device,
            pos: (9 + 2) * 128,
            len: 128
        }
    );
    // No table, no devices.
    let none = with_devices(3, 0).incompat(0).ok();
    assert_eq!(none.devices(0), Ok(Devices::None));
    assert!(none.devices(3).is_err());

    let raw = device_slot(b"/dev/sdb", 0x1122_3344_5566, 0x7788_99aa_bbcc);
    let slot = Slot::parse(&sb, &raw).unwrap();
    assert_eq!(slot.path(), Ok(&b"/dev/sdb"[..]));
    assert_eq!(
        (slot.device.blocks, slot.device.uniaddr),
        (0x3344_5566, 0x99aa_bbcc)
    );
    let wide = with_devices(3, incompat::BIT48).ok();
    let slot = Slot::parse(&wide, &raw).unwrap();
    assert_eq!(
        (slot.device.blocks, slot.device.uniaddr),
        (0x1122_3344_5566, 0x7788_99aa_bbcc)
    );
    let full = Slot::parse(&sb, &device_slot(&[b'x'; 64], 1, 0)).unwrap();
    assert_eq!(full.path().unwrap().len(), 64);
    let empty = Slot::parse(&sb, &device_slot(b"\0x", 1, 0)).unwrap();
    assert_eq!(empty.path().unwrap_err(), Error::DeviceTag);
    assert_eq!(Error::DeviceTag.errno(), EINVAL);
    assert_eq!(Slot::parse(&sb, &raw[..127]).unwrap_err(), Error::Short);
}

#[test]
fn devices_of_extents() {
    let block = Super::new().ok().block;
    let device = |blocks, uniaddr| Device { blocks, uniaddr };
    let table = [device(10, 100), device(5, 0), device(10, 110)];
    let map = |devices, id, pa| map_dev(block, devices, &table, id, pa);
    let at = |device, pos| Ok(Place { device, pos });

    // By number.
    assert_eq!(map(Devices::Separate, 2, 77), at(Some(1), 77));
    assert_eq!(map(Devices::Flat, 1, 77), at(None, 100 * 4096 + 77));
    for devices in [Devices::Separate, Devices::Flat] {
        assert_eq!(map(devices, 4, 0), Err(Error::NoDevice(4)));
    }
    assert_eq!(Error::NoDevice(4).errno(), ENODEV);

    // By unified address, only if they are separate.
    for (pa, place) in [
        (0, (None, 0)),
        (100 * 4096 - 1, (None, 100 * 4096 - 1)),
        (100 * 4096, (Some(0), 0)),
        (110 * 4096 - 1, (Some(0), 10 * 4096 - 1)),
        (110 * 4096, (Some(2), 0)),
        (120 * 4096, (None, 120 * 4096)),
        (u64::MAX, (None, u64::MAX)),
    ] {
        assert_eq!(map(Devices::Separate, 0, pa), at(place.0, place.1));
        assert_eq!(map(Devices::Flat, 0, pa), at(None, pa));
    }
}
