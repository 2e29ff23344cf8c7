// SPDX-License-Identifier: GPL-2.0-only
//! Content of regular files: every way to read it, and where it lies.

use crate::record::{Obs, Record};
use crate::sys;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

const BIG: usize = 1 << 20;

/// The two contents, read in large steps: where they first differ, or how long
/// they are.
pub fn same_bytes(a: &OwnedFd, b: &OwnedFd, limit: u64) -> Result<u64, String> {
    let (mut x, mut y) = (vec![0u8; BIG], vec![0u8; BIG]);
    let mut pos = 0u64;
    while pos < limit {
        let (n, m) = (sys::read(a, &mut x), sys::read(b, &mut y));
        match (n, m) {
            (Ok(0), Ok(0)) => return Ok(pos),
            (Ok(n), Ok(m)) if n == m && x[..n] == y[..m] => pos += n as u64,
            (Err(n), Err(m)) if n == m => return Ok(pos),
            _ => {
                let at = x.iter().zip(&y).position(|(x, y)| x != y).unwrap_or(0);
                return Err(format!(
                    "read@{pos}: {} | {} (+{at})",
                    Obs::from(n).show(None),
                    Obs::from(m).show(None)
                ));
            }
        }
    }
    Ok(pos)
}

fn pread_at(fd: &OwnedFd, off: i64, len: usize) -> sys::Res<Vec<u8>> {
    let mut buf = vec![0u8; len];
    sys::pread(fd, &mut buf, off).map(|n| {
        buf.truncate(n);
        buf
    })
}

/// Up to `max` windows of a file: all of a small one.
fn windows(size: i64, len: usize) -> Vec<i64> {
    let len = len as i64;
    if size <= 4 * len {
        return (0..=size / len).map(|i| i * len).collect();
    }
    vec![0, (size / 2) & !0xffff, (size - len) & !0xffff]
}

pub fn ways_to_read(rec: &mut Record, fd: &OwnedFd, size: i64) {
    // The same pseudo-random places on both sides.
    let mut seed = size as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..12 {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let (off, len) = (
            (seed >> 33) as i64 % (size + 1),
            (seed >> 20) as usize % 9000 + 1,
        );
        rec.put(format!("pread@{off}+{len}"), pread_at(fd, off, len));
    }
    for off in [
        size - 1,
        size,
        size + 1,
        (size | 4095) + 1,
        i64::MAX - 8192,
        -1,
    ] {
        rec.put(format!("pread@{off}"), pread_at(fd, off, 8192));
    }
    for off in windows(size, 256 << 10) {
        let len = 256 << 10;
        rec.put(
            format!("mmap@{off}"),
            sys::mmap_read(fd, off, len, libc::MAP_SHARED),
        );
        rec.put(format!("sendfile@{off}"), sys::sendfile_read(fd, off, len));
    }
    rec.put(
        "mmap/private",
        sys::mmap_read(fd, 0, 8192, libc::MAP_PRIVATE | libc::MAP_POPULATE),
    );
    rec.put("mmap/writable", sys::mmap_shared_writable(fd));
    rec.put("splice", sys::splice_read(fd, size / 3, 100_000));
    for (what, advice) in [
        ("willneed", libc::POSIX_FADV_WILLNEED),
        ("dontneed", libc::POSIX_FADV_DONTNEED),
    ] {
        rec.put(what, sys::fadvise(fd, advice));
    }
    rec.put("readahead", sys::readahead(fd, 0, 65536));
    rec.put("fsync", sys::fsync(fd));
}

pub fn direct(rec: &mut Record, path: &CStr, size: i64) {
    let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_DIRECT) {
        Ok(fd) => fd,
        Err(e) => return rec.put("open/direct", Obs::Errno(e)),
    };
    let mut buf = Box::new(sys::Aligned([0; 1 << 17]));
    let len = buf.0.len();
    for off in windows(size, len) {
        let n = sys::pread(&fd, &mut buf.0, off);
        rec.put(format!("direct@{off}"), n.map(|n| buf.0[..n].to_vec()));
    }
    for (what, at, len, off) in [
        ("direct/512", 0, 512, 512),
        ("direct/odd offset", 0, 4096, 100),
        ("direct/odd length", 0, 4000, 0),
        ("direct/odd memory", 8, 4096, 0),
        ("direct/eof", 0, 4096, (size | 4095) + 1),
        ("direct/4096", 4096, 8192, 4096),
        ("direct/tail", 0, 65536, size & !511),
    ] {
        let n = sys::pread(&fd, &mut buf.0[at..at + len], off);
        rec.put(what, n.map(|n| buf.0[at..at + n].to_vec()));
    }
}

/// SEEK_DATA and SEEK_HOLE over the whole file.
pub fn holes(rec: &mut Record, fd: &OwnedFd, size: i64) {
    let (mut pos, mut map) = (0, vec![]);
    while map.len() < 4096 {
        let Ok(data) = sys::lseek(fd, pos, libc::SEEK_DATA) else {
            break;
        };
        map.push(data);
        let Ok(hole) = sys::lseek(fd, data, libc::SEEK_HOLE) else {
            break;
        };
        map.push(hole);
        pos = hole;
    }
    rec.put("holes", map);
    for off in [0, size / 2, size - 1, size, size + 1, -1] {
        rec.put(
            format!("seek_data@{off}"),
            sys::lseek(fd, off, libc::SEEK_DATA),
        );
        rec.put(
            format!("seek_hole@{off}"),
            sys::lseek(fd, off, libc::SEEK_HOLE),
        );
    }
    rec.put("seek_end", sys::lseek(fd, -1, libc::SEEK_END));
    rec.put("seek_far", sys::lseek(fd, i64::MAX, libc::SEEK_SET));
}

const FS_IOC_FIEMAP: u64 = 0xc020_660b;
const FIBMAP: u64 = 1;
const FIGETBSZ: u64 = 2;
const EXTENTS: usize = 64;

pub fn fiemap_once(
    fd: &OwnedFd,
    start: u64,
    len: u64,
    flags: u32,
    count: usize,
) -> sys::Res<Vec<i64>> {
    let mut buf = vec![0u8; 32 + 56 * EXTENTS];
    buf[..8].copy_from_slice(&start.to_le_bytes());
    buf[8..16].copy_from_slice(&len.to_le_bytes());
    buf[16..20].copy_from_slice(&flags.to_le_bytes());
    buf[24..28].copy_from_slice(&(count as u32).to_le_bytes());
    let ret = sys::ioctl(fd, FS_IOC_FIEMAP, &mut buf);
    // On EBADR the kernel says which flags it does not know.
    let num = |at: usize| u64::from_le_bytes(buf[at..at + 8].try_into().expect("8 bytes")) as i64;
    let mut out = vec![num(16) as i32 as i64, num(20) as u32 as i64];
    ret?;
    for i in 0..(out[1] as usize).min(count) {
        let at = 32 + 56 * i;
        out.extend([
            num(at),
            num(at + 8),
            num(at + 16),
            num(at + 40) as u32 as i64,
        ]);
    }
    Ok(out)
}

pub fn extents(rec: &mut Record, fd: &OwnedFd, size: i64) {
    let mut start = 0u64;
    loop {
        let got = fiemap_once(fd, start, u64::MAX - start, 0, EXTENTS);
        rec.put(format!("fiemap@{start}"), got.clone());
        match got {
            Ok(v) if v[1] as usize == EXTENTS => {
                let last = &v[v.len() - 4..];
                start = (last[0] + last[2]) as u64;
            }
            _ => break,
        }
    }
    let half = (size / 2) as u64;
    for (what, start, len, flags, count) in [
        ("fiemap/count", 0, u64::MAX, 0, 0),
        ("fiemap/sync", 0, u64::MAX, 1, 2),
        ("fiemap/xattr", 0, u64::MAX, 2, 4),
        ("fiemap/cache", 0, u64::MAX, 4, 2),
        ("fiemap/unknown", 0, u64::MAX, 0x100, 2),
        ("fiemap/one byte", half, 1, 0, 4),
        ("fiemap/empty", half, 0, 0, 4),
        ("fiemap/past", size as u64, 4096, 0, 4),
        ("fiemap/far", 1 << 62, 4096, 0, 4),
    ] {
        rec.put(what, fiemap_once(fd, start, len, flags, count));
    }
}

pub fn ioctls(rec: &mut Record, fd: &OwnedFd, blocks: i64) {
    for i in [0, 1, 2, 7, blocks / 2, blocks - 1, blocks, blocks + 1, -1] {
        let mut b = (i as i32).to_le_bytes();
        let ret = sys::ioctl(fd, FIBMAP, &mut b);
        rec.put(
            format!("fibmap({i})"),
            ret.map(|_| i64::from(i32::from_le_bytes(b))),
        );
    }
    for (what, req, len) in [
        ("figetbsz", FIGETBSZ, 4),
        ("getfslabel", 0x8100_9431, 256),
        ("setfslabel", 0x4100_9432, 256),
        ("getflags", 0x8008_6601, 8),
        ("setflags", 0x4008_6602, 8),
        ("getversion", 0x8008_7601, 8),
        ("fsgetxattr", 0x801c_581f, 28),
        ("fssetxattr", 0x401c_5820, 28),
        ("fitrim", 0xc018_5879, 24),
        ("getfsuuid", 0x8011_1500, 17),
        ("getfssysfspath", 0x8081_1501, 129),
        ("tcgets", 0x5401, 64),
        ("verity", 0xc004_6686, 64),
        ("unknown", 0x1234_5678, 4096),
    ] {
        let mut buf = vec![0u8; len];
        let ret = sys::ioctl(fd, req, &mut buf);
        rec.put(
            what,
            ret.map(|_| {
                if what == "getfssysfspath" {
                    vec![]
                } else {
                    buf
                }
            }),
        );
    }
}
