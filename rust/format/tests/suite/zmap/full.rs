// SPDX-License-Identifier: GPL-2.0-only

//! Full indexes, map headers and tails.

use super::*;

impl File {
    /// A file with full indexes.
    fn full(size: u64, header: [u8; 8], indexes: &[[u8; 8]]) -> Self {
        Self::new(FULL, size, header, &[&[[0; 8]], indexes].concat().concat())
    }
}

const P: u16 = 0;
const H1: u16 = 1;
const H2: u16 = 3;
const PARTIAL_REF: u16 = 1 << 15;
const HOLE: u16 = 1 << 14;
const CBLKCNT: u16 = 1 << 11;

/// A full index of a head.
fn head(advise: u16, offset: u16, block: u32) -> [u8; 8] {
    let bytes = [
        &advise.to_le_bytes()[..],
        &offset.to_le_bytes(),
        &block.to_le_bytes(),
    ];
    bytes.concat().try_into().unwrap()
}

/// A full index of no head.
fn non(back: u16, ahead: u16) -> [u8; 8] {
    head(2, 0, u32::from(back) | (u32::from(ahead) << 16))
}

#[test]
fn full_indexes() {
    // Lzma for the first heads, zstd for the second ones.
    let file = File::full(
        6 * BLOCK - 10,
        header(0, 0, 0x31, 0),
        &[
            head(H1, 0, 10),
            non(1, 1),
            head(P | PARTIAL_REF, 100, 11),
            head(H2, 200, 12),
            non(1, 1),
            head(H1 | PARTIAL_REF, 5, 9),
        ],
    );
    let end = 6 * BLOCK - 10;
    let first = mapped(0, 2 * BLOCK + 100, 10, 1, Lzma);
    let plain = partial_ref(mapped(2 * BLOCK + 100, BLOCK + 100, 11, 1, Shifted));
    let second = mapped(3 * BLOCK + 200, 2 * BLOCK - 195, 12, 1, Zstd);
    let last = partial_ref(mapped(5 * BLOCK + 5, BLOCK - 15, 9, 1, Lzma));

    for (la, whole) in [
        (0, first),
        (2 * BLOCK + 99, first),
        (3 * BLOCK + 200, second),
        (5 * BLOCK + 4, second),
        (5 * BLOCK + 5, last),
        (end - 1, last),
    ] {
        assert_eq!(file.map(la, Fiemap), Ok(whole), "at {la}");
    }
    // Plain data must be all there.
    let (errno, e) = file.errno(2 * BLOCK + 100, Fiemap);
    assert_eq!(
        (errno, e),
        (EUCLEAN, Error::NotEnoughPlain(2 * BLOCK + 100))
    );
    let so_far = ZExtent {
        len: BLOCK - 100,
        ..plain
    };
    assert_eq!(file.map(2 * BLOCK + 100, Read), Ok(part(so_far)));

    // What is known without a further index: up to the lcluster's end, also behind the file's end.
    let so_far = |extent, len| part(ZExtent { len, ..extent });
    assert_eq!(file.map(1, Read), Ok(so_far(first, BLOCK)));
    assert_eq!(file.map(BLOCK, Read), Ok(so_far(first, 2 * BLOCK)));
    assert_eq!(file.map(2 * BLOCK, Read), Ok(first));
    assert_eq!(file.map(end - 1, Read), Ok(so_far(last, BLOCK - 5)));

    // Behind the end.
    for la in [end, end + 1, u64::MAX] {
        let expected = hole(end, (la - end).saturating_add(1));
        assert_eq!(file.map(la, Fiemap), Ok(expected));
    }
}

#[test]
fn only_streams_are_read_more() {
    for (algorithms, coding) in [(0, Lz4), (1, Lzma), (2, Deflate), (3, Zstd)] {
        let indexes = [head(H1, 4000, 10), non(1, 2), non(2, 1)];
        let mut file = File::full(3 * BLOCK, header(0, 0, algorithms, 0), &indexes);
        file.sb.algorithms = 0xf;
        let whole = mapped(4000, 3 * BLOCK - 4000, 10, 1, coding);
        let so_far = |len| Ok(part(ZExtent { len, ..whole }));

        // At least a block must be wanted already.
        assert_eq!(file.map(4000, ReadMore), so_far(96));
        assert_eq!(
            file.map(2 * BLOCK - 1, ReadMore),
            match coding {
                Lz4 => so_far(BLOCK + 96),
                _ => Ok(whole),
            }
        );
        assert_eq!(file.map(4000, Fiemap), Ok(whole));
    }
}

#[test]
fn lz4_without_padding() {
    // Lzma for the second heads, and a tail of 60 bytes.
    let file = |kind| {
        let indexes = [
            head(H1, 0, 10),
            head(P, 5, 11),
            head(H2, 10, 12),
            head(kind, 0, 0),
        ];
        let header = header(60 << 16, TAIL_INLINE, 0x10, 0);
        File::full(3 * BLOCK + 100, header, &indexes).unpadded()
    };
    let (with_lz4, with_lzma) = (file(H1), file(H2));
    let first = unpadded(mapped(0, BLOCK + 5, 10, 1, Lz4));

    // Only LZ4 has two forms, wherever it is.
    assert_eq!(with_lz4.map(0, Fiemap), Ok(first));
    let read = ZExtent {
        len: BLOCK,
        ..part(first)
    };
    assert_eq!(with_lz4.map(1, Read), Ok(read));
    let plain = mapped(BLOCK + 5, BLOCK + 5, 11, 1, Shifted);
    assert_eq!(
        with_lz4.errno(BLOCK + 5, Fiemap).1,
        Error::NotEnoughPlain(plain.la)
    );
    let second = mapped(2 * BLOCK + 10, BLOCK - 10, 12, 1, Lzma);
    let too_much = (EUCLEAN, Error::TooMuchCompressed(second.la));
    assert_eq!(with_lz4.errno(second.la, Fiemap), too_much);
    let coding = |file: &File| match file.map(3 * BLOCK, Fiemap).unwrap().place {
        ZPlace::Mapped(cluster) if cluster.inline.is_some() => cluster.algorithm,
        place => panic!("{place:?}"),
    };
    assert_eq!(coding(&with_lz4), Lz4Unpadded);
    assert_eq!(coding(&with_lzma), Lzma);

    // The checks are those of the other form.
    let file = |offset| {
        let indexes = [head(H1, offset, 10), head(H1, 0, 11)];
        File::full(BLOCK + 1, header(0, 0, 0, 0), &indexes).unpadded()
    };
    let whole = unpadded(mapped(0, BLOCK, 10, 1, Lz4));
    let too_much = (EUCLEAN, Error::TooMuchCompressed(1));
    assert_eq!(file(0).map(0, Fiemap), Ok(whole));
    assert_eq!(file(1).errno(1, Fiemap), too_much);
    let mut absent = file(0);
    absent.sb.algorithms = 0xe;
    assert_eq!(absent.errno(0, Read), (EUCLEAN, Error::AbsentAlgorithm(0)));
}

#[test]
fn holes() {
    let advise = BIG1 | BIG2;
    let indexes = [
        head(H1, 0, 10),
        head(P | HOLE, 100, 77),
        non(1, 1),
        head(H1, 0, 20),
        non(CBLKCNT, 1),
        head(H1, 0, 30),
        non(CBLKCNT | 2, 1),
    ];
    let file = File::full(7 * BLOCK, header(0, advise, 0, 0), &indexes);

    assert_eq!(
        file.map(2 * BLOCK, Fiemap),
        Ok(hole(BLOCK + 100, 2 * BLOCK - 100))
    );
    // A block count of 0 is one too.
    assert_eq!(file.map(3 * BLOCK, Fiemap), Ok(hole(3 * BLOCK, 2 * BLOCK)));
    assert_eq!(file.map(4 * BLOCK, Fiemap), Ok(hole(3 * BLOCK, 2 * BLOCK)));
    let last = mapped(5 * BLOCK, 2 * BLOCK, 30, 2, Lz4);
    assert_eq!(file.map(5 * BLOCK, Fiemap), Ok(last));

    // As in C, what precedes a hole is taken for one if the hole's index was read before.
    assert_eq!(file.map(BLOCK, Fiemap), Ok(hole(0, BLOCK + 100)));
    assert_eq!(file.map(0, Fiemap), Ok(hole(0, BLOCK + 100)));
    let file = File::full(3 * BLOCK, header(0, 0, 0, 0), &indexes);
    assert_eq!(file.map(0, Fiemap), Ok(mapped(0, BLOCK + 100, 10, 1, Lz4)));
    assert_eq!(file.map(BLOCK, Fiemap), Ok(hole(0, BLOCK + 100)));
}

#[test]
fn block_counts() {
    let file = |advise, indexes: &[[u8; 8]]| {
        File::full(
            indexes.len() as u64 * BLOCK,
            header(0, advise, 0x30, 0),
            indexes,
        )
    };
    let counted = |kind, count| [head(kind, 0, 10), non(CBLKCNT | count, 2), non(2, 1)];
    let of = |blocks, coding| Ok(mapped(0, 3 * BLOCK, 10, blocks, coding));

    // One flag is for the first heads, the other one for all others.
    let big1 = file(BIG1, &counted(H1, 2));
    assert_eq!(big1.map(0, Fiemap), of(2, Lz4));
    assert_eq!(big1.map(BLOCK, Fiemap), of(2, Lz4));
    assert_eq!(big1.map(2 * BLOCK, Fiemap), of(2, Lz4));
    assert_eq!(file(BIG2, &counted(H2, 2)).map(0, Fiemap), of(2, Zstd));
    assert_eq!(file(BIG2, &counted(P, 3)).map(0, Fiemap), of(3, Shifted));

    // A head of the other kind has one block, unless the count was read on the way.
    let other = file(BIG1, &counted(H2, 2));
    assert_eq!(other.map(0, Read), Ok(part(mapped(0, BLOCK, 10, 1, Zstd))));
    let counted_on_the_way = part(mapped(0, 2 * BLOCK, 10, 2, Zstd));
    assert_eq!(other.map(BLOCK, Read), Ok(counted_on_the_way));

    // No index in between: one block. The last lcluster: one block.
    let heads = file(BIG1, &[head(H1, 0, 10), head(H1, 0, 11)]);
    assert_eq!(heads.map(0, Fiemap), Ok(mapped(0, BLOCK, 10, 1, Lz4)));
    let last = mapped(BLOCK, BLOCK, 11, 1, Lz4);
    assert_eq!(heads.map(BLOCK, Fiemap), Ok(last));

    // Counts that are not allowed, or missing.
    let (errno, e) = file(0, &counted(H1, 2)).errno(BLOCK, Read);
    assert_eq!((errno, e), (EUCLEAN, Error::BlockCount));
    for d0 in [1, 2, 3] {
        let none = file(BIG1, &[head(H1, 0, 10), non(d0, 2), non(2, 1)]);
        assert_eq!(none.errno(0, Read), (EUCLEAN, Error::NoBlockCount(1)));
    }

    // 256 blocks are the most; so many lclusters do not matter to the check.
    let most = file(BIG1, &counted(H1, 256));
    assert_eq!(most.map(2 * BLOCK, Read), of(256, Lz4).map(part));
    let many = file(BIG1, &counted(H1, 257));
    assert_eq!(
        many.errno(2 * BLOCK, Read),
        (EOPNOTSUPP, Error::PclusterSize(0))
    );
    let most = file(BIG1, &counted(H1, 0xf7ff));
    assert_eq!(
        most.errno(2 * BLOCK, Read),
        (EOPNOTSUPP, Error::PclusterSize(0))
    );
}

#[test]
fn lookback() {
    let errno = |indexes: &[[u8; 8]], la, want| {
        let size = indexes.len() as u64 * BLOCK;
        File::full(size, header(0, 0, 0, 0), indexes).errno(la, want)
    };
    let bogus = |distance, lcn| (EUCLEAN, Error::Lookback { distance, lcn });

    // To itself, before the begin, and from the first lcluster before its extent.
    assert_eq!(
        errno(&[head(H1, 0, 1), non(0, 1)], BLOCK, Read),
        bogus(0, 1)
    );
    assert_eq!(
        errno(&[head(H1, 0, 1), non(2, 1)], BLOCK, Read),
        bogus(2, 1)
    );
    assert_eq!(
        errno(&[head(H1, 0, 1), non(0, 2), non(1, 1)], 2 * BLOCK, Read),
        bogus(0, 1)
    );
    assert_eq!(errno(&[head(H1, 1, 1)], 0, Read), bogus(1, 0));
    assert_eq!(errno(&[non(1, 1)], 0, Read), bogus(1, 0));

    // An extent begins outside of its lcluster.
    let outside = [head(H1, 0, 1), head(H1, 4096, 2)];
    assert_eq!(
        errno(&outside, BLOCK, Read),
        (EUCLEAN, Error::ClusterOffset(1))
    );

    // Over another head: what is known of the extent's begin is right, but not its end.
    let indexes = [head(H1, 0, 1), head(H1, 0, 2), non(2, 1)];
    let over = (EUCLEAN, Error::IndexOrder(2 * BLOCK));
    assert_eq!(errno(&indexes, 2 * BLOCK, Fiemap), over);

    // A distance has 11 bits: a long extent is gone through in steps.
    let mut indexes: Vec<_> = (0..6000u32).map(|n| non(n.min(2047) as u16, 0)).collect();
    indexes[0] = head(H1, 0, 5);
    let file = File::full(6000 * BLOCK, header(0, 0, 0, 0), &indexes);
    for la in [0, 2047, 2048, 5999].map(|lcn| lcn * BLOCK) {
        let found = file.map(la, Read);

        // It is larger than 12 MiB.
        match la + BLOCK <= 12 << 20 {
            true => assert_eq!(found, Ok(part(mapped(0, la + BLOCK, 5, 1, Lz4)))),
            false => assert_eq!(found, Err(Error::PclusterSize(0))),
        }
        // Distances of 0 to the next head count as 1.
        assert_eq!(file.map(la, Fiemap), Err(Error::PclusterSize(0)));
    }
}

#[test]
fn tails() {
    let advise = TAIL_INLINE;
    let indexes = [head(H1, 0, 10), head(H1, 50, 11), non(1, 1)];
    let size = 2 * BLOCK + 10;
    let behind = (HEADER + 16 + 3 * 8) as u64;
    let inline = |la, len, size| {
        Ok(ZExtent {
            la,
            len,
            full: true,
            place: ZPlace::Mapped(Cluster {
                pa: behind,
                len: size,
                algorithm: Lz4,
                partial_ref: false,
                inline: Some(Source::Device),
            }),
        })
    };

    // Behind the index of the last byte.
    let file = File::full(size, header(100 << 16, advise, 0, 0), &indexes);
    let tail = inline(BLOCK + 50, size - BLOCK - 50, 100);
    assert_eq!(file.map(2 * BLOCK, Fiemap), tail);
    assert_eq!(file.map(BLOCK + 50, Fiemap), tail);
    let first = mapped(0, BLOCK + 50, 10, 1, Lz4);
    assert_eq!(file.map(BLOCK + 49, Read), Ok(first));
    let most = 4096 - behind as u32;
    let file = File::full(size, header(most << 16, advise, 0, 0), &indexes);
    assert_eq!(
        file.map(2 * BLOCK, Fiemap),
        inline(BLOCK + 50, size - BLOCK - 50, most)
    );
    let file = File::full(size, header((most + 1) << 16, advise, 0, 0), &indexes);
    assert_eq!(
        file.errno(2 * BLOCK, Fiemap),
        (EUCLEAN, Error::InlineAcrossBlocks)
    );
    // The whole file is lost then.
    assert_eq!(file.header().unwrap_err(), Error::InlineAcrossBlocks);
    // No size, no tail.
    let file = File::full(size, header(0, advise, 0, 0), &indexes);
    let last = mapped(BLOCK + 50, size - BLOCK - 50, 11, 1, Lz4);
    assert_eq!(file.map(2 * BLOCK, Fiemap), Ok(last));
    // Another extent's last lcluster ends with the file.
    let short = [head(H1, 0, 10), head(P, 4, 3)];
    let file = File::full(
        BLOCK + 9,
        header(5 << 16, TAIL_INLINE | INTERLACED, 0, 0),
        &short,
    );
    let ZPlace::Mapped(cluster) = file.map(BLOCK + 4, Read).unwrap().place else {
        panic!("not mapped");
    };
    assert_eq!((cluster.algorithm, cluster.len), (Shifted, 5));
    assert_eq!(file.map(BLOCK + 4, Read).unwrap().len, 5);

    // A fragment. Its upper half is the head's block.
    let file = File::full(size, header(0x8000_0001, FRAGMENT, 0, 0), &indexes);
    let pos = 0xb_8000_0001;
    let tail = fragment(BLOCK + 50, size - BLOCK - 50, pos);
    assert_eq!(file.map(2 * BLOCK, Fiemap), Ok(tail));
    assert_eq!(file.map(BLOCK + 49, Read), Ok(first));
    // If it begins in the first lcluster it is all of the file.
    let file = File::full(
        size,
        header(7, FRAGMENT, 0, 0),
        &[head(H1, 50, 0), non(1, 1), non(2, 1)],
    );
    assert_eq!(file.map(0, Read), Ok(fragment(0, size, 7)));
    let nowhere = [head(H1 | HOLE, 0, 10), head(H1 | HOLE, 50, 11), non(1, 1)];
    let file = File::full(size, header(7, FRAGMENT, 0, 0), &nowhere);
    let tail = fragment(BLOCK + 50, size - BLOCK - 50, 0xffff_ffff_0000_0007);
    assert_eq!(file.map(2 * BLOCK, Fiemap), Ok(tail));

    // The whole file, without a table.
    let bytes = ((1u64 << 63) | 0x1234_5678_9abc).to_le_bytes();
    for layout in [FULL, COMPACT] {
        let file = File::new(layout, size, bytes, &[]);
        for la in [0, size - 1] {
            let whole = fragment(0, size, 0x1234_5678_9abc);
            assert_eq!(file.map(la, Read), Ok(whole));
        }
        assert_eq!(file.map(size, Read), Ok(hole(size, 1)));
    }

    // A tail that cannot be found is the header's error.
    let broken = [head(H1, 0, 10), head(H1, 50, 11), non(0, 1)];
    let file = File::full(size, header(1 << 16, TAIL_INLINE, 0, 0), &broken);
    let e = Error::Lookback {
        distance: 0,
        lcn: 2,
    };
    assert_eq!(file.header().unwrap_err(), e);
    // An empty file has none.
    let file = File::full(0, header(1 << 16, TAIL_INLINE, 0, 0), &broken);
    assert_eq!(file.map(0, Read), Ok(hole(0, 1)));
}

#[test]
fn plain_data() {
    let indexes = [head(P, 0, 10), head(P, 0, 11)];
    let file = |advise| File::full(2 * BLOCK, header(0, advise, 0, 0), &indexes);

    assert_eq!(file(0).map(0, Fiemap), Ok(mapped(0, BLOCK, 10, 1, Shifted)));
    assert_eq!(
        file(INTERLACED).map(0, Fiemap),
        Ok(mapped(0, BLOCK, 10, 1, Interlaced))
    );
}

#[test]
fn headers() {
    let errno = |layout, header, table: &[u8]| {
        let e = File::new(layout, BLOCK, header, table)
            .header()
            .unwrap_err();
        (e.errno(), e)
    };
    let unknown = |head, number| (EOPNOTSUPP, Error::HeadAlgorithm { head, number });

    assert_eq!(errno(FULL, header(0, 0, 4, 0), &[]), unknown(1, 4));
    assert_eq!(errno(COMPACT, header(0, 0, 0xf0, 0), &[]), unknown(2, 15));
    for advise in [BIG1, BIG2] {
        let e = (EUCLEAN, Error::BigPclusterHeads);
        assert_eq!(errno(COMPACT, header(0, advise, 0, 0), &[]), e);
        File::full(BLOCK, header(0, advise, 0, 0), &[])
            .header()
            .unwrap();

        let mut file = File::full(BLOCK, header(0, advise, 0, 0), &[]);
        file.sb.features.incompat = 0;
        assert_eq!(file.header().unwrap_err(), Error::BigPcluster);
    }
    assert_eq!(Error::BigPcluster.errno(), EUCLEAN);

    // An algorithm that is not there matters to the extent that has it.
    let indexes = [head(H1, 0, 10), head(H2, 0, 11)];
    let file = File::full(2 * BLOCK, header(0, 0, 0x20, 0), &indexes);
    assert_eq!(file.map(0, Fiemap), Ok(mapped(0, BLOCK, 10, 1, Lz4)));
    assert_eq!(
        file.errno(BLOCK, Read),
        (EUCLEAN, Error::AbsentAlgorithm(2))
    );

    // Larger lclusters: 4096 << 15.
    let file = File::full(
        3 << 27,
        header(0, 0, 0, 15),
        &[head(H1, 9, 10), head(P, 8, 3)],
    );
    let e = Error::Lookback {
        distance: 1,
        lcn: 0,
    };
    assert_eq!(file.errno(8, Read), (EUCLEAN, e));
    assert_eq!(file.errno(9, Read), (EOPNOTSUPP, Error::PclusterSize(9)));

    // Too few bytes; not compressed.
    let mut lookup = HeaderLookup::new(&file.sb, &file.inode).unwrap();
    assert_eq!(lookup.wanted().len, 8);
    assert_eq!(lookup.feed(&[0; 7]).unwrap_err(), Error::Short);
    let (plain, _) = Inode::parse(&file.sb, Nid(0), &extended(PLAIN, REG, 1)).unwrap();
    let e = HeaderLookup::new(&file.sb, &plain).unwrap_err();
    assert_eq!((e.errno(), e), (EUCLEAN, Error::NotCompressed));

    // A compressed size that is larger than the extent's, but at the file's end.
    let indexes = [head(H1, 0, 10), non(CBLKCNT | 3, 1), head(H1, 0, 20)];
    let file = File::full(3 * BLOCK, header(0, BIG1, 0, 0), &indexes);
    assert_eq!(
        file.errno(0, Fiemap),
        (EUCLEAN, Error::TooMuchCompressed(0))
    );
    assert_eq!(file.map(0, Read), Ok(part(mapped(0, BLOCK, 10, 3, Lz4))));
    let file = File::full(2 * BLOCK, header(0, BIG1, 0, 0), &indexes);
    assert_eq!(file.map(0, Fiemap), Ok(mapped(0, 2 * BLOCK, 10, 3, Lz4)));
}
