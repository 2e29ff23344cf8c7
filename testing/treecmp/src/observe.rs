// SPDX-License-Identifier: GPL-2.0-only
//! Metadata of one path: everything that can be asked without its content.

use crate::record::{field, Obs, Record};
use crate::sys;
use std::ffi::CStr;

/// All that statx knows, less the identity of the mount.
pub fn statx(path: &CStr) -> sys::Res<Box<sys::Statx>> {
    const MNT_ID: u32 = 0x1000 | 0x4000;
    let mut st = sys::statx(
        libc::AT_FDCWD,
        path,
        libc::AT_SYMLINK_NOFOLLOW,
        0x7fff_ffff & !MNT_ID,
    )?;
    // dev_major, dev_minor, mnt_id
    st[136..152].fill(0);
    Ok(st)
}

pub fn names_in(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|b| *b == 0).filter(|n| !n.is_empty())
}

const ACLS: [&CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

/// Names that no image has, and names that no handler knows.
const MISSING: [&CStr; 8] = [
    c"user.no such attribute",
    c"trusted.missing",
    c"security.missing",
    c"system.missing",
    c"unknown.prefix",
    c"user.",
    c"nodot",
    c"trusted.overlay.missing",
];

/// The value, by asking for its size first.
pub fn xattr(path: &CStr, name: &CStr) -> sys::Res<Vec<u8>> {
    let (size, _) = sys::getxattr(path, name, 0)?;
    sys::getxattr(path, name, size as usize).map(|v| v.1)
}

pub fn xattr_names(path: &CStr) -> sys::Res<Vec<u8>> {
    let (size, _) = sys::listxattr(path, 0)?;
    sys::listxattr(path, size as usize).map(|l| l.1)
}

pub fn xattrs(rec: &mut Record, path: &CStr) {
    let list = xattr_names(path);
    rec.put("listxattr", list.clone());
    let names = list.unwrap_or_default();
    if !names.is_empty() {
        rec.put("listxattr/1", sys::listxattr(path, 1));
        rec.put("listxattr/short", sys::listxattr(path, names.len() - 1));
        rec.put("listxattr/room", sys::listxattr(path, names.len() + 100));
    }
    for name in names_in(&names) {
        let text = String::from_utf8_lossy(name).into_owned();
        let name = &sys::cstr(name);
        let value = xattr(path, name);
        let len = value.as_ref().map_or(0, |v| v.len());
        rec.put(format!("getxattr({text})"), value);
        rec.put(
            format!("getxattr({text})/room"),
            sys::getxattr(path, name, len + 100),
        );
        if len > 1 {
            rec.put(
                format!("getxattr({text})/short"),
                sys::getxattr(path, name, len - 1),
            );
        }
    }
    for name in ACLS {
        rec.put(name.to_string_lossy(), xattr(path, name));
    }
}

fn missing_xattrs(rec: &mut Record, path: &CStr) {
    for name in MISSING {
        rec.put(
            format!("getxattr({})", name.to_string_lossy()),
            sys::getxattr(path, name, 100),
        );
    }
    let long = sys::cstr(&[b"user.".as_slice(), &[b'n'; 250]].concat());
    rec.put("getxattr(longest name)", sys::getxattr(path, &long, 100));
    let long = sys::cstr(&[b"user.".as_slice(), &[b'n'; 251]].concat());
    rec.put("getxattr(too long)", sys::getxattr(path, &long, 100));
}

const STATFS_FSID: usize = 7;
pub const STATFS_FLAGS: usize = 10;

pub fn statfs(rec: &mut Record, path: &CStr, mode: u32) {
    let dev = sys::statx(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW, 0x7ff);
    // Without a UUID the fsid is the device number, which differs.
    let own = dev.map_or(0, |s| {
        let (major, minor) = (field(&s, "dev_major"), field(&s, "dev_minor"));
        (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
    });
    let put = |rec: &mut Record, what: &'static str, mut r: sys::Res<sys::Statfs>| {
        if let Ok(v) = &mut r {
            if v[STATFS_FSID] as u64 == own {
                v[STATFS_FSID] = -1;
            }
        }
        rec.put(what, r.map(|v| v.to_vec()));
    };
    // Of a link it would be that of where it leads to.
    if mode & libc::S_IFMT != libc::S_IFLNK {
        put(rec, "statfs", sys::statfs(path));
    }
    if let Ok(fd) = sys::open(path, libc::O_PATH | libc::O_NOFOLLOW) {
        put(rec, "fstatfs", sys::fstatfs(&fd));
    }
}

/// File handles out and in again.
pub fn handles(rec: &mut Record, path: &CStr, root: &CStr) {
    const AT_HANDLE_FID: i32 = 0x200;
    const AT_HANDLE_CONNECTABLE: i32 = 0x2;
    let handle = sys::name_to_handle(path, 128, 0);
    rec.put("handle", handle.clone());
    rec.put("handle/small", sys::name_to_handle(path, 2, 0));
    rec.put("handle/fid", sys::name_to_handle(path, 128, AT_HANDLE_FID));
    rec.put(
        "handle/connectable",
        sys::name_to_handle(path, 128, AT_HANDLE_CONNECTABLE),
    );
    let (Ok(mut handle), Ok(mount)) = (handle, sys::open(root, libc::O_RDONLY | libc::O_DIRECTORY))
    else {
        return;
    };
    let back = sys::open_by_handle(&mount, &mut handle, libc::O_PATH);
    rec.put(
        "handle/open",
        back.and_then(|fd| {
            use std::os::fd::AsRawFd;
            let s = sys::statx(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH, 0x7ff)?;
            Ok(vec![
                field(&s, "ino") as i64,
                field(&s, "mode") as i64,
                field(&s, "size") as i64,
            ])
        }),
    );
    // Once: the driver logs each of these.
    if path != root {
        return;
    }
    // A stale generation, an inode far beyond the device, an unknown type.
    for (what, at) in [
        ("handle/generation", 16),
        ("handle/ino", 9),
        ("handle/type", 4),
    ] {
        let mut bad = handle.clone();
        if let Some(b) = bad.get_mut(at) {
            *b ^= 0x5a;
            rec.put(
                what,
                sys::open_by_handle(&mount, &mut bad, libc::O_PATH).map(|_| 0i64),
            );
        }
    }
}

/// The short form: what a walk of a large tree can afford.
pub fn brief(path: &CStr) -> Record {
    let mut rec = Record::default();
    let st = statx(path);
    let mode = st.as_ref().map_or(0, |s| field(s, "mode") as u32);
    rec.put("statx", st);
    if mode & libc::S_IFMT == libc::S_IFLNK {
        rec.put("readlink", sys::readlink(path, 8192));
    }
    rec
}

pub fn full(path: &CStr, root: &CStr) -> Record {
    let mut rec = brief(path);
    let mode = match &rec.0[0].1 {
        Obs::Statx(s) => field(s, "mode") as u32,
        _ => return rec,
    };
    rec.put("readlink/short", sys::readlink(path, 3));
    for (what, how) in [
        ("access/r", libc::R_OK),
        ("access/w", libc::W_OK),
        ("access/x", libc::X_OK),
    ] {
        // Of a link's target it says nothing about this tree.
        if mode & libc::S_IFMT != libc::S_IFLNK {
            rec.put(what, sys::access(path, how));
        }
    }
    xattrs(&mut rec, path);
    missing_xattrs(&mut rec, path);
    statfs(&mut rec, path, mode);
    handles(&mut rec, path, root);
    rec
}
