// SPDX-License-Identifier: GPL-2.0-only

//! A whole image: mounted, walked and read as a file system is, with the reader of the tests.

#![no_main]

use erofs_format::inode::FileType;
use erofs_format_fuzz::reader::{
    crc32c,
    Image, //
};
use libfuzzer_sys::fuzz_target;

/// Makes the superblock's checksum right, so that it does not stand in the way.
fn sign(image: &mut [u8]) {
    if image.len() >= 4096 && image[1024 + 8] & 1 != 0 {
        let end = match image[1024 + 12] {
            bits @ 9..=10 => 1024 + (1 << bits),
            11 => 2048,
            _ => 4096,
        };
        let crc = crc32c(0x5045_b54a, &image[1032..end]);

        image[1028..1032].copy_from_slice(&crc.to_le_bytes());
    }
}

fuzz_target!(|data: &[u8]| {
    let mut image = data.to_vec();

    sign(&mut image);
    let Ok(image) = Image::open_limited(Box::new(image), Vec::new(), 2000) else {
        return;
    };
    let Ok(files) = image.walk(8) else {
        return;
    };
    for (path, (inode, attributes)) in files.iter().take(200) {
        let _ = image.xattrs(inode);
        let _ = image.getxattr(inode, 1, b"user");
        match attributes.file_type {
            FileType::Directory => {
                let _ = image.lookup(inode, path);
                let _ = image.readdir(inode, inode.size / 2, |_| {});
            }
            FileType::Symlink if inode.size < 1 << 16 => {
                let _ = image.readlink(inode);
            }
            FileType::Regular => {
                let mut buf = vec![0; 5000];

                let _ = image.read(inode, 0, &mut buf);
                let _ = image.read(inode, inode.size.saturating_sub(100), &mut buf);
                let _ = image.extents(inode);
            }
            _ => {}
        }
    }
});
