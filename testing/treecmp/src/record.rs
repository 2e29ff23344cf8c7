// SPDX-License-Identifier: GPL-2.0-only
//! What was observed on one side, and the comparison of two such records.

use crate::sys::{errname, Statx};
use std::borrow::Cow;
use std::fmt::Write;
use std::os::fd::OwnedFd;

#[derive(PartialEq, Clone)]
pub enum Obs {
    Num(i64),
    Nums(Vec<i64>),
    Bytes(Vec<u8>),
    Statx(Box<Statx>),
    Errno(i32),
}

impl From<i64> for Obs {
    fn from(n: i64) -> Self {
        Obs::Num(n)
    }
}

impl From<usize> for Obs {
    fn from(n: usize) -> Self {
        Obs::Num(n as i64)
    }
}

impl From<Vec<u8>> for Obs {
    fn from(b: Vec<u8>) -> Self {
        Obs::Bytes(b)
    }
}

impl From<Vec<i64>> for Obs {
    fn from(v: Vec<i64>) -> Self {
        Obs::Nums(v)
    }
}

impl From<(i64, Vec<u8>)> for Obs {
    fn from(v: (i64, Vec<u8>)) -> Self {
        Obs::Bytes(v.1)
    }
}

impl From<Box<Statx>> for Obs {
    fn from(s: Box<Statx>) -> Self {
        Obs::Statx(s)
    }
}

/// Only that it could be opened.
impl From<OwnedFd> for Obs {
    fn from(_: OwnedFd) -> Self {
        Obs::Num(0)
    }
}

impl<T: Into<Obs>> From<Result<T, i32>> for Obs {
    fn from(r: Result<T, i32>) -> Self {
        r.map_or_else(Obs::Errno, Into::into)
    }
}

/// `struct statx`: name, offset, width.
const STATX: &[(&str, usize, usize)] = &[
    ("mask", 0, 4),
    ("blksize", 4, 4),
    ("attributes", 8, 8),
    ("nlink", 16, 4),
    ("uid", 20, 4),
    ("gid", 24, 4),
    ("mode", 28, 2),
    ("ino", 32, 8),
    ("size", 40, 8),
    ("blocks", 48, 8),
    ("attributes_mask", 56, 8),
    ("atime", 64, 8),
    ("atime_nsec", 72, 4),
    ("btime", 80, 8),
    ("btime_nsec", 88, 4),
    ("ctime", 96, 8),
    ("ctime_nsec", 104, 4),
    ("mtime", 112, 8),
    ("mtime_nsec", 120, 4),
    ("rdev_major", 128, 4),
    ("rdev_minor", 132, 4),
    ("dev_major", 136, 4),
    ("dev_minor", 140, 4),
    ("mnt_id", 144, 8),
    ("dio_mem_align", 152, 4),
    ("dio_offset_align", 156, 4),
    ("subvol", 160, 8),
    ("spare", 168, 88),
];

/// One field of a raw statx.
pub fn field(s: &Statx, name: &str) -> u64 {
    let &(_, off, len) = STATX
        .iter()
        .find(|f| f.0 == name)
        .expect("a field of statx");
    let mut b = [0u8; 8];
    b[..len.min(8)].copy_from_slice(&s[off..off + len.min(8)]);
    u64::from_le_bytes(b)
}

impl Obs {
    /// A short text; `other` shows where to look.
    pub fn show(&self, other: Option<&Obs>) -> String {
        let mut s = String::new();
        match (self, other) {
            (Obs::Num(n), _) => return n.to_string(),
            (Obs::Nums(v), _) => return format!("{v:?}").chars().take(300).collect(),
            (Obs::Errno(e), _) => return errname(*e),
            (Obs::Bytes(b), o) => {
                let start = match o {
                    Some(Obs::Bytes(c)) => b
                        .iter()
                        .zip(c)
                        .position(|(x, y)| x != y)
                        .unwrap_or(b.len().min(c.len())),
                    _ => 0,
                };
                let _ = write!(s, "{} bytes, @{start} ", b.len());
                for c in b.iter().skip(start).take(24) {
                    let _ = write!(s, "{}", std::ascii::escape_default(*c));
                }
            }
            (Obs::Statx(a), Some(Obs::Statx(b))) => {
                for &(name, off, len) in STATX {
                    if a[off..off + len] != b[off..off + len] {
                        let _ = write!(s, "{name}={:#x} ", field(a, name));
                    }
                }
            }
            (Obs::Statx(_), _) => s.push_str("a statx"),
        }
        s
    }
}

#[derive(Default)]
pub struct Record(pub Vec<(Cow<'static, str>, Obs)>);

impl Record {
    /// The size by the statx that a record of a file begins with; 0 if that failed.
    pub fn statx_size(&self) -> i64 {
        match self.0.first() {
            Some((_, Obs::Statx(s))) => field(s, "size") as i64,
            _ => 0,
        }
    }

    pub fn put(&mut self, what: impl Into<Cow<'static, str>>, obs: impl Into<Obs>) {
        self.0.push((what.into(), obs.into()));
    }

    /// The first answer to `what`.
    pub fn get(&self, what: &str) -> Option<&Obs> {
        let found = self.0.iter().find(|(op, _)| op == what);
        found.map(|(_, obs)| obs)
    }

    /// One text for each observation that differs.
    pub fn diff(&self, b: &Record) -> Vec<String> {
        let mut out = vec![];
        let n = self.0.len().max(b.0.len());
        for i in 0..n {
            match (self.0.get(i), b.0.get(i)) {
                (Some(x), Some(y)) if x == y => {}
                (Some(x), Some(y)) if x.0 == y.0 => {
                    out.push(format!(
                        "{}: {} | {}",
                        x.0,
                        x.1.show(Some(&y.1)),
                        y.1.show(Some(&x.1))
                    ));
                }
                // What was asked next depended on an earlier answer.
                (x, y) => {
                    let name = |o: Option<&(Cow<str>, Obs)>| {
                        o.map_or("nothing".into(), |o| o.0.to_string())
                    };
                    out.push(format!("asked {} | {}", name(x), name(y)));
                    break;
                }
            }
        }
        out
    }
}
