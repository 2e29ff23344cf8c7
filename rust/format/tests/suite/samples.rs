// SPDX-License-Identifier: GPL-2.0-only

//! Third-party images, which stand beside the checkout and are no part of the project.

use std::{
    fs::{
        self,
        File, //
    },
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
    reader, //
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

/// Compressed: all but the compressed data is as fsck.erofs extracts it.
#[test]
#[cfg_attr(not(testdata), ignore = "the third-party images are not there")]
fn syzkaller_seeds() {
    for path in images("syzkaller") {
        let image = reader::Image::open(Box::new(File::open(&path).unwrap()), Vec::new()).unwrap();
        let files = image.walk(100).unwrap();
        let mut compressed = 0;

        for (name, (inode, attributes)) in &files {
            let content = match attributes.file_type {
                FileType::Regular => image.content(inode),
                FileType::Symlink => image.readlink(inode),
                _ => continue,
            };

            image.xattrs(inode).unwrap();
            match content {
                Ok(content) => assert_eq!(content.len() as u64, attributes.size),
                Err(e) => {
                    assert_eq!(e, Error::Compressed, "{path:?} {name:?}");
                    assert!(inode.is_compressed());
                    compressed += 1;
                }
            }
        }
        assert!(compressed > 0 && compressed < files.len(), "{path:?}");
        common::check_directories(&image);
    }
}
