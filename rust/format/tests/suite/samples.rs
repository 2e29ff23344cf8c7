// SPDX-License-Identifier: GPL-2.0-only

//! Third-party images, which stand beside the checkout and are no part of the project.

use std::{
    fs,
    path::{
        Path,
        PathBuf, //
    },
};

use erofs_format::{
    inode::FileType,
    Error, //
};

use crate::{
    common::{
        self,
        Made, //
    },
    zimages::dumped, //
};

fn images(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(Path::new(env!("TESTDATA")).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path.extension().and_then(|e| e.to_str());
            matches!(extension, Some("img" | "erofs"))
        })
        .collect();

    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// Uncompressed: as fsck.erofs extracts them.
#[test]
#[cfg_attr(not(testdata), ignore = "the third-party images are not there")]
fn samples() {
    for path in images("samples") {
        let blobs = Vec::new();

        common::check_extracted(&Made { path, blobs });
    }
}

/// Compressed: what is plain or LZ4 can be read, and the extents are those that dump.erofs shows.
#[test]
#[cfg_attr(not(testdata), ignore = "the third-party images are not there")]
fn syzkaller_seeds() {
    for path in images("syzkaller") {
        let blobs = Vec::new();
        let made = Made { path, blobs };
        let image = made.open();
        let files = image.walk(100).unwrap();
        let mut compressed = 0;

        for (name, (inode, attributes)) in &files {
            let name = String::from_utf8_lossy(name);
            let content = match attributes.file_type {
                FileType::Regular => image.content(inode),
                FileType::Symlink => image.readlink(inode),
                _ => continue,
            };

            image.xattrs(inode).unwrap();
            match content {
                Ok(content) => assert_eq!(content.len() as u64, attributes.size),
                Err(e) => assert_eq!(e, Error::Compressed, "{name}"),
            }
            if inode.is_compressed() {
                let (extents, end) = image.zopen(inode).unwrap().extents();
                let extents: Vec<_> = extents.iter().map(dumped).collect();

                assert_eq!(end, Ok(()), "{name}");
                assert_eq!(extents, made.dumped_extents(&name), "{name}");
                compressed += 1;
            }
        }
        assert!(compressed > 0 && compressed < files.len());
        common::check_directories(&image);
    }
}
