// SPDX-License-Identifier: GPL-2.0-only
//! Directories: the records of getdents in order, resumed anywhere, and names
//! that are not there.

use crate::record::{Obs, Record};
use crate::sys;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

pub struct Entry {
    pub ino: u64,
    pub off: i64,
    pub kind: u8,
    pub name: Vec<u8>,
}

impl Entry {
    /// Neither "." nor "..".
    pub fn is_child(&self) -> bool {
        self.name != b"." && self.name != b".."
    }
}

pub fn parse(mut raw: &[u8]) -> Vec<Entry> {
    let mut out = vec![];
    while raw.len() >= 19 {
        let len = u16::from_le_bytes([raw[16], raw[17]]) as usize;
        let (one, rest) = raw.split_at(len.min(raw.len()));
        let num = |at: usize| u64::from_le_bytes(one[at..at + 8].try_into().expect("8 bytes"));
        let name = one[19..]
            .split(|b| *b == 0)
            .next()
            .unwrap_or_default()
            .to_vec();
        out.push(Entry {
            ino: num(0),
            off: num(8) as i64,
            kind: one[18],
            name,
        });
        raw = rest;
    }
    out
}

/// The raw records of the whole directory, with reads of `step` bytes.
fn records(fd: &OwnedFd, step: usize) -> sys::Res<Vec<u8>> {
    let (mut all, mut buf) = (vec![], vec![0u8; step]);
    loop {
        let n = sys::getdents(fd, &mut buf)?;
        if n == 0 {
            return Ok(all);
        }
        all.extend_from_slice(&buf[..n]);
    }
}

pub fn open(path: &CStr) -> sys::Res<OwnedFd> {
    sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW)
}

/// The raw records: they hold name, d_ino, d_type and d_off in order.
pub fn list(path: &CStr) -> sys::Res<Vec<u8>> {
    records(&open(path)?, 32768)
}

/// Seeks and small reads.
pub fn positions(rec: &mut Record, path: &CStr, entries: &[Entry]) {
    let Ok(fd) = open(path) else { return };
    let mut small = [0u8; 280];
    // At each of up to 24 cookies spread over the directory, and beside it.
    let step = entries.len() / 24 + 1;
    for e in entries.iter().step_by(step) {
        for off in [e.off, e.off + 1, e.off - 5] {
            rec.put("seek", sys::lseek(&fd, off, libc::SEEK_SET));
            let got = sys::getdents(&fd, &mut small);
            rec.put(format!("getdents@{off}"), got.map(|n| small[..n].to_vec()));
            rec.put("tell", sys::lseek(&fd, 0, libc::SEEK_CUR));
        }
    }
    for (what, off, whence) in [
        ("seek/end", 0, libc::SEEK_END),
        ("seek/negative", -1, libc::SEEK_SET),
        ("seek/beyond", 1 << 40, libc::SEEK_SET),
        ("seek/hole", 0, libc::SEEK_HOLE),
        ("seek/data", 0, libc::SEEK_DATA),
        ("seek/bad", 0, 99),
    ] {
        rec.put(what, sys::lseek(&fd, off, whence));
        rec.put(
            "getdents after",
            sys::getdents(&fd, &mut small).map(|n| small[..n].to_vec()),
        );
    }
    let _ = sys::lseek(&fd, 0, libc::SEEK_SET);
    rec.put("getdents/tiny", sys::getdents(&fd, &mut small[..8]));
    if entries.len() < 100 {
        rec.put("getdents/small", records(&fd, 280));
    }
    rec.put("read", sys::read(&fd, &mut small));
    rec.put("fsync", sys::fsync(&fd));
}

/// Names that sort before, between and after those that exist.
pub fn missing(rec: &mut Record, path: &CStr, entries: &[Entry]) {
    let mut names: Vec<Vec<u8>> = vec![
        b"no such name".to_vec(),
        b"!".to_vec(),
        vec![1],
        vec![0xff; 3],
        vec![b'x'; 255],
        vec![b'x'; 256],
    ];
    let step = entries.len() / 8 + 1;
    for e in entries.iter().step_by(step).filter(|e| e.is_child()) {
        names.push([&e.name, b"0".as_slice()].concat());
        names.push(e.name[..e.name.len() - 1].to_vec());
        let mut last = e.name.clone();
        if let Some(b) = last.last_mut() {
            *b ^= 0x40;
        }
        names.push(last);
    }
    for name in names
        .iter()
        .filter(|n| !n.is_empty() && !n.contains(&0) && !n.contains(&b'/'))
    {
        let st = crate::observe::statx(&sys::join(path, name));
        rec.put(format!("lookup({})", name.escape_ascii()), st);
    }
}

/// ".." through a descriptor: the same inode as the parent's record says.
pub fn parent(rec: &mut Record, path: &CStr) {
    let up = open(path).and_then(|fd| sys::openat(&fd, c"..", libc::O_PATH | libc::O_DIRECTORY));
    rec.put("open(..)", Obs::from(up));
}
