// SPDX-License-Identifier: GPL-2.0-only
//! Attempts to change a read-only tree: only the errno can differ.

use crate::record::Record;
use crate::sys;
use std::ffi::CStr;

/// Follows no link: what a link points at may be anywhere, and writable.
pub fn on_any(rec: &mut Record, path: &CStr, root: &CStr) {
    let other = sys::join(root, b"treecmp-new");
    for op in [
        "unlink",
        "rmdir",
        "rename-from",
        "exchange",
        "chown",
        "utimens",
        "link",
        "mkdir",
        "symlink",
        "mknod",
    ] {
        rec.put(op, sys::mutate(op, path, &other));
    }
    rec.put("link-from", sys::mutate("link", &other, path));
    for name in [
        c"user.x",
        c"trusted.x",
        c"security.x",
        c"system.posix_acl_access",
        c"system.x",
        c"none",
    ] {
        rec.put(
            format!("setxattr({})", name.to_string_lossy()),
            sys::setxattr(path, name, b"value"),
        );
        rec.put(
            format!("removexattr({})", name.to_string_lossy()),
            sys::removexattr(path, name),
        );
    }
}

pub fn on_file(rec: &mut Record, path: &CStr) {
    for op in [
        "chmod",
        "truncate",
        "open-wronly",
        "open-rdwr",
        "open-append",
        "open-trunc",
        "create",
        "create-excl",
        "open-tmpfile",
    ] {
        rec.put(op, sys::mutate(op, path, path));
    }
    if let Ok(fd) = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW) {
        rec.put("fallocate", sys::fallocate(&fd, 0));
        rec.put(
            "punch",
            sys::fallocate(&fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE),
        );
        rec.put("lease", sys::fcntl(&fd, libc::F_SETLEASE, libc::F_RDLCK));
        rec.put("unlease", sys::fcntl(&fd, libc::F_SETLEASE, libc::F_UNLCK));
        rec.put(
            "direct later",
            sys::fcntl(&fd, libc::F_SETFL, libc::O_DIRECT),
        );
        rec.put("noatime", sys::fcntl(&fd, libc::F_SETFL, libc::O_NOATIME));
        rec.put("seals", sys::fcntl(&fd, libc::F_GET_SEALS, 0));
    }
}

pub fn on_dir(rec: &mut Record, path: &CStr) {
    let new = sys::join(path, b"treecmp-new");
    for op in [
        "create",
        "create-excl",
        "mkdir",
        "mknod",
        "symlink",
        "unlink",
        "rmdir",
        "chmod",
        "truncate",
    ] {
        rec.put(format!("new/{op}"), sys::mutate(op, &new, path));
    }
    for op in [
        "chmod",
        "open-tmpfile",
        "open-wronly",
        "open-rdwr",
        "open-trunc",
    ] {
        rec.put(op, sys::mutate(op, path, path));
    }
}
