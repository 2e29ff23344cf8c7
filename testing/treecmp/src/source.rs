// SPDX-License-Identifier: GPL-2.0-only
//! A mount against the directory that its image was made from: what the image
//! must keep. Inode numbers, blocks and order are the image's own.

use crate::compare::{below, child, spread, walk, Options, Report};
use crate::record::{field, Record};
use crate::{dir, observe, sys};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

fn sha256(path: &CStr) -> sys::Res<(u64, Vec<u8>)> {
    let fd = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW)?;
    let (mut hash, mut buf, mut total) = (Sha256::new(), vec![0u8; 1 << 18], 0);
    loop {
        let n = sys::read(&fd, &mut buf)?;
        if n == 0 {
            return Ok((total, hash.finalize().to_vec()));
        }
        hash.update(&buf[..n]);
        total += n as u64;
    }
}

fn kept(path: &CStr, bytes: &mut u64) -> Record {
    let mut rec = Record::default();
    let st = match observe::statx(path) {
        Ok(st) => st,
        Err(e) => {
            rec.put("statx", crate::record::Obs::Errno(e));
            return rec;
        }
    };
    for name in ["mode", "uid", "gid", "mtime", "mtime_nsec"] {
        rec.put(name, field(&st, name) as i64);
    }
    let mode = field(&st, "mode") as u32 & libc::S_IFMT;
    // How a directory counts its size and links is the filesystem's choice.
    if mode != libc::S_IFDIR {
        rec.put("nlink", field(&st, "nlink") as i64);
        rec.put("size", field(&st, "size") as i64);
    }
    match mode {
        libc::S_IFLNK => rec.put("target", sys::readlink(path, 8192)),
        libc::S_IFCHR | libc::S_IFBLK => {
            rec.put(
                "rdev",
                vec![
                    field(&st, "rdev_major") as i64,
                    field(&st, "rdev_minor") as i64,
                ],
            );
        }
        libc::S_IFREG => {
            let sum = sha256(path);
            *bytes = sum.as_ref().map_or(0, |s| s.0);
            rec.put("sha256", sum.map(|s| s.1));
        }
        _ => {}
    }
    let list = observe::xattr_names(path).unwrap_or_default();
    let mut names: Vec<_> = observe::names_in(&list).map(sys::cstr).collect();
    names.sort();
    for name in names {
        rec.put(
            name.to_string_lossy().into_owned(),
            observe::xattr(path, &name),
        );
    }
    rec
}

fn names(path: &CStr) -> BTreeMap<Vec<u8>, u8> {
    let raw = dir::list(path).unwrap_or_default();
    let children = dir::parse(&raw).into_iter().filter(dir::Entry::is_child);
    children.map(|e| (e.name, e.kind)).collect()
}

/// The names and types that both have in a directory; those of one side only are mismatches.
fn common(a: &CString, b: &CString, rel: &[u8], report: &Report) -> Vec<(Vec<u8>, u8)> {
    let (x, y) = (names(&below(a, rel)), names(&below(b, rel)));
    let mut both = vec![];
    for (name, kind) in &x {
        match y.get(name) {
            Some(k) if k == kind => both.push((name.clone(), *kind)),
            Some(k) => report.mismatch(&child(rel, name), &format!("type {kind} | {k}")),
            None => report.mismatch(&child(rel, name), "not in the source"),
        }
    }
    for name in y.keys().filter(|n| !x.contains_key(*n)) {
        report.mismatch(&child(rel, name), "not in the image");
    }
    both
}

pub fn run(a: &CString, b: &CString, opt: &Options, report: &Report) {
    let items = walk(|rel| common(a, b, rel, report));
    spread(&items, opt, |_, item| {
        let (mut bytes, mut other) = (0, 0);
        let (x, y) = (
            kept(&below(a, &item.rel), &mut bytes),
            kept(&below(b, &item.rel), &mut other),
        );
        report.records(&item.rel, &x, &y);
        report.count(bytes);
    });
}
