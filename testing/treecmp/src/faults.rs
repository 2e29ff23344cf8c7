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
    std::fs::write("/proc/sys/vm/drop_caches", "3").context("drop_caches")
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
    let len = control.read_at(&mut buf, 0)?;
    let left: u32 = std::str::from_utf8(&buf[..len])?.trim().parse()?;
    control.write_all_at(b"0", 0)?;
    Ok((got, left == 0))
}

/// The errors that a lack of memory, or of I/O, may become.
const ALLOWED: [i32; 4] = [libc::ENOMEM, libc::EIO, libc::EAGAIN, libc::EINTR];

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

const OPS: [(&str, Op); 9] = [
    ("statx", |p| observe::statx(p).into()),
    ("open", |p| {
        sys::open(p, libc::O_RDONLY | libc::O_NOFOLLOW).into()
    }),
    ("read", whole),
    ("mmap", mapped),
    ("direct", direct),
    ("getdents", |p| dir::list(p).into()),
    ("xattrs", all_xattrs),
    ("readlink", |p| sys::readlink(p, 8192).into()),
    ("fiemap", |p| {
        let fd = sys::open(p, libc::O_RDONLY | libc::O_NOFOLLOW);
        fd.and_then(|fd| file::fiemap_once(&fd, 0, u64::MAX, 0, 64))
            .into()
    }),
];

fn sweep(name: &str, path: &CStr, op: Op) -> Result<()> {
    drop_caches()?;
    let right = op(path);
    let mut failed = 0;
    for n in 1..MAX {
        drop_caches()?;
        let (got, injected) = with_fault(n, || op(path))?;
        match &got {
            Obs::Errno(e) if got != right && injected && ALLOWED.contains(e) => failed += 1,
            _ if got == right => {}
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
    let mount = || sys::mount(dev, dir, &fstype, 1, c"");
    let mut failed = 0;
    for n in 1..MAX {
        let (got, injected) = with_fault(n, mount)?;
        match got {
            Ok(_) => {
                let rec: Record = probe::probe(dir, None);
                if rec.0.is_empty() {
                    bail!("mount with fault {n}: nothing there");
                }
                sys::umount(dir).map_err(std::io::Error::from_raw_os_error)?;
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

/// Needs the knobs of failslab and fail_page_alloc set (testing/guest/faults.sh).
pub fn run(opt: &Options) -> Result<()> {
    let (dev, dir) = (
        CString::new(opt.device.as_str())?,
        CString::new(opt.dir.as_str())?,
    );
    mounts(opt, &dev, &dir)?;
    let fstype = CString::new(opt.fstype.as_str())?;
    sys::mount(&dev, &dir, &fstype, 1, c"").map_err(std::io::Error::from_raw_os_error)?;
    for path in &opt.paths {
        let path = sys::join(&dir, path.as_bytes());
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
