// SPDX-License-Identifier: GPL-2.0-only

//! Extent records of 4, 8, 16 and 32 bytes.

use erofs_format::zmap::Checkpoint;

use super::*;

const EXTENTS: u16 = 1;
const PLEN_PARTIAL: u32 = 1 << 27;

/// An algorithm in a record's first word.
fn format(number: u32) -> u32 {
    (number + 1) << 28
}

/// A file with records of `4 << size` bytes; `count` is of use to a binary search only.
fn file(size: u16, length: u64, advise: u16, count: u64, words: &[u32]) -> File {
    let bits = (count >> 32) as u16;
    let header = header(
        count as u32,
        advise | EXTENTS | (size << 1),
        bits as u8,
        (bits >> 8) as u8,
    );
    let table: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // Records of 16 and 32 bytes are aligned: 64 + 8 bytes precede.
    let padding = [0, 0, 8, 24][usize::from(size)];

    File::new(
        FULL,
        length,
        header,
        &[&vec![0; padding][..], &table].concat(),
    )
}

fn at(la: u64, len: u64, pa: u64, plen: u32, algorithm: Coding) -> ZExtent {
    let mut extent = mapped(la, len, 0, 1, algorithm);

    if let ZPlace::Mapped(cluster) = &mut extent.place {
        (cluster.pa, cluster.len) = (pa, plen);
    }
    extent
}

#[test]
fn sums() {
    let words = [
        9000,
        1,
        format(3) | 100,
        format(3) | PLEN_PARTIAL | 50,
        0,
        4096,
        format(0) | 4096,
    ];
    let start = (1 << 32) + 9000;
    let size = 4 * BLOCK + 5;
    let file = file(0, size, 0, 0, &words);

    assert_eq!(file.map(0, Read), Ok(at(0, BLOCK, start, 100, Zstd)));
    let second = at(BLOCK, BLOCK, start + 100, 50, Zstd);
    assert_eq!(file.map(2 * BLOCK - 1, Fiemap), Ok(partial_ref(second)));
    assert_eq!(file.map(2 * BLOCK, Read), Ok(hole(2 * BLOCK, BLOCK)));
    let plain = at(3 * BLOCK, BLOCK, start + 150, 4096, Shifted);
    assert_eq!(file.map(3 * BLOCK, Read), Ok(plain));
    let last = at(4 * BLOCK, 5, start + 4246, 4096, Lz4);
    assert_eq!(file.map(size - 1, ReadMore), Ok(last));
    assert_eq!(file.map(size, Read), Ok(hole(size, 1)));

    // Of the algorithms only LZ4 has another form without LZ4_0PADDING.
    let file = file.unpadded();
    assert_eq!(file.map(0, Read), Ok(at(0, BLOCK, start, 100, Zstd)));
    assert_eq!(file.map(3 * BLOCK, Read), Ok(plain));
    assert_eq!(file.map(size - 1, ReadMore), Ok(unpadded(last)));

    // An lcluster can have several blocks; the size field has 21 bits.
    let words = [0, 0, 0x07ff_ffff, format(3) | 1];
    let mut file = self::file(0, 5 * BLOCK, 0, 2 << 40, &words);
    assert_eq!(file.errno(0, Read), (EOPNOTSUPP, Error::PclusterSize(0)));
    let second = at(4 * BLOCK, BLOCK, 0x1f_ffff, 1, Zstd);
    assert_eq!(file.map(4 * BLOCK, Read), Ok(second));

    // The base can be anything.
    file.meta[HEADER + 8..HEADER + 16].fill(0xff);
    assert_eq!(
        file.errno(4 * BLOCK, Read).0,
        EUCLEAN,
        "neither a wrap nor a position"
    );
}

/// Looks a position up, from the nearest of `kept` on. Also gives what was passed, and the number of
/// reads.
fn resume(file: &File, la: u64, kept: &[u64]) -> (ZExtent, Vec<Checkpoint>, u32) {
    let header = file.header().unwrap();
    let Plan::Lookup(mut lookup) = Lookup::new(&file.sb, &file.inode, &header, la, Read).unwrap()
    else {
        panic!("no read is needed");
    };
    lookup.resume(kept).unwrap();
    let mut passed = Vec::new();

    for reads in 1.. {
        let extent = lookup.feed(&file.read(lookup.wanted(), u32::MAX)).unwrap();

        passed.extend(lookup.checkpoint());
        assert_eq!(lookup.checkpoint(), None);
        if let Some(extent) = extent {
            return (extent, passed, reads);
        }
    }
    unreachable!()
}

#[test]
fn checkpoints() {
    let sizes: Vec<u32> = (0..1000).map(|n| format(3) | (n * 7 % 4000 + 1)).collect();
    let file = file(0, 1000 * BLOCK, 0, 0, &[&[500, 0], &sizes[..]].concat());
    let mut kept = Vec::new();
    let mut pa = 500;

    assert!(file.header().unwrap().is_summed());
    for (index, size) in (0..).zip(&sizes) {
        let la = index * BLOCK;
        let plen = size & 0xfff_ffff;
        let expected = at(la, BLOCK, pa, plen, Zstd);

        // In order: what precedes was seen. At most the rest of a block, and of a step before.
        let (extent, passed, reads) = resume(&file, la, &kept);
        assert_eq!(extent, expected);
        assert!(reads <= 3, "{reads} reads for {index}");
        for checkpoint in passed {
            assert_eq!(checkpoint.index, kept.len() as u64);
            kept.push(checkpoint.pa);
        }

        // From the first record on, and with less than was seen.
        let (extent, passed, _) = resume(&file, la, &[]);
        assert_eq!(extent, expected);
        let passed: Vec<_> = passed.iter().map(|checkpoint| checkpoint.pa).collect();
        assert_eq!(passed, kept[..index as usize / 64]);
        let half = &kept[..kept.len() / 2];
        assert_eq!(resume(&file, la, half).0, expected);
        pa += u64::from(plen);
    }
    assert_eq!(kept.len(), 15);
    // More than is of use.
    let first = at(0, BLOCK, 500, sizes[0] & 0xfff_ffff, Zstd);
    assert_eq!(resume(&file, 0, &kept), (first, vec![], 1));
    assert_eq!(resume(&file, 900 * BLOCK, &kept).2, 1);
}

#[test]
fn array() {
    let words = [
        format(0) | 4096,
        8192,
        100,
        5,
        format(1) | PLEN_PARTIAL | 77,
        u32::MAX,
    ];
    let file = file(1, 3 * BLOCK - 1, INTERLACED, 0, &words);

    assert!(!file.header().unwrap().is_summed());
    assert_eq!(file.map(1, Read), Ok(at(0, BLOCK, 8192, 4096, Lz4)));
    assert_eq!(
        file.errno(BLOCK, Read),
        (EUCLEAN, Error::NotEnoughPlain(BLOCK))
    );
    let last = at(2 * BLOCK, BLOCK - 1, u32::MAX.into(), 77, Lzma);
    assert_eq!(file.map(2 * BLOCK, Read), Ok(partial_ref(last)));

    // Plain data is interlaced if all of it is in whole blocks.
    for (plen, pa, advise, coding) in [
        (4096, 8192, INTERLACED, Interlaced),
        (4096, 8193, INTERLACED, Shifted),
        (4097, 8192, INTERLACED, Shifted),
        (4096, 8192, 0, Shifted),
    ] {
        let file = self::file(1, BLOCK, advise, 0, &[plen, pa]);
        assert_eq!(file.map(0, Read), Ok(at(0, BLOCK, pa.into(), plen, coding)));
    }
}

#[test]
fn fragments() {
    let pos = 0x9234_5678u32;
    let hi = 0x21u32;
    let wide = u64::from(pos) | (u64::from(hi) << 32);

    let sums = file(0, 2 * BLOCK, FRAGMENT, 0, &[0, 0, format(0) | 1, pos, hi]);
    assert_eq!(
        sums.map(BLOCK, Read),
        Ok(fragment(BLOCK, BLOCK, pos.into()))
    );
    assert_eq!(sums.map(0, Read), Ok(at(0, BLOCK, 0, 1, Lz4)));
    let array = file(1, 2 * BLOCK, FRAGMENT, 0, &[format(0) | 1, 0, pos, hi]);
    assert_eq!(array.map(BLOCK, Read), Ok(fragment(BLOCK, BLOCK, wide)));

    // The upper half of a position has no place.
    let words = [format(0) | 1, 0, 0, 0, pos, hi, 5, 100];
    let binary = file(2, 2 * BLOCK, FRAGMENT, 2, &words);
    assert_eq!(
        binary.map(BLOCK, Read),
        Ok(fragment(100, 2 * BLOCK - 100, wide))
    );
    assert_eq!(binary.map(99, Read), Ok(at(0, 100, 0, 1, Lz4)));
}

/// A record of 16 bytes.
fn record(plen: u32, pa: u64, la: u64) -> Vec<u32> {
    vec![plen, pa as u32, (pa >> 32) as u32, la as u32]
}

#[test]
fn binary_search() {
    let places = [0, 100, 4096, 5000, 5001, 70_000, 80_000];
    let size = 100_000;

    for wide in [false, true] {
        let base = if wide { 5 << 32 } else { 0 };
        for count in 0..=places.len() {
            let words: Vec<u32> = places[..count]
                .iter()
                .flat_map(|&la| {
                    let mut words = record(format(2) | 1, la * 3, base + la);

                    if wide {
                        words.extend([5, 0, 0, 0]);
                    }
                    words
                })
                .collect();
            let size_code = if wide { 3 } else { 2 };
            let mut file = super::extents::file(size_code, base + size, 0, count as u64, &words);
            file.sb.algorithms = 0xf;

            let near = |probe: &u64| places.iter().any(|&la| probe.abs_diff(la) <= 1);

            for probe in (0..size).filter(near).chain([size - 1]) {
                let la = base + probe;
                let next = places[..count].iter().find(|&&place| place > probe);
                let end = base + next.copied().unwrap_or(size);
                let before = places[..count].iter().rev().find(|&&place| place <= probe);
                let expected = match before {
                    None => hole(la, end - la),
                    Some(&place) => at(base + place, end - base - place, place * 3, 1, Deflate),
                };

                assert_eq!(file.map(la, Read), Ok(expected), "{count} records, at {la}");
            }
        }
    }
}

#[test]
fn bogus_records() {
    let size = 100_000;
    let file =
        |count, records: &[Vec<u32>]| super::extents::file(2, size, 0, count, &records.concat());
    let lz4 = format(0) | 4096;

    // Before the first record is a hole.
    let late = file(1, &[record(lz4, 0, 50)]);
    assert_eq!(late.map(49, Read), Ok(hole(49, 1)));
    assert_eq!(late.map(50, Read), Ok(at(50, size - 50, 0, 4096, Lz4)));

    // Beyond the file's end, or out of order on the way of the search.
    let beyond = file(2, &[record(lz4, 0, 0), record(lz4, 0, size + 1)]);
    let order = |la| (EUCLEAN, Error::ExtentOrder(la));
    assert_eq!(beyond.errno(1, Read), order(size + 1));
    let end = file(2, &[record(lz4, 0, 0), record(lz4, 0, size)]);
    assert_eq!(end.map(1, Read), Ok(at(0, size, 0, 4096, Lz4)));
    let swapped = [
        record(lz4, 1, 0),
        record(lz4, 2, 9000),
        record(lz4, 3, 8000),
        record(lz4, 4, 20_000),
    ];
    let swapped = file(4, &swapped);
    for la in [8000, 8500, 9500] {
        assert_eq!(swapped.map(la, Read), Ok(at(8000, 12_000, 3, 4096, Lz4)));
    }
    assert_eq!(swapped.errno(7000, Read), order(9000));
}

#[test]
fn bogus_sizes() {
    let one = |plen, pa| super::extents::file(2, 2 * BLOCK, 0, 1, &record(plen, pa, 0));
    let errno = |plen, pa| one(plen, pa).errno(0, Read);

    assert_eq!(one(0, 5).map(5, Fiemap), Ok(hole(0, 2 * BLOCK)));
    // Algorithms and flags do not make data of nothing.
    let nothing = format(9) | PLEN_PARTIAL;
    assert_eq!(one(nothing, 5).map(5, Fiemap), Ok(hole(0, 2 * BLOCK)));
    // Bits 21 to 26 do not count.
    let spare = format(0) | 0x7e0_0000 | 9;
    assert_eq!(one(spare, 5).map(0, Read), Ok(at(0, 2 * BLOCK, 5, 9, Lz4)));

    let unknown = |number| (EOPNOTSUPP, Error::ExtentAlgorithm { number, la: 0 });
    assert_eq!(errno(format(4) | 9, 0), unknown(4));
    assert_eq!(errno(format(14) | 9, 0), unknown(14));
    assert_eq!(
        errno(format(2) | 9, 0),
        (EUCLEAN, Error::AbsentAlgorithm(2))
    );

    let most = 1 << 20;
    let whole = at(0, 2 * BLOCK, 0, most, Lz4);
    assert_eq!(one(format(0) | most, 0).map(0, Read), Ok(whole));
    let large = format(0) | (most + 1);
    assert_eq!(errno(large, 0), (EOPNOTSUPP, Error::PclusterSize(0)));
    let (plen, size) = (format(0) | 9, 12 << 20);
    let file = super::extents::file(2, size, 0, 1, &record(plen, 0, 0));
    assert_eq!(file.map(0, Read), Ok(at(0, size, 0, 9, Lz4)));
    let file = super::extents::file(2, size + 1, 0, 1, &record(plen, 0, 0));
    assert_eq!(file.errno(0, Read), (EOPNOTSUPP, Error::PclusterSize(0)));

    // The last address is below block 2^48.
    let last = (1 << 60) - 10;
    let extent = at(0, 2 * BLOCK, last, 9, Lz4);
    assert_eq!(one(plen, last).map(0, Read), Ok(extent));
    for pa in [last + 1, u64::MAX - 8, u64::MAX] {
        assert_eq!(errno(plen, pa), (EUCLEAN, Error::PclusterAddress(pa)));
    }
}
