// SPDX-License-Identifier: GPL-2.0-only
//! Fault sweeps: the first, second, third ... chance to fail inside one
//! operation is taken, until there are no more chances. After each fault the
//! same operation must work and say the same as at first.

use crate::record::{Obs, Record};
use crate::{dir, file, observe, probe, sys};
use anyhow::{bail, Context, Result};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::unix::fs::FileExt;

#[derive(clap::Args)]
pub struct Options {
    /// The filesystem type.
    fstype: String,
    /// The block device with the image.
    device: String,
    /// Where to mount it.
    dir: String,
    /// Paths in the image that are operated on.
    #[arg(required = true)]
    paths: Vec<String>,
}

const MAX: u32 = 5000;

fn drop_caches() -> Result<()> {
    // The first time, what was used of late is only marked as old.
    (0..2).try_for_each(|_| std::fs::write("/proc/sys/vm/drop_caches", "3").context("drop_caches"))
}

/// Runs `op` with its n-th chance failing; whether a fault was injected.
fn with_fault<T>(n: u32, op: impl FnOnce() -> T) -> Result<(T, bool)> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/proc/thread-self/fail-nth")?;
    control.write_all_at(n.to_string().as_bytes(), 0)?;
    let got = op();
    let mut buf = [0u8; 16];
    // The n-th chance may come as late as in one of these two copies: EFAULT.
    let late = |e: &std::io::Error| e.raw_os_error() == Some(libc::EFAULT);
    let left = control.read_at(&mut buf, 0);
    if let Err(e) = control.write_all_at(b"0", 0) {
        if !late(&e) {
            return Err(e.into());
        }
    }
    match left {
        Err(e) if late(&e) => Ok((got, false)),
        left => Ok((got, std::str::from_utf8(&buf[..left?])?.trim() == "0")),
    }
}

/// What a lack of memory, a failed read or a failed copy to user space may become;
/// ENOSPC is the memfd's of `mapped`.
const ALLOWED: [i32; 4] = [libc::ENOMEM, libc::EIO, libc::EFAULT, libc::ENOSPC];

type Op = fn(&CStr) -> Obs;

fn whole(path: &CStr) -> Obs {
    let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW) {
        Ok(fd) => fd,
        Err(e) => return Obs::Errno(e),
    };
    let (mut all, mut buf) = (vec![], vec![0u8; 65536]);
    loop {
        match sys::read(&fd, &mut buf) {
            Ok(0) => return Obs::Bytes(all),
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) => return Obs::Errno(e),
        }
    }
}

fn all_xattrs(path: &CStr) -> Obs {
    let names = match observe::xattr_names(path) {
        Ok(names) => names,
        Err(e) => return Obs::Errno(e),
    };
    let mut all = names.clone();
    for name in observe::names_in(&names) {
        match observe::xattr(path, &sys::cstr(name)) {
            Ok(v) => all.extend(v),
            Err(e) => return Obs::Errno(e),
        }
    }
    Obs::Bytes(all)
}

/// The entries: between the records is what was in the buffer before.
fn entries(path: &CStr) -> Obs {
    let list = dir::list(path).map(|raw| {
        let entry = |e: dir::Entry| {
            let numbers = format!("{} {} {} ", e.ino, e.off, e.kind);
            [numbers.into_bytes(), e.name].concat()
        };
        dir::parse(&raw)
            .into_iter()
            .flat_map(entry)
            .collect::<Vec<u8>>()
    });
    list.into()
}

fn mapped(path: &CStr) -> Obs {
    let fd = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW);
    fd.and_then(|fd| sys::mmap_read(&fd, 0, 16384, libc::MAP_SHARED))
        .into()
}

fn direct(path: &CStr) -> Obs {
    let mut page = Box::new(sys::Aligned([0; 1 << 17]));
    let fd = sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_DIRECT);
    fd.and_then(|fd| sys::pread(&fd, &mut page.0, 0))
        .map(|n| page.0[..n].to_vec())
        .into()
}

const OPS: [(&str, Op); 10] = [
    ("statfs", |p| sys::statfs(p).map(|s| s.to_vec()).into()),
    ("statx", |p| observe::statx(p).into()),
    ("open", |p| {
        sys::open(p, libc::O_RDONLY | libc::O_NOFOLLOW).into()
    }),
    ("read", whole),
    ("mmap", mapped),
    ("direct", direct),
    ("getdents", entries),
    ("xattrs", all_xattrs),
    ("readlink", |p| sys::readlink(p, 8192).into()),
    ("fiemap", |p| {
        let fd = sys::open(p, libc::O_RDONLY | libc::O_NOFOLLOW);
        fd.and_then(|fd| file::fiemap_once(&fd, 0, u64::MAX, 0, 64))
            .into()
    }),
];

/// Of one call that returns a count, a fault may leave the beginning.
fn short(name: &str, got: &Obs, right: &Obs) -> bool {
    match (got, right) {
        (Obs::Bytes(g), Obs::Bytes(r)) => matches!(name, "mmap" | "direct") && r.starts_with(g),
        _ => false,
    }
}

fn sweep(name: &str, path: &CStr, op: Op) -> Result<()> {
    drop_caches()?;
    let right = op(path);
    let mut failed = 0;
    for n in 1..MAX {
        drop_caches()?;
        let (got, injected) = with_fault(n, || op(path))?;
        match &got {
            _ if got == right => {}
            Obs::Errno(e) if injected && ALLOWED.contains(e) => failed += 1,
            _ if injected && short(name, &got, &right) => failed += 1,
            _ => bail!(
                "{name} {path:?} fault {n}: {} instead of {}",
                got.show(Some(&right)),
                right.show(Some(&got))
            ),
        }
        if op(path) != right {
            bail!("{name} {path:?} still wrong after fault {n}");
        }
        if !injected {
            println!(
                "{name} {} faults {} failed {failed}",
                path.to_string_lossy(),
                n - 1
            );
            return Ok(());
        }
    }
    bail!("{name} {path:?}: no end of faults");
}

fn mounts(opt: &Options, dev: &CStr, dir: &CStr) -> Result<()> {
    let fstype = CString::new(opt.fstype.as_str())?;
    let mount = || sys::mount(dev, dir, &fstype, libc::MS_RDONLY, c"");
    let content = || -> Result<Record> {
        let rec = probe::probe(
            dir,
            probe::Questions {
                way: Some(0),
                alone: None,
            },
        );
        sys::umount(dir).map_err(std::io::Error::from_raw_os_error)?;
        Ok(rec)
    };
    mount().map_err(std::io::Error::from_raw_os_error)?;
    let right = content()?;
    let mut failed = 0;
    for n in 1..MAX {
        let (got, injected) = with_fault(n, mount)?;
        match got {
            Ok(_) => {
                if let Some(what) = right.diff(&content()?).first() {
                    bail!("mounted with fault {n}: {what}");
                }
            }
            Err(e) if injected && ALLOWED.contains(&e) => failed += 1,
            Err(e) => bail!("mount with fault {n}: {}", sys::errname(e)),
        }
        if !injected {
            println!("mount faults {} failed {failed}", n - 1);
            return Ok(());
        }
    }
    bail!("mount: no end of faults");
}

/// Needs the knobs of fault injection set (testing/guest/faults.sh).
pub fn run(opt: &Options) -> Result<()> {
    let (dev, dir) = (
        CString::new(opt.device.as_str())?,
        CString::new(opt.dir.as_str())?,
    );
    // From now on without a line in the log for each time.
    std::fs::write("/proc/sys/vm/drop_caches", "4").context("drop_caches")?;
    mounts(opt, &dev, &dir)?;
    let fstype = CString::new(opt.fstype.as_str())?;
    sys::mount(&dev, &dir, &fstype, libc::MS_RDONLY, c"")
        .map_err(std::io::Error::from_raw_os_error)?;
    for path in &opt.paths {
        let path = sys::join(&dir, path.as_bytes());
        if let Err(e) = observe::statx(&path) {
            bail!("{path:?}: {}", sys::errname(e));
        }
        for (name, op) in OPS {
            // What is an error without faults is no operation for this path.
            if !matches!(op(&path), Obs::Errno(_)) {
                sweep(name, &path, op)?;
            }
        }
    }
    sys::umount(&dir).map_err(std::io::Error::from_raw_os_error)?;
    Ok(())
}
