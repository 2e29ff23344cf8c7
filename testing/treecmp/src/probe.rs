// SPDX-License-Identifier: GPL-2.0-only
//! A fixed, bounded list of operations on a mount that may lie about
//! everything, and the comparison of two such lists.

use crate::compare::child;
use crate::record::{field, Obs, Record};
use crate::{dir, file, observe, sys};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

const NODES: usize = 15;
const DEPTH: usize = 4;
/// Of a directory; more are listed, but not all asked about.
const ALL: usize = 16;
const ENTRIES: usize = 100;

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

/// Ways to look at a file that cost more: each mutant gets all of them, or one.
pub const WAYS: usize = 5;

/// What is asked about regular files.
#[derive(Clone, Copy, Default)]
pub struct Questions<'a> {
    /// Of the costly ways to look at a file only this one.
    pub way: Option<usize>,
    /// Of all that looks into files only this, as the record calls it.
    pub alone: Option<&'a str>,
}

impl Questions<'_> {
    fn has_way(self, nth: usize) -> bool {
        self.way.is_none_or(|way| way == nth)
    }
}

/// The answers about a file.
struct Answers<'a> {
    rec: &'a mut Record,
    rel: &'a [u8],
    alone: Option<&'a str>,
}

impl Answers<'_> {
    fn put<T: Into<Obs>>(&mut self, op: &str, answer: impl FnOnce() -> T) {
        let op = show(self.rel, op);
        if self.alone.is_none_or(|alone| alone == op) {
            self.rec.put(op, answer());
        }
    }
}

/// Whether what the record calls `op` is the content of a file.
pub fn is_content(op: &str) -> bool {
    ["pread", "mmap", "direct"]
        .iter()
        .any(|kind| op.starts_with(kind))
}

fn way(answers: &mut Answers<'_>, path: &CStr, fd: &OwnedFd, size: i64, nth: usize) {
    match nth {
        0 => answers.put("mmap", || sys::mmap_read(fd, 0, 8192, libc::MAP_SHARED)),
        1 => {
            answers.put("seek_hole", || sys::lseek(fd, 0, libc::SEEK_HOLE));
            answers.put("seek_data", || sys::lseek(fd, size / 2, libc::SEEK_DATA));
        }
        2 => answers.put("fiemap", || file::fiemap_once(fd, 0, u64::MAX, 0, 8)),
        3 => answers.put("direct", || {
            let mut page = Box::new(sys::Aligned([0; 1 << 17]));
            let fd = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_DIRECT);
            let got = fd.and_then(|fd| sys::pread(&fd, &mut page.0[..8192], 0));
            got.map(|n| page.0[..n].to_vec())
        }),
        _ => answers.put("pread@half", || pread(fd, 8192, size / 2)),
    }
}

fn pread(fd: &OwnedFd, len: usize, off: i64) -> sys::Res<Vec<u8>> {
    let mut buf = vec![0u8; len];
    sys::pread(fd, &mut buf, off).map(|n| buf[..n].to_vec())
}

fn regular(rec: &mut Record, rel: &[u8], path: &CStr, size: i64, asked: Questions<'_>) {
    let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK) {
        Ok(fd) => fd,
        Err(e) => return rec.put(show(rel, "open"), Obs::Errno(e)),
    };
    let alone = asked.alone;
    let mut answers = Answers { rec, rel, alone };
    for off in [0, size - 1] {
        answers.put(&format!("pread@{off}"), || pread(&fd, 16384, off));
    }
    for nth in (0..WAYS).filter(|n| asked.has_way(*n)) {
        way(&mut answers, path, &fd, size, nth);
    }
}

/// Opened again by its handle, the inode is the same.
fn handle(path: &CStr, root: &CStr) -> sys::Res<Vec<i64>> {
    let mut handle = sys::name_to_handle(path, 128, 0)?;
    let mount = sys::open(root, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let fd = sys::open_by_handle(&mount, &mut handle, libc::O_PATH)?;
    let st = sys::statx(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH, 0x7ff)?;
    let fields = ["ino", "mode", "size"];
    Ok(fields.map(|f| field(&st, f) as i64).to_vec())
}

/// The type, as it is in the mode.
fn node(rec: &mut Record, rel: &[u8], path: &CStr, root: &CStr, asked: Questions<'_>) -> u32 {
    const ROOM: usize = 1 << 16;
    let st = observe::statx(path);
    let (mode, size) = st.as_ref().map_or((0, 0), |s| {
        (field(s, "mode") as u32, field(s, "size") as i64)
    });
    let failed = st.is_err();
    rec.put(show(rel, "statx"), st);
    if failed {
        return 0;
    }
    let list = sys::listxattr(path, ROOM);
    rec.put(show(rel, "listxattr"), list.clone());
    let none = list.as_ref().is_ok_and(|(len, _)| *len == 0);
    for name in observe::names_in(&list.unwrap_or_default().1).take(6) {
        let what = format!("getxattr({})", name.escape_ascii());
        let got = sys::getxattr(path, &sys::cstr(name), ROOM);
        rec.put(show(rel, &what), got);
    }
    // Whether it is listed or not: the listing may stop early.
    let unlisted = [c"user.shared", c"trusted.overlay.missing"];
    for name in unlisted.iter().filter(|_| asked.way.is_none() || !none) {
        let what = format!("getxattr({})", name.to_string_lossy());
        rec.put(show(rel, &what), sys::getxattr(path, name, 100));
    }
    if asked.has_way(WAYS - 1) {
        rec.put(show(rel, "handle"), handle(path, root));
    }
    match mode & libc::S_IFMT {
        libc::S_IFREG => regular(rec, rel, path, size, asked),
        libc::S_IFLNK => rec.put(show(rel, "readlink"), sys::readlink(path, 8192)),
        _ => {}
    }
    mode & libc::S_IFMT
}

/// What the mount at `root` says.
pub fn probe(root: &CStr, asked: Questions<'_>) -> Record {
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
        if node(&mut rec, &rel, &path, root, asked) != libc::S_IFDIR {
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
        // Of many, those at the ends and in the middle.
        let last = entries.len().saturating_sub(1);
        let some = entries
            .iter()
            .enumerate()
            .filter(|(n, _)| last < ALL || *n < 3 || *n == last);
        for (_, e) in some.filter(|(_, e)| e.is_child() && depth < DEPTH) {
            todo.push((child(&rel, &e.name), depth + 1));
        }
    }
    rec
}

/// How the second driver's answers relate to the first's, from the `from`-th on: the first that differs,
/// and how.
pub fn judge(a: &Record, b: &Record, from: usize) -> Option<(usize, String)> {
    for (nth, ((op, x), (other, y))) in a.0.iter().zip(&b.0).enumerate().skip(from) {
        let word = match (x, y) {
            _ if op != other => "path",
            _ if x == y => continue,
            (Obs::Errno(_), Obs::Errno(_)) => "errno",
            (Obs::Errno(_), _) => "laxer",
            (_, Obs::Errno(_)) => "stricter",
            _ => "value",
        };
        let (x, y) = (x.show(Some(y)), y.show(Some(x)));
        return Some((nth, format!("{word} {op}: {x} | {y}")));
    }
    None
}
