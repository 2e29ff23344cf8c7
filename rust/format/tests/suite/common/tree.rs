// SPDX-License-Identifier: GPL-2.0-only

//! The source tree that images are made of, and what a tree looks like to a comparison.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    os::unix::{
        ffi::{
            OsStrExt,
            OsStringExt, //
        },
        fs::{
            symlink,
            FileExt,
            FileTypeExt,
            MetadataExt, //
        },
    },
    path::Path, //
};

use rustix::fs as sys;

/// What of a file is compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    /// Of files and symlinks, else 0.
    pub size: u64,
    pub mtime: (i64, u32),
    pub rdev: (u32, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// A file's content or a symlink's target.
    pub data: Vec<u8>,
}

/// Nodes by path; the root is the empty path, others begin with a slash.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// Bytes that look random, the same for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;

    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}

fn set_mtime(path: &Path, sec: i64, nsec: i64) {
    let time = sys::Timespec {
        tv_sec: sec,
        tv_nsec: nsec,
    };
    let times = sys::Timestamps {
        last_access: time,
        last_modification: time,
    };
    sys::utimensat(sys::CWD, path, &times, sys::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    sys::lsetxattr(path, name, value, sys::XattrFlags::empty())
        .unwrap_or_else(|e| panic!("setxattr {name} on {}: {e}", path.display()));
}

fn mknod(path: &Path, kind: sys::FileType, major: u32, minor: u32) {
    sys::mknodat(
        sys::CWD,
        path,
        kind,
        sys::Mode::from_raw_mode(0o640),
        sys::makedev(major, minor),
    )
    .unwrap();
}

/// A POSIX ACL as its xattr has it: a mask and user 5.
fn acl(user: u16) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [
        (1u16, 6u16, none),
        (2, user, 5),
        (4, 4, none),
        (0x10, 6, none),
        (0x20, 4, none),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();

    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Makes the tree in `top`, which does not exist yet. Needs root.
pub fn make(top: &Path) {
    let file = |name: &str, data: &[u8]| {
        let path = top.join(name);

        fs::write(&path, data).unwrap();
        path
    };
    let sparse = |name: &str, size: u64, parts: &[(u64, usize)]| {
        let path = top.join(name);
        let f = fs::File::create(&path).unwrap();

        f.set_len(size).unwrap();
        for &(pos, len) in parts {
            f.write_all_at(&noise(pos + 1, len), pos).unwrap();
        }
    };

    fs::create_dir_all(top).unwrap();

    // Sizes around those of blocks.
    fs::create_dir(top.join("sizes")).unwrap();
    for bits in 9..=13 {
        for size in (1usize << bits) - 1..=(1 << bits) + 1 {
            file(&format!("sizes/{size}"), &noise(size as u64, size));
        }
    }
    for size in [0, 1, 2, 31, 100, 4000, 300_000] {
        file(&format!("sizes/{size}"), &noise(size as u64, size));
    }
    file("zeros", &[0; 70_000]);
    let same = noise(7, 262_144);
    file("twin1", &same);
    file("twin2", &[&same[..], b"tail"].concat());

    sparse("sparse-hole", 1_000_000, &[]);
    sparse("sparse-begin", 600_000, &[(590_000, 10_000)]);
    sparse("sparse-end", 600_000, &[(0, 5000)]);
    sparse(
        "sparse-mid",
        3_000_000,
        &[
            (0, 70_000),
            (1_048_576, 65_536),
            (1_310_720, 1),
            (2_999_000, 1000),
        ],
    );

    // Directories: empty, deep, and of several blocks with names up to the longest.
    fs::create_dir(top.join("empty")).unwrap();
    let mut deep = top.join("deep");
    for _ in 0..20 {
        fs::create_dir(&deep).unwrap();
        deep.push("d");
    }
    let wide = top.join("wide");
    fs::create_dir(&wide).unwrap();
    for i in 0..700usize {
        let len = 4 + (i * 37) % 60 + if i % 50 == 0 { 150 } else { 0 };
        let mut name = format!("{i:04}").into_bytes();

        name.extend(noise(i as u64, len).iter().map(|b| match b {
            0 | b'/' => b'_',
            b => *b,
        }));
        fs::write(wide.join(std::ffi::OsString::from_vec(name)), b"").unwrap();
    }
    file(&format!("wide/{}", "n".repeat(255)), b"longest name");
    file("wide/a", b"first");
    file("wide/ab", b"prefix of the next");
    file("wide/abc", b"prefix of none");
    file("wide/\u{fe}\u{ff}", b"last");

    fs::hard_link(top.join("sizes/100"), top.join("link1")).unwrap();
    fs::hard_link(top.join("sizes/100"), top.join("empty/../link2")).unwrap();

    for len in [1, 31, 59, 60, 400, 511, 512, 1100, 3000, 4000, 4095] {
        symlink("t".repeat(len), top.join(format!("symlink-{len}"))).unwrap();
    }
    symlink("sizes/100", top.join("symlink")).unwrap();

    mknod(&top.join("chr"), sys::FileType::CharacterDevice, 5, 1);
    mknod(&top.join("blk"), sys::FileType::BlockDevice, 259, 70_000);
    mknod(&top.join("whiteout"), sys::FileType::CharacterDevice, 0, 0);
    mknod(&top.join("fifo"), sys::FileType::Fifo, 0, 0);
    mknod(&top.join("sock"), sys::FileType::Socket, 0, 0);

    // Modes, owners, times.
    for (name, mode) in [
        ("suid", 0o4755),
        ("sgid", 0o2711),
        ("sticky", 0o1777),
        ("none", 0),
    ] {
        let path = file(name, name.as_bytes());
        sys::chmod(&path, sys::Mode::from_raw_mode(mode)).unwrap();
    }
    for (name, id) in [("id16", 65_535), ("id17", 65_536), ("id32", 4_000_000_000)] {
        let path = file(name, b"");
        std::os::unix::fs::lchown(&path, Some(id), Some(id - 1)).unwrap();
    }
    for (name, sec, nsec) in [
        ("time-1901", -2_147_483_648, 999_999_999),
        ("time-1969", -1, 0),
        ("time-2100", 4_102_444_800, 1),
    ] {
        set_mtime(&file(name, name.as_bytes()), sec, nsec);
    }

    // Xattrs: none, one of each prefix, many, large, shared by several inodes, on all types.
    let all = file("xattr-all", b"x");
    set_xattr(&all, "user.u", b"value");
    set_xattr(&all, "user.empty", b"");
    set_xattr(&all, "trusted.t", &noise(1, 3));
    set_xattr(&all, "trusted.overlay.opaque", b"y");
    set_xattr(&all, "trusted.overlay.metacopy", b"");
    set_xattr(&all, "trusted.overlay.", b"infix only");
    set_xattr(&all, "user.long.prefix.of.some.length.one", b"1");
    set_xattr(&all, "security.note", &noise(2, 20));
    set_xattr(&all, "system.posix_acl_access", &acl(4));
    let large = file("xattr-large", b"");
    set_xattr(&large, "user.large", &noise(3, 3500));
    set_xattr(&large, &format!("user.{}", "n".repeat(250)), &noise(4, 200));
    let many = file("xattr-many", &noise(5, 5000));
    for i in 0..60 {
        set_xattr(&many, &format!("user.{i}"), &noise(i, i as usize));
    }
    for i in 0..8 {
        let path = file(&format!("xattr-shared{i}"), &noise(i, 100));
        set_xattr(&path, "user.shared", &noise(6, 30));
        set_xattr(&path, "user.shared2", b"another");
        set_xattr(&path, "trusted.overlay.origin", &noise(8, 29));
        set_xattr(&path, "user.own", &[i as u8]);
    }
    let dir = top.join("xattr-dir");
    fs::create_dir(&dir).unwrap();
    set_xattr(&dir, "system.posix_acl_default", &acl(6));
    set_xattr(&dir, "trusted.overlay.opaque", b"y");
    set_xattr(&top.join("symlink-60"), "trusted.link", b"of a symlink");
    set_xattr(&top.join("symlink-400"), "trusted.link", &noise(9, 300));
    set_xattr(&top.join("fifo"), "trusted.fifo", b"f");
    set_xattr(&top.join("chr"), "security.x", b"c");

    // A compact inode has no room for nanoseconds.
    let mut todo = vec![top.to_path_buf()];
    for sec in 1_700_000_000.. {
        let Some(path) = todo.pop() else { break };
        let meta = fs::symlink_metadata(&path).unwrap();

        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        if !path.display().to_string().contains("/time-") {
            set_mtime(&path, sec, 0);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let n = sys::llistxattr(path, &mut names[..]).unwrap();

    names[..n]
        .split(|&c| c == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65_536];
            let n = sys::lgetxattr(path, CString::new(name).unwrap(), &mut value[..]).unwrap();

            value.truncate(n);
            (name.to_vec(), value)
        })
        .collect()
}

fn node(path: &Path) -> Node {
    let meta = fs::symlink_metadata(path).unwrap();
    let kind = meta.file_type();
    let data = if kind.is_symlink() {
        fs::read_link(path).unwrap().into_os_string().into_vec()
    } else if kind.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    let device = kind.is_char_device() || kind.is_block_device();

    Node {
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        nlink: meta.nlink() as u32,
        size: data.len() as u64,
        mtime: (meta.mtime(), meta.mtime_nsec() as u32),
        rdev: match device {
            true => (sys::major(meta.rdev()), sys::minor(meta.rdev())),
            false => (0, 0),
        },
        xattrs: xattrs(path),
        data,
    }
}

/// Reads the tree in `top`.
pub fn read(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut todo = vec![(Vec::new(), top.to_path_buf())];

    while let Some((name, path)) = todo.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                let name = [&name[..], b"/", entry.file_name().as_bytes()].concat();

                todo.push((name, entry.path()));
            }
        }
        tree.insert(name, node(&path));
    }
    tree
}
