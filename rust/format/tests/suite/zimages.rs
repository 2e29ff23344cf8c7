// SPDX-License-Identifier: GPL-2.0-only

//! Compressed images over the grid of mkfs.erofs options: each file's extents are those that
//! dump.erofs shows, and plain, LZ4 and packed data is the source's.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::OnceLock, //
};

use erofs_format::{
    inode::{
        FileType,
        Layout, //
    },
    meta::Area,
    super_block::incompat,
    zmap::{
        Coding,
        Want,
        ZExtent,
        ZPlace, //
    },
    Error,
    SuperBlock, //
};

use crate::{
    common::{
        self,
        tree::{
            noise,
            Node,
            Tree, //
        },
    },
    reader::{
        z::Opened,
        Image, //
    },
};

/// Text that compresses well, or not so well.
pub fn text(seed: usize, len: usize) -> Vec<u8> {
    let lines = (seed..).flat_map(|i| format!("line {} of some text\n", i * i % 7919).into_bytes());

    lines.take(len).collect()
}

/// The files that images are made of, by path.
fn source() -> &'static (PathBuf, BTreeMap<String, Vec<u8>>) {
    static SOURCE: OnceLock<(PathBuf, BTreeMap<String, Vec<u8>>)> = OnceLock::new();

    SOURCE.get_or_init(|| {
        let top = common::scratch().join("zsource");
        let mut files = BTreeMap::new();
        let mut file = |name: &str, data: Vec<u8>| files.insert(format!("/{name}"), data);
        let mixed = |seed: usize, count: usize| -> Vec<u8> {
            (seed..seed + count)
                .flat_map(|i| {
                    let noise = noise(i as u64, 3001 + i % 7 * 1000);
                    [noise, vec![b'a'; 5000], text(i, 700 * (i % 5))].concat()
                })
                .collect()
        };

        for size in [1, 300, 4096, 5000, 20_000] {
            file(&format!("text-{size}"), text(size, size));
        }
        for size in [1, 511, 4096, 4097, 9000, 200_123] {
            file(&format!("noise-{size}"), noise(size as u64, size));
        }
        file("text", text(0, 600_000));
        file("mixed", mixed(0, 40));
        file("mixed-shifted", [&[b'x'; 777][..], &mixed(3, 37)].concat());
        file("zeros", vec![0; 3_000_000]);
        let twice = |i| [noise(i, 1000), noise(i, 1000)].concat();
        file("pairs", (0..700).flat_map(twice).collect());
        file("small-tail", [noise(11, 70_000), text(11, 30)].concat());

        if top.exists() {
            fs::remove_dir_all(&top).unwrap();
        }
        fs::create_dir_all(&top).unwrap();
        for (name, data) in &files {
            fs::write(top.join(&name[1..]), data).unwrap();
        }
        let sparse = fs::File::create(top.join("sparse")).unwrap();
        sparse.set_len(700_000).unwrap();
        sparse.write_all_at(&text(5, 9000), 300_000).unwrap();
        files.insert("/sparse".into(), fs::read(top.join("sparse")).unwrap());
        (top, files)
    })
}

/// What an image has: so that a test can tell that its options did something.
#[derive(Debug, Default)]
struct Found {
    full: u32,
    compact: u32,
    in_metabox: u32,
    /// Files with extent records of 4, 8, 16 and 32 bytes.
    records: [u32; 4],
    checkpoints: usize,
    holes: u32,
    fragments: u32,
    whole_fragments: u32,
    inline: u32,
    partial_refs: u32,
    unaligned: u32,
    /// Extents whose data was compared, by coding.
    shifted: u32,
    interlaced: u32,
    lz4: u32,
    compressed: u32,
    /// The largest pcluster and the largest extent, in bytes.
    largest: u32,
    longest: u64,
}

impl Found {
    fn add_file(&mut self, image: &Image, file: &Opened<'_>) {
        let xattrs = file.inode.xattr_area();
        let header = Area {
            pos: (xattrs.pos + u64::from(xattrs.len)).next_multiple_of(8),
            len: 8,
            ..xattrs
        };
        let header = image.meta(header).unwrap();

        self.in_metabox += u32::from(file.inode.nid.in_metabox());
        if file.inode.layout == (Layout::Compressed { compact: true }) {
            self.compact += 1;
        } else {
            self.full += 1;
            if header[7] & 0x80 == 0 && header[4] & 1 != 0 {
                self.records[usize::from((header[4] >> 1) & 3)] += 1;
            }
        }
    }

    fn add(&mut self, image: &Image, size: u64, extent: &ZExtent) {
        match extent.place {
            ZPlace::Hole => self.holes += 1,
            ZPlace::Fragment { .. } => {
                self.fragments += 1;
                self.whole_fragments += u32::from(extent.len == size);
            }
            ZPlace::Mapped(cluster) => {
                match cluster.algorithm {
                    Coding::Shifted => self.shifted += 1,
                    Coding::Interlaced => self.interlaced += 1,
                    Coding::Lz4 | Coding::Lz4Unpadded => self.lz4 += 1,
                    _ => self.compressed += 1,
                }
                self.inline += u32::from(cluster.inline.is_some());
                self.partial_refs += u32::from(cluster.partial_ref);
                self.unaligned +=
                    u32::from(cluster.inline.is_none() && image.sb.block.offset(cluster.pa) != 0);
                self.largest = self.largest.max(cluster.len);
            }
        }
        self.longest = self.longest.max(extent.len);
    }
}

/// What dump.erofs shows of an extent.
pub fn dumped(extent: &ZExtent) -> [u64; 4] {
    let (pa, len) = match extent.place {
        ZPlace::Mapped(cluster) => (cluster.pa, u64::from(cluster.len)),
        ZPlace::Hole | ZPlace::Fragment { .. } => (0, 0),
    };

    [extent.la, extent.len, pa, len]
}

/// Makes an image and compares its files' extents and data.
fn check(name: &str, options: &str, found: &mut Found) -> SuperBlock {
    let (top, files) = source();
    let made = common::make(top, name, options);
    let image = made.open();

    for (path, (inode, attributes)) in &image.walk(2).unwrap() {
        if attributes.file_type != FileType::Regular || !inode.is_compressed() {
            continue;
        }
        let path = std::str::from_utf8(path).unwrap();
        let data = &files[path];
        assert_eq!(inode.size, data.len() as u64);

        let mut file = image.zopen(inode).unwrap();
        found.add_file(&image, &file);

        let (extents, end) = file.extents();
        assert_eq!(end, Ok(()), "{path}");
        let shown = made.dumped_extents(path);
        let own: Vec<_> = extents.iter().map(dumped).collect();
        assert_eq!(own, shown, "{path}");

        for extent in &extents {
            found.add(&image, inode.size, extent);
            check_extent(path, &mut file, extent, data);
        }
        if file.header.is_summed() {
            let count = extents.len() as u64;
            assert_eq!(file.kept.len() as u64, (count - 1) / 64);
            found.checkpoints += file.kept.len();

            // The same without checkpoints.
            for extent in extents.iter().rev().step_by(97) {
                file.kept.clear();
                assert_eq!(file.extent(extent.la, Want::Read, 32).unwrap(), *extent);
            }
        }
    }
    fs::remove_file(&made.path).unwrap();
    image.sb
}

fn check_extent(path: &str, file: &mut Opened<'_>, extent: &ZExtent, data: &[u8]) {
    let end = (extent.la + extent.len).min(data.len() as u64);

    // Every position of the extent leads to its begin; if not so far, then to its end.
    for la in [extent.la, (extent.la + end) / 2, end - 1] {
        for (want, step) in [(Want::Read, 32), (Want::ReadMore, 100), (Want::Fiemap, 32)] {
            let part = file.extent(la, want, step).unwrap();
            let len = match part.full {
                true => part.len,
                false => extent.len,
            };

            // What goes on can end with its last lcluster, behind the file's end.
            assert!(part.len <= extent.len || extent.la + extent.len == file.inode.size);
            assert_eq!(
                ZExtent {
                    len,
                    full: true,
                    ..part
                },
                *extent,
                "{path}: {want:?} at {la}"
            );
        }
    }

    let mut buf = vec![0xaa; (end - extent.la) as usize];
    match file.read(extent, 0, &mut buf) {
        Ok(()) => {
            let same = buf == data[extent.la as usize..end as usize];
            assert!(same, "{path}: other data of {extent:?}");
        }
        Err(e) => assert_eq!(e, Error::Compressed, "{path}"),
    }
}

type Effect = fn(&SuperBlock, &Found) -> bool;

/// Options, the sizes of pclusters that they are for, and what they must lead to with all sizes so far.
const LAYOUTS: [(&str, &[u32], Effect); 15] = [
    ("", SIZES, |_, f| f.compact > 0 && f.full == 0),
    ("", &[1 << 20], |_, f| {
        f.compact > 0 && f.full == 0 && f.largest > 1 << 18
    }),
    ("-Elegacy-compress", SIZES, |_, f| {
        f.full > 0 && f.compact == 0
    }),
    ("-Eztailpacking", SIZES, |_, f| f.inline > 0),
    ("-Efragments", SIZES, |_, f| {
        f.fragments > f.whole_fragments && f.interlaced > 0
    }),
    ("-Eall-fragments", SIZES, |_, f| f.whole_fragments > 10),
    ("-Ededupe", SIZES, |_, f| f.partial_refs > 0),
    ("-Ededupe,fragments,ztailpacking", SIZES, |_, f| {
        f.partial_refs > 0 && f.fragments > 0
    }),
    ("-E48bit", SIZES, |sb, f| {
        sb.features.has(incompat::BIT48) && f.records != [0; 4]
    }),
    ("-E48bit,dedupe,fragments", SIZES, |_, f| {
        f.records != [0; 4] && f.fragments > 0
    }),
    ("-m4096:lz4", SIZES, |sb, f| {
        sb.metabox_nid.is_some() && f.in_metabox > 5
    }),
    ("-b512", SIZES, |sb, f| {
        sb.block.size() == 512 && f.compact > 0
    }),
    ("-b1024 -Eztailpacking", &[8192], |sb, f| {
        sb.block.size() == 1024 && f.inline > 0
    }),
    ("-b2048 -Efragments", &[4096], |sb, f| {
        sb.block.size() == 2048 && f.fragments > 0
    }),
    ("-b512 -E48bit,legacy-compress", &[4096], |_, f| {
        f.records != [0; 4]
    }),
];

const SIZES: &[u32] = &[4096, 65_536, 1 << 20];

/// The whole grid for an algorithm of mkfs.erofs.
fn grid(algorithm: &str) {
    let name = format!("z_{}", algorithm.replace(',', "_"));

    for (layout, sizes, effect) in LAYOUTS {
        let mut found = Found::default();

        for size in sizes {
            let options = format!("-z{algorithm} -C{size} {layout}");

            println!("{options}");
            let sb = check(&name, &options, &mut found);
            assert!(found.largest <= *size);
            assert!(effect(&sb, &found), "no effect: {found:?}");
        }
    }
}

#[test]
fn lz4() {
    grid("lz4");
}

#[test]
fn lz4hc() {
    grid("lz4hc,level=9");
}

#[test]
fn lzma() {
    grid("lzma,level=1");
}

#[test]
fn deflate() {
    grid("deflate");
}

#[test]
fn zstd() {
    grid("zstd");
}

/// Records of 4, 8 and 16 bytes, the first ones not at blocks' begins.
#[test]
fn record_sizes() {
    for (size, options) in [
        "-zzstd -E48bit",
        "-zzstd -C262144 -E48bit,fragments,dedupe",
        "-zlz4hc -C65536 -E48bit",
    ]
    .iter()
    .enumerate()
    {
        let mut found = Found::default();

        check(&format!("z_records{size}"), options, &mut found);
        assert!(found.records[size] > 0, "{options}: {found:?}");
        assert_eq!(found.unaligned > 0, size < 2, "{options}: {found:?}");
        assert!(found.checkpoints > 10 || size > 0, "{options}: {found:?}");
    }
}

/// A whole tree, whose directories are compressed too, as is all metadata.
#[test]
fn compressed_directories() {
    let (top, tree) = common::source();

    for (name, options) in [
        ("z_tree", "-zlz4hc -C65536 --zD -m4096"),
        (
            "z_tree_512",
            "-b512 -zlz4 --zD -Efragments,dedupe,ztailpacking",
        ),
        ("z_tree_48", "-zlz4 -C16384 --zD -E48bit,all-fragments"),
    ] {
        let made = common::make(top, name, options);
        let image = made.open();
        let found = common::tree_of(&image);
        let of = |tree: &Tree| -> Vec<_> {
            let node = |(path, node): (&Vec<u8>, &Node)| (path.clone(), node.mode, node.size);
            tree.iter().map(node).collect()
        };

        assert_eq!(of(&found), of(tree));
        for (path, node) in tree {
            let name = String::from_utf8_lossy(path);
            assert!(found[path].data == node.data, "{name}: other content");
        }
        common::check_reads(&image);
        fs::remove_file(&made.path).unwrap();
    }
}
