// SPDX-License-Identifier: GPL-2.0-only

//! Compression configurations.

use erofs_format::zmap::config::{
    ConfigTable,
    Configs,
    Deflate,
    Lz4,
    Lzma,
    Zstd, //
};

use super::*;

/// Reads the configurations, `step` bytes at a time.
fn parse(sb: &SuperBlock, records: &[u8], step: usize) -> Result<Configs> {
    let mut table = ConfigTable::new(sb);
    let base = 1024 + u64::from(sb.size);

    while let Some(area) = table.wanted() {
        let from = (area.pos - base) as usize;
        let bytes = &records[from..from + (area.len as usize).min(step)];

        assert_eq!(area.source, Source::Device);
        assert!(area.len > 0 && area.len <= sb.block.rest(area.pos));
        table.feed(bytes)?;
    }
    Ok(table.configs())
}

fn with(algorithms: u8) -> Super {
    Super::new()
        .incompat(incompat::COMPR_CFGS)
        .put(84, &[algorithms])
}

/// A configuration of `size` bytes that begins with `bytes`, and its padding.
fn config(size: u16, bytes: &[u8]) -> Vec<u8> {
    let mut record = size.to_le_bytes().to_vec();
    let size = if size == 0 {
        1 << 16
    } else {
        usize::from(size)
    };

    record.extend(bytes);
    record.resize((2 + size).next_multiple_of(4), 0xee);
    record
}

#[test]
fn all_algorithms() {
    let lz4 = config(14, &[0x34, 0x12, 16, 0]);
    let lzma = config(14, &[0, 0, 1, 0, 0, 0]);
    let deflate = config(6, &[15]);
    let zstd = config(6, &[0, 10]);
    let all = Configs {
        lz4: Some(Lz4 {
            max_distance: 0x1234,
            max_pclusterblks: 16,
        }),
        lzma: Some(Lzma { dict_size: 1 << 16 }),
        deflate: Some(Deflate { window_bits: 15 }),
        zstd: Some(Zstd { window_bits: 20 }),
    };

    for step in [1, 3, usize::MAX] {
        let records = [&lz4[..], &lzma, &deflate, &zstd].concat();
        assert_eq!(parse(&with(0xf).ok(), &records, step), Ok(all));
        // Behind the extension slots; over a block's end with blocks of 512 bytes.
        let far = with(0xf).put(12, &[9]).put(13, &[23]).ok();
        assert_eq!(parse(&far, &records, step), Ok(all));
        // Only what is named is there. Sizes can be larger.
        let (lzma, deflate) = (None, None);
        let records = [config(0, &lz4[2..6]), config(21, &[0, 10])].concat();
        let some = Configs {
            lzma,
            deflate,
            ..all
        };
        assert_eq!(parse(&with(9).ok(), &records, step), Ok(some));
    }
    assert_eq!(parse(&with(0).ok(), &[], 1), Ok(Configs::default()));
    let mut table = ConfigTable::new(&with(1).ok());
    assert_eq!(table.feed(&[]).unwrap_err(), Error::Short);
}

#[test]
fn without_configurations() {
    let lz4 = |max_distance| Configs {
        lz4: Some(Lz4 {
            max_distance,
            max_pclusterblks: 1,
        }),
        ..Configs::default()
    };
    let padded = Super::new().incompat(incompat::LZ4_0PADDING);

    assert_eq!(parse(&Super::new().ok(), &[], 1), Ok(Configs::default()));
    assert_eq!(parse(&padded.ok(), &[], 1), Ok(lz4(0)));
    let distance = Super::new().put(84, &[0, 0x40]);
    assert_eq!(parse(&distance.ok(), &[], 1), Ok(lz4(0x4000)));
}

#[test]
fn bogus_configurations() {
    let errno = |algorithm: u8, record: Vec<u8>| {
        let e = parse(&with(1 << algorithm).ok(), &record, usize::MAX).unwrap_err();
        (e.errno(), e)
    };
    let ok = |algorithm: u8, record: Vec<u8>| {
        parse(&with(1 << algorithm).ok(), &record, usize::MAX).unwrap()
    };

    for (algorithm, size) in [(0, 13), (1, 13), (2, 5), (3, 5), (0, 1)] {
        let e = Error::ConfigSize {
            algorithm,
            size: size.into(),
        };
        assert_eq!(errno(algorithm, config(size, &[])), (EINVAL, e));
    }

    let blocks = |count: u16| config(14, &[&[0, 0], &count.to_le_bytes()[..]].concat());
    assert_eq!(ok(0, blocks(0)).lz4.unwrap().max_pclusterblks, 1);
    assert_eq!(ok(0, blocks(256)).lz4.unwrap().max_pclusterblks, 256);
    assert_eq!(errno(0, blocks(257)), (EINVAL, Error::Lz4Blocks(257)));

    let dict = |size: u32, format| config(14, &[&size.to_le_bytes()[..], &[0, format]].concat());
    for size in [4096, 8 << 20] {
        assert_eq!(ok(1, dict(size, 0)).lzma, Some(Lzma { dict_size: size }));
    }
    for size in [0, 4095, (8 << 20) + 1, u32::MAX] {
        assert_eq!(errno(1, dict(size, 0)), (EINVAL, Error::LzmaDictSize(size)));
    }
    let format = |algorithm, format| (EINVAL, Error::ConfigFormat { algorithm, format });
    assert_eq!(errno(1, dict(4096, 1)), format(1, 256));

    for bits in [0, 8, 15] {
        let window = ok(2, config(6, &[bits])).deflate.unwrap().window_bits;
        assert_eq!(window, bits);
    }
    assert_eq!(
        errno(2, config(6, &[16])),
        (EOPNOTSUPP, Error::DeflateWindow(16))
    );

    let window = |log| ok(3, config(6, &[0, log])).zstd.unwrap().window_bits;
    assert_eq!((window(0), window(10)), (10, 20));
    assert_eq!(
        errno(3, config(6, &[0, 11])),
        (EINVAL, Error::ZstdWindow(11))
    );
    assert_eq!(errno(3, config(6, &[1, 0])), format(3, 1));
    assert_eq!(
        errno(3, config(6, &[1, 0])).1.to_string(),
        "unknown format of a compression algorithm (zstd, 1)"
    );
}
