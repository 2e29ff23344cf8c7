// SPDX-License-Identifier: GPL-2.0-only

//! Directories: sound ones are searched and read as a sorted map is, and unsound ones are refused or
//! passed over as the C driver does.

use std::collections::BTreeMap;

use erofs_format::{
    dir::{
        d_type,
        find,
        BlockSearch,
        Entries,
        Found,
        Step, //
    },
    Error,
    Nid,
    Result, //
};
use proptest::prelude::*;

use crate::records::EUCLEAN;

type Names = BTreeMap<Vec<u8>, u64>;

/// A directory's blocks, as mkfs.erofs fills them: each as far as it goes. The last one is cut behind
/// its names.
fn blocks(names: &Names, block_size: usize) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    let mut names: Vec<_> = names.iter().collect();

    while !names.is_empty() {
        let mut used = 0;
        let count = names
            .iter()
            .take_while(|(name, _)| {
                used += 12 + name.len();
                used <= block_size
            })
            .count();
        let rest = names.split_off(count);
        let (mut block, mut text) = (Vec::new(), Vec::<u8>::new());

        for (name, nid) in &names {
            block.extend(nid.to_le_bytes());
            block.extend(((count * 12 + text.len()) as u16).to_le_bytes());
            block.extend([(**nid % 8) as u8, 0]);
            text.extend(*name);
        }
        block.extend(text);
        if !rest.is_empty() {
            block.resize(block_size, 0);
        }
        blocks.push(block);
        names = rest;
    }
    blocks
}

/// A whole block of what a page of the page cache would have.
fn padded(block: &[u8], block_size: usize) -> Vec<u8> {
    let mut block = block.to_vec();

    block.resize(block_size, 0);
    block
}

fn lookup(blocks: &[Vec<u8>], block_size: usize, name: &[u8]) -> Result<Option<Found>> {
    let mut search = BlockSearch::new(name, blocks.len() as u64);
    let mut kept = None;
    let mut reads = 0;

    while let Some(index) = search.next() {
        let block = padded(&blocks[index as usize], block_size);

        reads += 1;
        assert!(1 << (reads - 1) <= blocks.len().next_power_of_two());
        match search.feed(&block)? {
            Step::Found(found) => return Ok(Some(found)),
            Step::Keep => kept = Some(block),
            Step::Earlier => {}
        }
    }
    kept.map_or(Ok(None), |block| find(&block, name))
}

fn found(nid: u64) -> Found {
    Found {
        nid: Nid(nid),
        file_type: (nid % 8) as u8,
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    // Few letters make long shared prefixes; any byte but NUL and slash is good for a name.
    prop_oneof![
        prop::collection::vec(prop::sample::select(&b"ab"[..]), 1..12),
        prop::collection::vec(prop_oneof![1..b'/', b'0'..=255], 1..20),
        prop::collection::vec(prop::sample::select(&b"xyz"[..]), 250..=255),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_directories(
        names in prop::collection::btree_map(name(), any::<u64>(), 1..120),
        others in prop::collection::vec(name(), 0..40),
        bits in 9..=12u32,
        from in 0..2000usize,
    ) {
        let size = 1 << bits;
        let blocks = blocks(&names, size);

        for (name, &nid) in &names {
            prop_assert_eq!(lookup(&blocks, size, name), Ok(Some(found(nid))));
        }
        for name in others {
            let expected = names.get(&name).map(|&nid| found(nid));
            prop_assert_eq!(lookup(&blocks, size, &name), Ok(expected));
        }

        let mut read = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            let bytes = padded(block, size);

            for entry in Entries::new(&bytes, block.len() as u32, 0).unwrap() {
                let entry = entry.unwrap();
                read.push((index, entry.offset, entry.name.to_vec(), entry.nid.0));
            }
        }
        prop_assert!(read.iter().map(|e| (&e.2, &e.3)).eq(&names));

        // From anywhere: from the next entry on.
        let (index, offset) = (from / size % blocks.len(), (from % size) as u32);
        let bytes = padded(&blocks[index], size);
        let rest: Vec<_> = Entries::new(&bytes, blocks[index].len() as u32, offset)
            .unwrap()
            .map(|entry| entry.unwrap().offset)
            .collect();
        let expected: Vec<_> = read
            .iter()
            .filter(|e| e.0 == index && e.1 >= offset)
            .map(|e| e.1)
            .collect();
        prop_assert_eq!(rest, expected);
    }

    /// Whatever is in a block: names are not empty, not too long and within the directory.
    #[test]
    fn unsound_directories(
        names in prop::collection::btree_map(name(), any::<u64>(), 1..30),
        damage in prop::collection::vec((0..400usize, any::<u8>()), 0..12),
        size in 0..=512u32,
        offset in 0..600u32,
        wanted in name(),
    ) {
        let mut block = padded(&blocks(&names, 512)[0], 512);

        for (at, byte) in damage {
            block[at] = byte;
        }
        if let Ok(entries) = Entries::new(&block, size, offset) {
            let mut failed = false;

            for entry in entries {
                prop_assert!(!failed, "an entry behind a fault");
                match entry {
                    Ok(entry) => {
                        let start = entry.name.as_ptr() as usize - block.as_ptr() as usize;

                        prop_assert!((1..=255).contains(&entry.name.len()));
                        prop_assert!(start + entry.name.len() <= size as usize);
                        prop_assert!(entry.offset >= offset && entry.offset % 12 == 0);
                    }
                    Err(e) => {
                        prop_assert_eq!(e, Error::Dirent);
                        failed = true;
                    }
                }
            }
        }
        if let Err(e) = lookup(&[block.clone(), block], 512, &wanted) {
            prop_assert_eq!(e.errno(), EUCLEAN);
        }
    }
}

/// A block of 512 bytes with these name offsets, and what else is put into it.
fn block(nameoffs: &[u16], content: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = vec![0; 512];

    for (index, nameoff) in nameoffs.iter().enumerate() {
        block[index * 12] = index as u8 + 1;
        block[index * 12 + 8..][..2].copy_from_slice(&nameoff.to_le_bytes());
    }
    for (at, bytes) in content {
        block[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    block
}

/// The names up to the first fault, which must be `error` if there is one.
fn names(block: &[u8], size: u32, error: Option<Error>) -> Vec<&[u8]> {
    let entries = match Entries::new(block, size, 0) {
        Ok(entries) => entries,
        Err(e) => {
            assert_eq!((Some(e), e.errno()), (error, EUCLEAN));
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    let mut fault = None;

    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.name),
            Err(e) => {
                assert_eq!(e.errno(), EUCLEAN);
                fault = Some(e);
            }
        }
    }
    assert_eq!(fault, error);
    names
}

#[test]
fn name_offsets() {
    // The first tells the number of entries.
    for nameoff in [0, 1, 11, 13, 23, 512, 516, 65_532, 65_535] {
        let expected = Some(Error::NameOffset(nameoff));
        assert!(names(&block(&[nameoff], &[(12, b"a")]), 512, expected).is_empty());
    }
    assert_eq!(names(&block(&[12], &[(12, b"abc")]), 512, None), [b"abc"]);
    assert_eq!(names(&block(&[12], &[(12, b"abc")]), 14, None), [b"ab"]);
    assert_eq!(
        names(&block(&[24, 26], &[(24, b"abc")]), 512, None),
        [&b"ab"[..], b"c"]
    );

    // Empty, backwards, too long, behind the directory's end.
    let bad = Some(Error::Dirent);
    assert!(names(&block(&[12], &[]), 512, bad).is_empty());
    assert!(names(&block(&[24, 24], &[(24, b"a")]), 512, bad).is_empty());
    assert!(names(&block(&[24, 23], &[(24, b"a")]), 512, bad).is_empty());
    assert!(names(&block(&[24, 600], &[(24, b"a")]), 512, bad).is_empty());
    assert!(names(&block(&[12], &[(12, &[b'n'; 256])]), 512, bad).is_empty());
    assert_eq!(
        names(&block(&[12], &[(12, &[b'n'; 255])]), 512, None),
        [[b'n'; 255]]
    );
    assert!(names(&block(&[24, 280], &[(24, &[b'n'; 257])]), 512, bad).is_empty());
    assert!(names(&block(&[12], &[(12, b"a")]), 12, bad).is_empty());
    assert!(names(&block(&[24, 26], &[(24, b"abc")]), 25, bad).is_empty());
    // A fault ends the block, but not what came before it.
    assert_eq!(
        names(&block(&[36, 37, 37], &[(36, b"abc")]), 512, bad),
        [b"a"]
    );

    // What C leaves to the VFS: NUL and slash within a name, names over the entries.
    assert_eq!(
        names(&block(&[24, 27], &[(24, b"a\0/b")]), 512, None),
        [&b"a\0/"[..], b"b"]
    );
    assert_eq!(
        names(&block(&[24, 8], &[(24, b"")]), 512, bad),
        [&[][..]; 0]
    );
}

#[test]
fn lookup_in_unsound_blocks() {
    let one = |block: Vec<u8>, name: &[u8]| lookup(&[block], 512, name);
    let nid = |n| {
        Ok(Some(Found {
            nid: Nid(n),
            file_type: 0,
        }))
    };

    // No entries. Offsets count within the block: 512 is 0.
    for nameoff in [0, 11, 512, 1024 + 5] {
        let error = one(block(&[nameoff], &[(12, b"a")]), b"a").unwrap_err();
        assert!(matches!(error, Error::NameOffset(_)));
        assert_eq!(error.errno(), EUCLEAN);
    }
    assert_eq!(one(block(&[512 + 12], &[(12, b"a")]), b"a"), nid(1));
    assert_eq!(one(block(&[13], &[(13, b"a")]), b"a"), nid(1));

    // A name ends at a NUL; one that ends before it begins is empty and comes before all others.
    let nul = block(&[24, 28], &[(24, b"a\0b\0c")]);
    assert_eq!(one(nul.clone(), b"a"), nid(1));
    assert_eq!(one(nul.clone(), b"c"), nid(2));
    assert_eq!(one(nul, b"b"), Ok(None));
    let backwards = block(&[36, 30, 40], &[(36, b"a\0\0\0c")]);
    assert_eq!(one(backwards.clone(), b"c"), nid(3));
    assert_eq!(one(backwards, b"a"), Ok(None));

    assert_eq!(lookup(&[], 512, b"a"), Ok(None));
}

#[test]
fn types_for_readdir() {
    let expected = [0, 8, 4, 2, 6, 1, 12, 10];

    for file_type in 0..=255 {
        let expected = expected.get(usize::from(file_type)).copied().unwrap_or(0);
        assert_eq!(d_type(file_type), expected);
    }
}
