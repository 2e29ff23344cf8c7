// SPDX-License-Identifier: GPL-2.0-only

//! Images of one source tree over the grid of mkfs.erofs options that make uncompressed images: the
//! tree read through the crate is the source tree, and fsck.erofs and dump.erofs agree.

mod common;
mod reader;

use std::fs;

use common::{
    tree::Tree,
    Made, //
};

/// Makes an image of the source tree.
fn make(name: &str, options: &str) -> Made {
    let (source, _) = common::source();
    let dir = common::scratch();
    let path = dir.join(format!("{name}.erofs"));
    let blob = dir.join(format!("{name}.blob"));
    let options = options.replace("BLOB", blob.to_str().unwrap());

    for old in [&path, &blob] {
        if old.exists() {
            fs::remove_file(old).unwrap();
        }
    }
    let args = ["--quiet"].into_iter().chain(options.split_whitespace());
    common::run(
        "mkfs.erofs",
        args.chain([path.to_str().unwrap(), source.to_str().unwrap()]),
    );
    Made {
        path,
        blobs: [blob].into_iter().filter(|blob| blob.exists()).collect(),
    }
}

/// Makes an image and compares all that there is to compare.
fn check(name: &str, options: &str, adjust: impl FnOnce(&mut Tree)) -> reader::Image {
    let made = make(name, options);
    let mut expected = common::source().1.clone();

    // mkfs.erofs marks the root of a tree with overlayfs's opaque directories.
    let root = expected.get_mut(&b""[..]).unwrap();
    root.xattrs.insert(b"trusted.overlay.origin".to_vec(), Vec::new());
    adjust(&mut expected);
    made.fsck([]);
    let image = made.open();
    common::assert_same(&expected, &common::tree_of(&image));
    common::check_directories(&image);
    common::check_reads(&image);
    common::check_extents(&made, &image);
    image
}

macro_rules! grid {
    ($adjust:expr; $($name:ident: $options:expr;)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), $options, $adjust);
            }
        )*
    };
}

grid! { |_| {};
    default: "";
    block_512: "-b512";
    block_1024: "-b1024";
    block_2048: "-b2048";
    plain: "-E^inline_data";
    plain_512: "-b512 -E^inline_data";
    no_checksum: "-Enosbcrc";
    label_uuid: "-L label -U 11111111-2222-3333-4444-555555555555";
    compact_time: "-T1600000000 --mkfs-time";
    extended: "-Eforce-inode-extended";
    extended_512: "-b512 -Eforce-inode-extended";
    chunks_4k: "--chunksize=4096";
    chunks_64k: "--chunksize=65536";
    chunks_1m: "--chunksize=1048576";
    chunks_512: "-b512 --chunksize=512";
    chunk_indexes: "--chunksize=4096 -Eforce-chunk-indexes";
    chunk_indexes_512: "-b512 --chunksize=2048 -Eforce-chunk-indexes";
    chunk_blockmap: "-Eforce-inode-blockmap";
    blob: "--blobdev=BLOB --chunksize=4096";
    blob_64k: "--blobdev=BLOB --chunksize=65536";
    blob_1024: "-b1024 --blobdev=BLOB --chunksize=1024";
    xattr_inline: "-x1000000";
    xattr_shared: "-x0";
    xattr_shared_512: "-b512 -x0";
    xattr_no_filter: "-E^xattr-name-filter";
    xattr_prefix: "--xattr-prefix=trusted.overlay. --xattr-prefix=user.long.prefix. --xattr-prefix=user.own";
    xattr_prefix_512: "-b512 --xattr-prefix=trusted.overlay. --xattr-prefix=user.";
    xattr_prefix_plain: "-Eplain-xattr-prefixes --xattr-prefix=trusted.overlay.";
    root_xattr_size: "--root-xattr-isize=512";
    metadata_zone: "--MZ";
    metadata_zone_dirs: "--MZ=id";
    dsunit: "--dsunit=16 -E^inline_data";
    aligned: "--fsalignblks=64";
    fragments: "-Efragments --xattr-prefix=trusted.overlay.";
}

/// With 48-bit addresses mkfs.erofs makes compact inodes whatever the time: 32 bits of seconds after
/// the epoch that it chose.
fn compact_times(tree: &mut Tree) {
    for node in tree.values_mut() {
        node.mtime = (i64::from(node.mtime.0 as u32), 0);
    }
}

grid! { compact_times;
    wide: "-E48bit";
    wide_512: "-b512 -E48bit";
    dot_omitted: "-Edot-omitted";
    dot_omitted_512: "-b512 -Edot-omitted";
    chunk_48bit: "--chunksize=8192 -E48bit,force-chunk-indexes";
    metabox: "-m4096";
    metabox_512: "-b512 -m4096";
}
