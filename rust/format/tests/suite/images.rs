// SPDX-License-Identifier: GPL-2.0-only

//! Images of one source tree over the grid of mkfs.erofs options that make uncompressed images: the
//! tree read through the crate is the source tree, and fsck.erofs and dump.erofs agree.

use erofs_format::super_block::{
    compat,
    incompat, //
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

/// Makes an image of the source tree.
fn make(name: &str, options: &str) -> Made {
    common::make(&common::source().0, name, options)
}

/// Makes an image and compares all that there is to compare.
fn check(name: &str, options: &str, adjust: impl FnOnce(&mut Tree)) -> reader::Image {
    let made = make(name, options);
    let mut expected = common::source().1.clone();

    // mkfs.erofs marks the root of a tree with overlayfs's opaque directories.
    let root = expected.get_mut(&b""[..]).unwrap();
    root.xattrs
        .insert(b"trusted.overlay.origin".to_vec(), Vec::new());
    adjust(&mut expected);
    made.fsck([]);
    let image = made.open();
    common::assert_same(&expected, &common::tree_of(&image));
    common::check_directories(&image);
    common::check_reads(&image);
    common::check_extents(&made, &image);
    image
}

/// fsck.erofs extracts what the crate reads.
#[test]
fn extracted() {
    for (name, options) in [
        ("extract", ""),
        ("extract_512", "-b512 --chunksize=512 -x0"),
    ] {
        common::check_extracted(&make(name, options));
    }
}

/// Each line is a test: its name, the options, and what they must lead to.
macro_rules! grid {
    ($adjust:expr; $($name:ident: $options:expr => |$sb:tt, $c:tt| $effect:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let image = check(stringify!($name), $options, $adjust);
                let (sb, census) = (&image.sb, &census(&image));
                let ($sb, $c) = (sb, census);

                assert!($effect, "no effect: {sb:?} {census:?}");
            }
        )*
    };
}

grid! { |_| {};
    default: "" => |sb, c| sb.block.size() == 4096 && sb.features.has_compat(compat::SB_CHKSUM)
        && c.extended > 0 && c.inline > 0 && c.fast_symlinks > 0
        && c.slow_symlinks > 0 && c.large_directories > 0 && c.shared_xattrs > 0
        && c.inline_xattrs > 0 && sb.xattr_filter;
    block_512: "-b512" => |sb, c| sb.block.size() == 512 && c.slow_symlinks > 0
        && c.xattrs_across > 0;
    block_1024: "-b1024" => |sb, c| sb.block.size() == 1024 && c.inline > 0;
    block_2048: "-b2048" => |sb, c| sb.block.size() == 2048 && c.inline > 0;
    plain: "-E^inline_data" => |_, c| c.plain > 0 && c.inline == 0;
    plain_512: "-b512 -E^inline_data" => |sb, c| sb.block.size() == 512 && c.plain > 0;
    no_checksum: "-Enosbcrc" => |sb, _| !sb.features.has_compat(compat::SB_CHKSUM);
    label_uuid: "-L label -U 11111111-2222-3333-4444-555555555555" => |sb, _|
        sb.label() == b"label" && sb.uuid[..5] == [0x11, 0x11, 0x11, 0x11, 0x22];
    label_longest: "-L 123456789012345" => |sb, _| sb.label() == b"123456789012345";
    build_time: "-T1600000000 --mkfs-time" => |sb, c|
        sb.epoch + i64::from(sb.build_time) == 1_600_000_000 && c.compact == 0;
    extended: "-Eforce-inode-extended" => |_, c| c.compact == 0;
    extended_512: "-b512 -Eforce-inode-extended" => |_, c| c.compact == 0 && c.straddling > 0;
    chunks_4k: "--chunksize=4096" => |_, c| c.blockmaps > 0;
    chunks_64k: "--chunksize=65536" => |sb, c| c.blockmaps > 0
        && sb.features.has(incompat::CHUNKED_FILE);
    chunks_1m: "--chunksize=1048576" => |_, c| c.blockmaps > 0;
    chunks_512: "-b512 --chunksize=512" => |_, c| c.blockmaps > 0;
    chunk_indexes: "--chunksize=4096 -Eforce-chunk-indexes" => |_, c| c.chunk_indexes > 0;
    chunk_indexes_512: "-b512 --chunksize=2048 -Eforce-chunk-indexes" => |_, c|
        c.chunk_indexes > 0;
    chunk_blockmap: "--chunksize=4096 -Eforce-inode-blockmap" => |_, c| c.blockmaps > 0;
    blob: "--blobdev=BLOB --chunksize=4096" => |sb, c| sb.extra_devices == 1
        && c.chunk_indexes > 0;
    blob_64k: "--blobdev=BLOB --chunksize=65536" => |sb, _| sb.extra_devices == 1;
    blob_1024: "-b1024 --blobdev=BLOB --chunksize=1024" => |sb, _| sb.extra_devices == 1;
    xattr_inline: "-x1000000" => |_, c| c.shared_xattrs == 0 && c.inline_xattrs > 0;
    xattr_shared: "-x0" => |_, c| c.shared_xattrs > 60;
    xattr_shared_512: "-b512 -x0" => |_, c| c.shared_xattrs > 60;
    xattr_no_filter: "-E^xattr-name-filter" => |sb, c| !sb.xattr_filter && c.inline_xattrs > 0;
    xattr_prefix: "--xattr-prefix=trusted.overlay. --xattr-prefix=user.long.prefix. --xattr-prefix=user.own"
        => |sb, c| sb.xattr_prefix_count == 3 && c.long_prefixes > 10;
    xattr_prefix_512: "-b512 --xattr-prefix=trusted.overlay. --xattr-prefix=user." => |sb, c|
        sb.xattr_prefix_count == 2 && c.long_prefixes > 10;
    xattr_prefix_plain: "-Eplain-xattr-prefixes --xattr-prefix=trusted.overlay." => |sb, c|
        sb.features.has_compat(compat::PLAIN_XATTR_PFX) && c.long_prefixes > 0;
    xattr_prefix_packed: "-Efragments --xattr-prefix=trusted.overlay." => |sb, c|
        sb.packed_nid.is_some() && !sb.features.has_compat(compat::PLAIN_XATTR_PFX)
        && c.long_prefixes > 0;
    root_xattr_size: "--root-xattr-isize=512" => |_, c| c.inline_xattrs > 100;
    metadata_zone: "--MZ" => |sb, _| sb.meta_blkaddr > 0;
    metadata_zone_dirs: "--MZ=id" => |sb, _| sb.meta_blkaddr > 0;
    dsunit: "--dsunit=16 -E^inline_data" => |_, c| c.plain > 0;
    aligned: "--fsalignblks=64" => |sb, _| sb.blocks % 64 == 0;
}

/// With 48-bit addresses mkfs.erofs makes compact inodes whatever the time: 32 bits of seconds after
/// the epoch that it chose.
fn compact_times(tree: &mut Tree) {
    for node in tree.values_mut() {
        node.mtime = (i64::from(node.mtime.0 as u32), 0);
    }
}

grid! { compact_times;
    wide: "-E48bit" => |sb, _| sb.features.has(incompat::BIT48);
    wide_512: "-b512 -E48bit" => |sb, _| sb.features.has(incompat::BIT48);
    dot_omitted: "-Edot-omitted" => |_, c| c.dot_omitted > 20;
    dot_omitted_512: "-b512 -Edot-omitted" => |_, c| c.dot_omitted > 20;
    chunk_indexes_48bit: "--chunksize=8192 -E48bit,force-chunk-indexes" => |sb, c|
        sb.features.has(incompat::BIT48) && c.chunk_indexes > 0;
    metabox: "-m4096" => |sb, c| sb.metabox_nid.is_some() && c.in_metabox > 700;
    metabox_512: "-b512 -m4096" => |sb, c| sb.metabox_nid.is_some() && c.in_metabox > 700;
    metabox_prefix: "-m4096 --xattr-prefix=trusted.overlay." => |sb, c|
        sb.metabox_nid.is_some() && c.long_prefixes > 0;
}

grid! { |tree| tree.values_mut().skip(1).for_each(|node| node.xattrs.clear());
    xattr_none: "-x-1" => |_, c| c.inline_xattrs + c.shared_xattrs == 1;
}

grid! { |tree| tree.values_mut().for_each(|node| (node.uid, node.gid) = (0, 0));
    all_root: "--all-root" => |_, c| c.extended > 0;
}

grid! { |tree| tree.values_mut().for_each(|node| node.mtime = (1_500_000_000, 0));
    one_time: "-T1500000000" => |_, c| c.compact > 700 && c.extended > 0;
    one_time_512: "-b512 -T1500000000" => |_, c| c.compact > 700 && c.extended > 0;
    one_time_chunks: "-T1500000000 --chunksize=4096" => |_, c| c.compact > 700 && c.blockmaps > 0;
}

grid! { |tree| tree.values_mut().for_each(|node| {
        (node.uid, node.gid, node.mtime) = (0, 0, (1_500_000_000, 0));
    });
    compact: "-T1500000000 --all-root -Eforce-inode-compact" => |_, c| c.extended == 0;
}
