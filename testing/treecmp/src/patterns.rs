// SPDX-License-Identifier: GPL-2.0-only
//! Content of regular files by many orders of reads, each with nothing of the
//! file in the page cache.

use crate::record::Record;
use crate::sys;
use std::os::fd::OwnedFd;

/// How much of a large file each order covers, and in how many reads.
const SPAN: i64 = 1 << 20;
const READS: usize = 48;

fn random(size: i64) -> Vec<(i64, usize)> {
    let mut seed = size as u64 ^ 0x5851_f42d_4c95_7f2d;
    let place = |_| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((seed >> 33) as i64 % size, (seed >> 20) as usize % 9000 + 1)
    };
    (0..READS.min(size as usize / 512 + 1)).map(place).collect()
}

/// From the end to the begin, by reads that end in the middle of pages.
fn reverse(size: i64) -> Vec<(i64, usize)> {
    const STEP: i64 = 21_000;
    let first = (size - SPAN).max(0);
    (0..(size - first) / STEP + 1)
        .map(|n| ((size - (n + 1) * STEP).max(first), STEP as usize))
        .collect()
}

fn strided(size: i64) -> Vec<(i64, usize)> {
    let stride = (size / READS as i64).max(20_480);
    (0..size / stride + 1).map(|n| (n * stride, 4096)).collect()
}

/// The begin only: a first page that nobody reads ahead of.
fn first_byte(_: i64) -> Vec<(i64, usize)> {
    vec![(0, 1)]
}

type Order = fn(i64) -> Vec<(i64, usize)>;

const ORDERS: [(&str, i32, Order); 4] = [
    ("first byte", libc::POSIX_FADV_RANDOM, first_byte),
    ("random", libc::POSIX_FADV_RANDOM, random),
    ("reverse", libc::POSIX_FADV_NORMAL, reverse),
    ("strided", libc::POSIX_FADV_SEQUENTIAL, strided),
];

pub fn all(rec: &mut Record, fd: &OwnedFd, size: i64) {
    if size == 0 {
        return;
    }
    let forget = |rec: &mut Record, advice| {
        for a in [libc::POSIX_FADV_DONTNEED, advice] {
            rec.put("fadvise", sys::fadvise(fd, a));
        }
    };
    let mut buf = vec![0u8; 32 << 10];
    for (name, advice, order) in ORDERS {
        forget(rec, advice);
        for (off, len) in order(size) {
            let got = sys::pread(fd, &mut buf[..len], off);
            rec.put(format!("{name}@{off}"), got.map(|n| buf[..n].to_vec()));
        }
    }
    forget(rec, libc::POSIX_FADV_NORMAL);
    let tail = (size - 1) & !0xffff;
    for off in if tail == 0 { vec![0] } else { vec![tail, 0] } {
        let got = sys::mmap_read(fd, off, 64 << 10, libc::MAP_SHARED);
        rec.put(format!("mmap@{off}"), got);
    }
    forget(rec, libc::POSIX_FADV_NORMAL);
}
