// SPDX-License-Identifier: GPL-2.0-only
//! A fixed, bounded list of operations on a mount that may lie about
//! everything, and the comparison of two such lists.

use crate::record::{field, Obs, Record};
use crate::{dir, file, observe, sys};
use std::ffi::CStr;

const NODES: usize = 12;
const DEPTH: usize = 5;
const ENTRIES: usize = 40;

fn show(rel: &[u8], op: &str) -> String {
    format!("{op} /{}", rel.escape_ascii())
}

/// The entries, or the errno after those that came before it.
fn list(path: &CStr) -> (Vec<dir::Entry>, sys::Res<i64>) {
    let fd = match dir::open(path) {
        Ok(fd) => fd,
        Err(e) => return (vec![], Err(e)),
    };
    let (mut all, mut buf) = (vec![], vec![0u8; 4096]);
    while all.len() < ENTRIES {
        match sys::getdents(&fd, &mut buf) {
            Ok(0) => break,
            Ok(n) => all.extend(dir::parse(&buf[..n])),
            Err(e) => return (all, Err(e)),
        }
    }
    (all, Ok(0))
}

fn regular(rec: &mut Record, rel: &[u8], path: &CStr, size: i64) {
    let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK) {
        Ok(fd) => fd,
        Err(e) => return rec.put(show(rel, "open"), Obs::Errno(e)),
    };
    let mut buf = vec![0u8; 32768];
    for off in [0, size / 2] {
        let got = sys::pread(&fd, &mut buf, off);
        rec.put(
            show(rel, &format!("pread@{off}")),
            got.map(|n| buf[..n].to_vec()),
        );
    }
    rec.put(
        show(rel, "mmap"),
        sys::mmap_read(&fd, 0, 8192, libc::MAP_SHARED),
    );
    rec.put(show(rel, "seek_hole"), sys::lseek(&fd, 0, libc::SEEK_HOLE));
    rec.put(
        show(rel, "fiemap"),
        file::fiemap_once(&fd, 0, u64::MAX, 0, 8),
    );
    let mut page = Box::new(sys::Aligned([0; 1 << 17]));
    let direct = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_DIRECT);
    let got = direct.and_then(|fd| sys::pread(&fd, &mut page.0[..8192], 0));
    rec.put(show(rel, "direct"), got.map(|n| page.0[..n].to_vec()));
}

fn node(rec: &mut Record, rel: &[u8], path: &CStr) -> u32 {
    let st = observe::statx(path);
    let (mode, size) = st.as_ref().map_or((0, 0), |s| {
        (field(s, "mode") as u32, field(s, "size") as i64)
    });
    let failed = st.is_err();
    rec.put(show(rel, "statx"), st);
    if failed {
        return 0;
    }
    let list = observe::xattr_names(path);
    rec.put(show(rel, "listxattr"), list.clone());
    for name in observe::names_in(&list.unwrap_or_default()).take(8) {
        let what = format!("getxattr({})", name.escape_ascii());
        rec.put(show(rel, &what), observe::xattr(path, &sys::cstr(name)));
    }
    rec.put(
        show(rel, "getxattr(user.a)"),
        observe::xattr(path, c"user.a"),
    );
    rec.put(
        show(rel, "acl"),
        observe::xattr(path, c"system.posix_acl_access"),
    );
    match mode & libc::S_IFMT {
        libc::S_IFREG => regular(rec, rel, path, size),
        libc::S_IFLNK => rec.put(show(rel, "readlink"), sys::readlink(path, 8192)),
        _ => {}
    }
    mode & libc::S_IFMT
}

pub fn probe(root: &CStr) -> Record {
    let mut rec = Record::default();
    let mut todo = vec![(vec![], 0usize)];
    let mut next = 0;
    rec.put("statfs", sys::statfs(root).map(|s| s[..7].to_vec()));
    while next < todo.len().min(NODES) {
        let (rel, depth) = todo[next].clone();
        next += 1;
        let path = if rel.is_empty() {
            root.to_owned()
        } else {
            sys::join(root, &rel)
        };
        if node(&mut rec, &rel, &path) != libc::S_IFDIR {
            continue;
        }
        let (entries, end) = list(&path);
        let names: Vec<u8> = entries
            .iter()
            .flat_map(|e| [&e.name, b"/".as_slice(), &[e.kind]].concat())
            .collect();
        rec.put(show(&rel, "names"), names);
        rec.put(show(&rel, "getdents"), end);
        for name in [b"missing".as_slice(), b"zzz"] {
            let st = observe::statx(&sys::join(&path, name)).map(|_| 0i64);
            rec.put(show(&rel, "lookup"), st);
        }
        for e in entries
            .iter()
            .filter(|e| e.name != b"." && e.name != b".." && depth < DEPTH)
        {
            let slash: &[u8] = if rel.is_empty() { b"" } else { b"/" };
            todo.push(([rel.as_slice(), slash, &e.name].concat(), depth + 1));
        }
    }
    rec
}

/// How the second driver's answers relate to the first's.
pub fn judge(a: &Record, b: &Record) -> Vec<String> {
    for ((op, x), (other, y)) in a.0.iter().zip(&b.0) {
        let word = match (x, y) {
            _ if op != other => "path",
            (Obs::Errno(e), Obs::Errno(f)) if e == f => continue,
            (Obs::Errno(_), Obs::Errno(_)) => "errno",
            (Obs::Errno(_), _) => "laxer",
            (_, Obs::Errno(_)) => "stricter",
            _ if x == y => continue,
            _ => "value",
        };
        // What follows from a first difference says nothing more.
        return vec![format!(
            "{word} {op}: {} | {}",
            x.show(Some(y)),
            y.show(Some(x))
        )];
    }
    vec![]
}
