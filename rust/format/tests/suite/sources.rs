// SPDX-License-Identifier: GPL-2.0-only

//! Images that mkfs.erofs makes of something else than a directory: tar files, with sparse ones that
//! need 48-bit addresses, and several images.

use std::{
    fs::{
        self,
        File, //
    },
    io::Write,
    os::unix::fs::FileExt,
    path::{
        Path,
        PathBuf, //
    },
};

use erofs_format::{
    map::Target,
    super_block::incompat, //
};

use crate::{
    common::{
        self,
        census::census,
        tree::Tree,
        Made, //
    },
    reader, //
};

fn fresh(name: &str) -> PathBuf {
    let path = common::scratch().join(name);

    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    path
}

fn mkfs(options: &str, image: &Path, sources: &[&Path]) {
    let args = ["--quiet"].into_iter().chain(options.split_whitespace());
    let paths = [image].into_iter().chain(sources.iter().copied());

    common::run("mkfs.erofs", args.chain(paths.map(|p| p.to_str().unwrap())));
}

/// The source tree as a tar file, which holds no sockets.
fn tar(name: &str) -> (PathBuf, Tree) {
    let (source, tree) = common::source();
    let path = fresh(name);
    let mut tree = tree.clone();

    common::run(
        "tar",
        "--format=posix --xattrs --xattrs-include=* --exclude=./sock --sort=name -cf"
            .split(' ')
            .chain([path.to_str().unwrap(), "-C", source.to_str().unwrap(), "."]),
    );
    tree.remove(&b"/sock"[..]);
    (path, tree)
}

fn check(made: &Made, expected: &Tree) -> reader::Image {
    let image = made.open();

    made.fsck([]);
    common::assert_same(expected, &common::tree_of(&image));
    common::check_directories(&image);
    common::check_reads(&image);
    common::check_extents(made, &image);
    image
}

#[test]
fn tar_full() {
    let (tar, tree) = tar("full.tar");
    let path = fresh("full.erofs");

    mkfs("--tar=f", &path, &[&tar]);
    let made = Made {
        path,
        blobs: Vec::new(),
    };
    check(&made, &tree);
}

#[test]
fn tar_index() {
    let (tar, tree) = tar("index.tar");
    let path = fresh("index.erofs");

    mkfs("-b512 --tar=i", &path, &[&tar]);
    let made = Made {
        path,
        blobs: vec![tar],
    };
    let image = check(&made, &tree);
    assert_eq!(image.sb.extra_devices, 1);
    assert!(census(&image).chunk_indexes > 0);
}

/// Files without data: each is a hole.
#[test]
fn tar_headers() {
    let (tar, mut tree) = tar("headers.tar");
    let headers = fresh("headers-only.tar");
    let path = fresh("headers.erofs");

    // The tar file without the content of files; other content is long names and xattrs.
    let full = fs::read(tar).unwrap();
    let mut out = File::create(&headers).unwrap();
    let mut rest = &full[..];
    while let Some((header, behind)) = rest.split_at_checked(512) {
        let octal = std::str::from_utf8(&header[124..135]).unwrap();
        let size = usize::from_str_radix(octal, 8).unwrap_or(0);
        let (content, behind) = behind.split_at(size.next_multiple_of(512));

        out.write_all(header).unwrap();
        if header[156] != b'0' {
            out.write_all(content).unwrap();
        }
        rest = behind;
    }

    mkfs("-b512 --tar=headerball", &path, &[&headers]);
    for node in tree
        .values_mut()
        .filter(|node| node.mode & 0o170000 == 0o100000)
    {
        node.data.fill(0);
    }
    let made = Made {
        path,
        blobs: Vec::new(),
    };
    let image = made.open();
    common::assert_same(&tree, &common::tree_of(&image));
    let census = census(&image);
    assert!(
        census.plain_holes + census.blockmaps + census.chunk_indexes > 50,
        "{census:?}"
    );
}

/// A tar header.
fn header(name: &str, size: u64) -> [u8; 512] {
    let mut h = [0; 512];
    let mut put = |at: usize, text: &[u8]| h[at..at + text.len()].copy_from_slice(text);

    put(0, name.as_bytes());
    put(100, b"0000644\x000000000\x000000000\0");
    if size < 1 << 33 {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        // Base 256, marked by the highest bit.
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"13727446100\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = h.iter().map(|&b| u32::from(b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    h
}

const HUGE: u64 = 3 << 40;

/// A tar file that takes a few KiB on disk: a file of 3 TiB, then one of 700 bytes.
fn huge_tar(name: &str) -> PathBuf {
    let path = fresh(name);
    let f = File::create(&path).unwrap();
    let end = 512 + HUGE + 512 + 1024;

    f.write_all_at(&header("a_big", HUGE), 0).unwrap();
    f.write_all_at(b"begin", 512).unwrap();
    f.write_all_at(b"end", 512 + HUGE - 3).unwrap();
    f.write_all_at(&header("z", 700), 512 + HUGE).unwrap();
    f.write_all_at(&[b'z'; 700], 1024 + HUGE).unwrap();
    f.set_len(end + 1024).unwrap();
    path
}

fn find(image: &reader::Image, path: &str) -> erofs_format::Inode {
    image.walk(2).unwrap()[path.as_bytes()].0
}

/// An inode whose link count gives way to the high bits of its address.
#[test]
fn nlink_1() {
    let path = fresh("nlink1.erofs");

    mkfs(
        "-b512 -E48bit,^inline_data --tar=f --clean=rvsp",
        &path,
        &[&huge_tar("nlink1.tar")],
    );
    let made = Made {
        path,
        blobs: Vec::new(),
    };
    let image = made.open();
    let z = find(&image, "/z");

    assert_eq!(census(&image).nlink_1, 1);
    assert_eq!(image.walk(1).unwrap()[&b"/z"[..]].1.nlink, 1);
    match image.extent(&z, 0, 8).unwrap().target {
        Target::Mapped { device: 0, pa } => assert!(pa >= HUGE),
        target => panic!("{target:?}"),
    }
    common::check_extents(&made, &image);
}

/// Chunk indexes with 48-bit addresses, and chunks as large as they can be.
#[test]
fn chunks_48bit() {
    let tar = huge_tar("chunk48.tar");
    let path = fresh("chunk48.erofs");

    mkfs("-b512 --tar=i", &path, &[&tar]);
    let made = Made {
        path,
        blobs: vec![tar],
    };
    let image = made.open();
    let (big, z) = (find(&image, "/a_big"), find(&image, "/z"));
    let mut bytes = [0; 5];

    assert!(image.sb.features.has(incompat::BIT48));
    assert!(census(&image).chunks_48bit > 0);
    assert_eq!(image.content(&z).unwrap(), [b'z'; 700]);
    image.read(&big, 0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"begin");
    image.read(&big, HUGE - 4, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0end\0");
    image.read(&big, HUGE / 3 * 2 - 2, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 5]);
    common::check_extents(&made, &image);
}

/// Two images merged into one that points to them as devices, read from the devices and from one
/// flat device.
#[test]
fn merged_images() {
    let (source, tree) = common::source();
    let layers = ["sizes", "wide"].map(|name| {
        let path = fresh(&format!("layer-{name}.erofs"));

        mkfs("-E^inline_data", &path, &[&source.join(name)]);
        path
    });
    let path = fresh("merged.erofs");

    mkfs("", &path, &[&layers[0], &layers[1]]);
    let made = Made {
        path,
        blobs: layers.to_vec(),
    };
    let image = made.open();
    assert_eq!(image.sb.extra_devices, 2);
    made.fsck([]);

    let found = common::tree_of(&image);
    let expected: Vec<_> = ["/sizes/", "/wide/"]
        .iter()
        .flat_map(|top| {
            tree.iter()
                .filter_map(|(path, node)| Some((path.strip_prefix(top.as_bytes())?, node)))
        })
        .collect();
    assert_eq!(found.len(), expected.len() + 1);
    for (name, node) in expected {
        let found = &found[&[b"/", name].concat()];
        assert!(
            (&found.data, found.mode) == (&node.data, node.mode),
            "{name:?}"
        );
    }
    common::check_reads(&image);

    // Each device at its unified address of the primary one.
    let flat = fresh("merged-flat.erofs");
    fs::copy(&made.path, &flat).unwrap();
    let f = File::options().write(true).open(&flat).unwrap();
    for (index, layer) in layers.iter().enumerate() {
        let slot = image.meta(image.sb.device_slot(index as u16)).unwrap();
        let device = erofs_format::device::Slot::parse(&image.sb, &slot)
            .unwrap()
            .device;
        let content = fs::read(layer).unwrap();

        assert_eq!(device.blocks, content.len() as u64 / 4096);
        assert_ne!(device.uniaddr, 0);
        f.write_all_at(&content, device.uniaddr * 4096).unwrap();
    }
    let flat = Made {
        path: flat,
        blobs: Vec::new(),
    };
    common::assert_same(&found, &common::tree_of(&flat.open()));
}

/// A digest of its content on each file, for page cache sharing.
#[test]
fn digests() {
    let (source, tree) = common::source();
    let path = fresh("digest.erofs");

    mkfs("--xattr-inode-digest=trusted.digest", &path, &[source]);
    let made = Made {
        path,
        blobs: Vec::new(),
    };
    let image = made.open();
    let found = common::tree_of(&image);
    let digest = |path: &[u8]| found[path].xattrs.get(&b"trusted.digest"[..]);

    assert_eq!(image.sb.share_prefix, Some(0));
    for (path, node) in tree {
        let has_content = node.mode & 0o170000 == 0o100000 && !node.data.is_empty();

        assert_eq!(
            digest(path).is_some_and(|d| d.starts_with(b"sha256:") && d.len() == 7 + 32),
            has_content,
            "{}",
            String::from_utf8_lossy(path)
        );
    }
    assert_eq!(digest(b"/sizes/100"), digest(b"/link1"));
    assert_ne!(digest(b"/twin1"), digest(b"/twin2"));
}
