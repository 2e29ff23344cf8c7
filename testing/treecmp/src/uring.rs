// SPDX-License-Identifier: GPL-2.0-only
//! Content of regular files by io_uring: many reads on their way at a time, into plain, vectored and
//! registered buffers, from plain and registered files, buffered and direct.

use crate::record::{Obs, Record};
use crate::sys::{self, Aligned, Res};
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types, IoUring};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

/// Reads that are on their way at a time.
const DEPTH: usize = 8;
const PAGE: i64 = 4096;
/// `rw_flags` of a read: it must not wait, and what it read does not stay cached.
const RWF_NOWAIT: i32 = 8;
const RWF_DONTCACHE: i32 = 0x80;

#[derive(Clone, Copy, PartialEq)]
enum Buffer {
    Plain,
    Vectored,
    Registered,
}

#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    buffer: Buffer,
    registered_file: bool,
    direct: bool,
    polled: bool,
    flags: Flags,
    rw_flags: i32,
    /// Distance of offsets and memory from a multiple of a page.
    odd: i64,
    /// The page cache keeps what the way before has read.
    warm: bool,
}

const PLAIN: Way = Way {
    name: "",
    buffer: Buffer::Plain,
    registered_file: false,
    direct: false,
    polled: false,
    flags: Flags::empty(),
    rw_flags: 0,
    odd: 0,
    warm: false,
};

#[rustfmt::skip]
const WAYS: &[Way] = &[
    Way { name: "read", odd: 77, ..PLAIN },
    Way { name: "read-warm", odd: 77, warm: true, ..PLAIN },
    Way { name: "readv", buffer: Buffer::Vectored, odd: 1, ..PLAIN },
    Way { name: "fixed", buffer: Buffer::Registered, ..PLAIN },
    Way { name: "fixed-file", buffer: Buffer::Registered, registered_file: true, odd: 5, ..PLAIN },
    Way { name: "async", flags: Flags::ASYNC, ..PLAIN },
    Way { name: "linked", flags: Flags::IO_LINK, ..PLAIN },
    Way { name: "nowait", rw_flags: RWF_NOWAIT, ..PLAIN },
    Way { name: "dontcache", rw_flags: RWF_DONTCACHE, ..PLAIN },
    Way { name: "direct", direct: true, ..PLAIN },
    Way { name: "direct-readv", buffer: Buffer::Vectored, direct: true, ..PLAIN },
    Way { name: "direct-fixed", buffer: Buffer::Registered, direct: true, ..PLAIN },
    Way { name: "direct-fixed-file", buffer: Buffer::Registered, registered_file: true, direct: true, ..PLAIN },
    Way { name: "direct-async", direct: true, flags: Flags::ASYNC, ..PLAIN },
    Way { name: "direct-odd", direct: true, odd: 77, ..PLAIN },
    Way { name: "direct-polled", direct: true, polled: true, ..PLAIN },
];

/// Places and lengths of the reads; the last two are around the end.
fn places(size: i64, odd: i64) -> Vec<(i64, usize)> {
    let mut seed = size as u64 ^ 0x2545_f491_4f6c_dd1d;
    let mut all: Vec<(i64, usize)> = (0..DEPTH - 2)
        .map(|_| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let at = (seed >> 33) as i64 % size / PAGE * PAGE;
            (
                (at + odd).min(size - 1),
                PAGE as usize * (1 + (seed >> 20) as usize % 16),
            )
        })
        .collect();
    all.push((
        ((size - 1) / PAGE * PAGE + odd).min(size - 1),
        2 * PAGE as usize,
    ));
    all.push(((size + PAGE) / PAGE * PAGE + odd, PAGE as usize));
    all
}

/// Results of all reads of a way: bytes or an errno each.
fn ask(way: &Way, fd: &OwnedFd, wanted: &[(i64, usize)]) -> Res<Vec<Res<Vec<u8>>>> {
    let errno = |e: std::io::Error| e.raw_os_error().unwrap_or(0);
    // The ring is declared after the buffers, so it ends before them on each way out.
    let mut buffers: Vec<Box<Aligned>> = wanted
        .iter()
        .map(|_| Box::new(Aligned([0xa5; 1 << 17])))
        .collect();
    let vectors: Vec<libc::iovec> = buffers
        .iter_mut()
        .zip(wanted)
        .map(|(b, &(_, len))| libc::iovec {
            iov_base: b.0[way.odd as usize..][..len].as_mut_ptr().cast(),
            iov_len: len,
        })
        .collect();
    let mut builder = IoUring::<Entry>::builder();
    if way.polled {
        builder.setup_iopoll();
    }
    let mut ring: IoUring = builder.build(DEPTH as u32).map_err(errno)?;
    if way.buffer == Buffer::Registered {
        // SAFETY: The buffers live until all reads have ended.
        unsafe { ring.submitter().register_buffers(&vectors) }.map_err(errno)?;
    }
    if way.registered_file {
        ring.submitter()
            .register_files(&[fd.as_raw_fd()])
            .map_err(errno)?;
    }
    for (n, &(off, _)) in wanted.iter().enumerate() {
        let entry = prepared(way, fd, &vectors[n], n as u16, off as u64);
        // The last one ends a chain.
        let flags = if n + 1 == wanted.len() {
            way.flags & !Flags::IO_LINK
        } else {
            way.flags
        };
        let entry = entry.flags(flags).user_data(n as u64);
        // SAFETY: The buffer and its vector live until all reads have ended.
        unsafe { ring.submission().push(&entry) }.map_err(|_| libc::EBUSY)?;
    }
    let mut found: Vec<Option<i32>> = vec![None; wanted.len()];
    while found.iter().any(Option::is_none) {
        ring.submit_and_wait(1).map_err(errno)?;
        for done in ring.completion() {
            found[done.user_data() as usize] = Some(done.result());
        }
    }
    let result = |(n, found): (usize, Option<i32>)| match found.unwrap_or(-libc::EIO) {
        e if e < 0 => Err(-e),
        len => Ok(buffers[n].0[way.odd as usize..][..len as usize].to_vec()),
    };
    Ok(found.into_iter().enumerate().map(result).collect())
}

fn prepared(way: &Way, fd: &OwnedFd, to: &libc::iovec, n: u16, off: u64) -> Entry {
    let (at, len) = (to.iov_base.cast(), to.iov_len as u32);
    macro_rules! on {
        ($file:expr) => {
            match way.buffer {
                Buffer::Plain => opcode::Read::new($file, at, len)
                    .offset(off)
                    .rw_flags(way.rw_flags)
                    .build(),
                Buffer::Vectored => opcode::Readv::new($file, to, 1)
                    .offset(off)
                    .rw_flags(way.rw_flags)
                    .build(),
                Buffer::Registered => opcode::ReadFixed::new($file, at, len, n)
                    .offset(off)
                    .rw_flags(way.rw_flags)
                    .build(),
            }
        };
    }
    if way.registered_file {
        on!(types::Fixed(0))
    } else {
        on!(types::Fd(fd.as_raw_fd()))
    }
}

pub fn all(rec: &mut Record, path: &CStr, size: i64) {
    if size == 0 {
        return;
    }
    for way in WAYS {
        let direct = if way.direct { libc::O_DIRECT } else { 0 };
        let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | direct) {
            Ok(fd) => fd,
            Err(e) => {
                rec.put(format!("{}@open", way.name), Obs::Errno(e));
                continue;
            }
        };
        if !way.warm {
            rec.put("fadvise", sys::fadvise(&fd, libc::POSIX_FADV_DONTNEED));
        }
        let wanted = places(size, way.odd);
        match ask(way, &fd, &wanted) {
            Ok(found) => {
                for (&(off, len), got) in wanted.iter().zip(found) {
                    rec.put(format!("{}@{off}+{len}", way.name), got);
                }
            }
            Err(e) => rec.put(format!("{}@ring", way.name), Obs::Errno(e)),
        }
    }
}
