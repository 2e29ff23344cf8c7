// SPDX-License-Identifier: GPL-2.0-only
//! Mapped files by huge pages: whether a mapping can have them, what MADV_COLLAPSE and khugepaged make
//! of it, and the bytes that are seen through it then.

use crate::record::{Obs, Record};
use crate::sys::{self, Mapping, Res};
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// A huge page.
const HUGE: usize = 2 << 20;
const MADV_COLLAPSE: i32 = 25;
/// How long khugepaged gets until it has found a mapping, and MADV_COLLAPSE for what is in its way for
/// the moment: a folio that is locked, or not yet on a list of the LRU.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

const MAPPINGS: [(&str, i32, i32); 2] = [
    ("shared", libc::PROT_READ, libc::MAP_SHARED),
    ("exec", libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE),
];

/// KiB of the mapping that are mapped by huge entries of the page table.
fn pmd_mapped(map: &Mapping) -> Res<i64> {
    let text = std::fs::read_to_string("/proc/self/smaps")
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    let head = format!("{:x}-", map.address());
    let mut lines = text.lines().skip_while(|l| !l.starts_with(&head));
    let line = lines.find_map(|l| l.strip_prefix("FilePmdMapped:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or(libc::ENOENT)
}

/// One way to get huge pages.
type Get = fn(&Mapping) -> Res<i64>;

fn collapse(map: &Mapping) -> Res<i64> {
    let end = Instant::now() + PATIENCE;
    loop {
        match map.advise(MADV_COLLAPSE) {
            Err(libc::EAGAIN) if Instant::now() < end => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Of small folios that are in memory and mapped.
fn collapse_warm(map: &Mapping) -> Res<i64> {
    map.advise(libc::MADV_RANDOM)?;
    map.touch()?;
    collapse(map)
}

/// Faults in a mapping that wants huge pages read such folios.
fn advised(map: &Mapping) -> Res<i64> {
    map.advise(libc::MADV_HUGEPAGE)?;
    map.touch()
}

/// By khugepaged, from small folios. It only takes their page tables away: the next fault maps the
/// huge page.
fn khugepaged(map: &Mapping) -> Res<i64> {
    map.advise(libc::MADV_RANDOM)?;
    map.touch()?;
    map.advise(libc::MADV_NORMAL)?;
    map.advise(libc::MADV_HUGEPAGE)?;
    let end = Instant::now() + PATIENCE;
    while pmd_mapped(map)? < (map.len() >> 10) as i64 && Instant::now() < end {
        std::thread::sleep(PAUSE);
        map.touch()?;
    }
    Ok(0)
}

const WAYS: [(&str, Get); 4] = [
    ("collapse-cold", collapse),
    ("collapse-warm", collapse_warm),
    ("advised", advised),
    ("khugepaged", khugepaged),
];

/// Of files that have at least one huge page.
pub fn all(rec: &mut Record, path: &CStr, size: i64) {
    let len = size as usize / HUGE * HUGE;
    if len == 0 {
        return;
    }
    for (kind, prot, flags) in MAPPINGS {
        for (way, get) in WAYS {
            let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW) {
                Ok(fd) => fd,
                Err(e) => return rec.put("open", Obs::Errno(e)),
            };
            rec.put("fadvise", sys::fadvise(&fd, libc::POSIX_FADV_DONTNEED));
            let map = match sys::Mapping::new(&fd, len, prot, flags) {
                Ok(map) => map,
                Err(e) => return rec.put(format!("{kind}/mmap"), Obs::Errno(e)),
            };
            let aligned = i64::from(map.address() % HUGE == 0);
            rec.put(format!("{kind}/aligned@{way}"), aligned);
            rec.put(format!("{kind}/{way}"), get(&map));
            rec.put(format!("{kind}/{way}/mapped"), pmd_mapped(&map));
            rec.put(format!("{kind}/again@{way}"), collapse(&map));
            rec.put(format!("{kind}/bytes@{way}"), map.bytes());
        }
    }
}
