// SPDX-License-Identifier: GPL-2.0-only

//! Compact indexes.

use super::*;

/// There are packs of 16.
const SIXTEENS: u16 = 1;

const P: u32 = 0;
const H1: u32 = 1;
const NON: u32 = 2;
const H2: u32 = 3;
const CBLKCNT: u32 = 1 << 11;

/// A pack of 2 or 16 indexes, types and values, of which a value has `bits` bits.
fn pack_of(bits: u32, indexes: &[(u32, u32)], address: u32) -> Vec<u8> {
    let unit = match indexes.len() {
        2 => 16,
        16 => 14,
        n => panic!("a pack of {n}"),
    };
    let mut bytes = vec![0u8; if unit == 16 { 4 } else { 28 }];

    for (number, &(kind, value)) in indexes.iter().enumerate() {
        let word = value | (kind << bits);

        for bit in (0..unit).filter(|bit| (word >> bit) & 1 != 0) {
            let at = number * unit + bit;
            bytes[at / 8] |= 1 << (at % 8);
        }
    }
    bytes.extend(address.to_le_bytes());
    bytes
}

fn pack(indexes: &[(u32, u32)], address: u32) -> Vec<u8> {
    pack_of(12, indexes, address)
}

/// The first packs begin 24 bytes before a multiple of 32: there are 3 of them before those of 16.
const FIRST: usize = 6;

/// A file of packs of 2.
fn twos(advise: u16, packs: &[Vec<u8>]) -> File {
    let size = packs.len() as u64 * 2 * BLOCK;

    File::new(COMPACT, size, header(0, advise, 0x30, 0), &packs.concat())
}

/// A file of 6 lclusters of an extent each, and a pack of 16.
fn sixteen(advise: u16, indexes: [(u32, u32); 16], address: u32) -> File {
    let first = pack(&[(H1, 0), (H1, 0)], 1);
    let packs = [&first, &first, &first, &pack(&indexes, address)].map(Vec::clone);
    let size = (FIRST as u64 + 16) * BLOCK;

    File::new(
        COMPACT,
        size,
        header(0, advise | SIXTEENS, 0x30, 0),
        &packs.concat(),
    )
}

#[test]
fn packs_of_two() {
    let file = twos(
        0,
        &[
            pack(&[(H1, 7), (NON, 1)], 99),
            pack(&[(NON, 2), (P, 100)], 100),
            pack(&[(H2, 100), (H1, 200)], 199),
        ],
    );
    let first = mapped(7, 3 * BLOCK + 93, 100, 1, Lz4);
    let plain = mapped(3 * BLOCK + 100, BLOCK, 101, 1, Shifted);
    let second = mapped(4 * BLOCK + 100, BLOCK + 100, 200, 1, Zstd);
    let last = mapped(5 * BLOCK + 200, BLOCK - 200, 201, 1, Lz4);

    for (la, extent) in [
        (7, first),
        (BLOCK, first),
        (2 * BLOCK, first),
        (3 * BLOCK + 99, first),
        (3 * BLOCK + 100, plain),
        (4 * BLOCK + 100, second),
        (5 * BLOCK + 200, last),
    ] {
        assert_eq!(file.map(la, Fiemap), Ok(extent), "at {la}");
    }
    // The same in an image without LZ4_0PADDING.
    let file = file.unpadded();
    assert_eq!(file.map(BLOCK, Fiemap), Ok(unpadded(first)));
    assert_eq!(file.map(3 * BLOCK + 100, Fiemap), Ok(plain));
    assert_eq!(file.map(4 * BLOCK + 100, Fiemap), Ok(second));
    assert_eq!(file.map(5 * BLOCK + 200, Fiemap), Ok(unpadded(last)));
    // It has no begin.
    let e = Error::Lookback {
        distance: 1,
        lcn: 0,
    };
    assert_eq!(file.errno(6, Read), (EUCLEAN, e));
}

#[test]
fn the_last_of_a_pack() {
    // Its value is the distance to the next head; its own head is found by the index before it.
    let after = |before, value| {
        let packs = [
            pack(&[before, (NON, value)], 9),
            pack(&[(H1, 0), (H1, 0)], 20),
        ];
        twos(BIG1 | BIG2, &packs)
    };
    let head = after((H1, 0), 1);
    assert_eq!(head.errno(0, Read), (EUCLEAN, Error::NoBlockCount(1)));
    assert_eq!(head.errno(BLOCK, Read), (EUCLEAN, Error::NoBlockCount(1)));

    // Two lclusters before this pack: the count's index is the first one of it.
    let file = |count, value| {
        let packs = [
            pack(&[(H1, 0), (H1, 5)], 9),
            pack(&[(NON, CBLKCNT | count), (NON, value)], 9),
            pack(&[(H1, 50), (H1, 0)], 20),
        ];
        twos(BIG1 | BIG2, &packs)
    };
    let whole = mapped(BLOCK + 5, 3 * BLOCK + 45, 10, 2, Lz4);
    for (la, value) in [
        (BLOCK + 5, 1),
        (2 * BLOCK, 1),
        (3 * BLOCK, 1),
        (3 * BLOCK, 0),
    ] {
        assert_eq!(file(2, value).map(la, Fiemap), Ok(whole), "at {la}");
    }
    // A block count there is the extent's, too.
    let counted = after((H1, 0), CBLKCNT | 2);
    assert_eq!(counted.map(0, Fiemap), Ok(mapped(0, 2 * BLOCK, 9, 2, Lz4)));
    assert_eq!(
        counted.map(BLOCK, Fiemap),
        Ok(mapped(0, 2 * BLOCK, 9, 2, Lz4))
    );
    // No block at all.
    assert_eq!(
        file(0, 1).map(2 * BLOCK, Fiemap),
        Ok(hole(BLOCK + 5, 3 * BLOCK + 45))
    );
}

#[test]
fn packs_of_sixteen() {
    // Heads at 0, 3 and 15.
    let mut indexes = [(NON, 0); 16];
    for (number, index) in indexes.iter_mut().enumerate() {
        index.1 = (number % 3) as u32;
    }
    for at in [0, 3, 6, 9, 12, 15] {
        indexes[at] = (H1, 10 + at as u32);
    }
    let file = sixteen(0, indexes, 500);
    for at in [0, 3, 6, 9, 12, 15u64] {
        let la = (6 + at) * BLOCK + 10 + at;
        let len = if at == 15 { BLOCK - 25 } else { 3 * BLOCK + 3 };

        for probe in [la, la + len - 1] {
            let extent = mapped(la, len, 501 + at / 3, 1, Lz4);
            assert_eq!(file.map(probe, Fiemap), Ok(extent), "at {probe}");
        }
    }

    // Big pclusters: the counts are summed up.
    let mut indexes = [(NON, 0); 16];
    indexes[0] = (H1, 0);
    indexes[1] = (NON, CBLKCNT | 3);
    indexes[2] = (NON, 2);
    indexes[3] = (P, 0);
    indexes[4] = (H2, 0);
    indexes[5] = (NON, CBLKCNT | 200);
    for (number, index) in indexes.iter_mut().enumerate().skip(6) {
        index.1 = number as u32 - 4;
    }
    indexes[15] = (H1, 0);
    let file = sixteen(BIG1 | BIG2, indexes, 500);
    let la = |number: u64| (6 + number) * BLOCK;
    let first = mapped(la(0), 3 * BLOCK, 500, 3, Lz4);
    let plain = mapped(la(3), BLOCK, 503, 1, Shifted);
    let last = mapped(la(15), BLOCK, 704, 1, Lz4);
    assert_eq!(file.map(la(2), Fiemap), Ok(first));
    assert_eq!(file.map(la(3), Fiemap), Ok(plain));
    let e = Error::TooMuchCompressed(la(4));
    assert_eq!(file.errno(la(14), Fiemap), (EUCLEAN, e));
    let so_far = part(mapped(la(4), 2 * BLOCK, 504, 200, Zstd));
    assert_eq!(file.map(la(5), Read), Ok(so_far));
    assert_eq!(file.map(la(15), Read), Ok(part(last)));

    // A distance where a count must have been.
    for value in [0, 1] {
        indexes[14] = (NON, value);
        let file = sixteen(BIG1 | BIG2, indexes, 500);
        assert_eq!(file.errno(la(15), Read), (EUCLEAN, Error::BlockCount));
    }
    // A distance out of the pack ends the sum; so does one without big pclusters.
    indexes[14] = (NON, 2047);
    let far = sixteen(BIG1 | BIG2, indexes, 500);
    assert_eq!(
        far.map(la(15), Fiemap),
        Ok(mapped(la(15), BLOCK, 500, 1, Lz4))
    );
    let mut indexes = [(NON, 2047); 16];
    indexes[15] = (H1, 0);
    let far = sixteen(0, indexes, 500);
    assert_eq!(
        far.map(la(15), Fiemap),
        Ok(mapped(la(15), BLOCK, 501, 1, Lz4))
    );
    // A count needs the feature.
    indexes[14] = (NON, CBLKCNT | 1);
    let file = sixteen(0, indexes, 500);
    assert_eq!(file.errno(la(14), Read), (EUCLEAN, Error::BlockCount));

    // The address has 32 bits.
    let file = sixteen(0, [(H1, 0); 16], u32::MAX);
    assert_eq!(file.map(la(0), Fiemap), Ok(mapped(la(0), BLOCK, 0, 1, Lz4)));
}

#[test]
fn limits() {
    let errno = |size, clusterbits, la| {
        let header = header(0, SIXTEENS, 0, clusterbits);
        File::new(COMPACT, size, header, &[]).errno(la, Read)
    };

    // The number of indexes has 32 bits, as in C.
    assert_eq!(errno(1 << 44, 0, 0), (EINVAL, Error::IndexRange(0)));
    let size = (1 << 44) + 3 * BLOCK;
    assert_eq!(errno(size, 0, 3 * BLOCK), (EINVAL, Error::IndexRange(3)));
    // 2^14 is the largest lcluster, 2^12 in packs of 16.
    assert_eq!(errno(1 << 30, 3, 0), (EINVAL, Error::LclusterSize(15)));
    let late = 6 << 13;
    assert_eq!(
        errno(1 << 30, 1, late),
        (EOPNOTSUPP, Error::LclusterPack(13))
    );

    // Values have as many bits as the lcluster size.
    let packs = [pack_of(14, &[(H1, 16_000), (H1, 16_383)], 9), vec![0; 64]].concat();
    let file = File::new(COMPACT, 1 << 16, header(0, SIXTEENS, 0, 2), &packs);
    assert_eq!(
        file.map(16_000, Read),
        Ok(part(mapped(16_000, 384, 10, 1, Lz4)))
    );
    let whole = mapped(16_000, (1 << 14) + 383, 10, 1, Lz4);
    assert_eq!(file.map(16_000, Fiemap), Ok(whole));

    // And 12 at least, which is too many for a small lcluster.
    let packs = pack(&[(H1, 511), (H1, 512)], 9);
    let mut file = File::new(COMPACT, 1024, header(0, 0, 0, 0), &packs);
    file.sb = Super::new()
        .incompat(incompat::BIG_PCLUSTER)
        .put(12, &[9])
        .put(84, &[1])
        .ok();
    assert_eq!(file.map(511, Read).map(|extent| extent.len), Ok(1));
    assert_eq!(file.errno(512, Read), (EUCLEAN, Error::ClusterOffset(1)));
}
