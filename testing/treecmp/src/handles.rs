// SPDX-License-Identifier: GPL-2.0-only
//! File handles the way an NFS server uses them: kept while the caches, and
//! with them every name, are forgotten.

use crate::compare::{below, child};
use crate::record::field;
use crate::{dir, file, observe, sys};
use anyhow::{bail, Context, Result};
use std::ffi::CString;
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd};

struct Known {
    path: CString,
    kind: u8,
    ino: u64,
    up: u64,
    handle: Vec<u8>,
}

fn ino_of(fd: &OwnedFd) -> Result<u64> {
    let st = sys::statx(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH, 0x7ff)
        .map_err(Error::from_raw_os_error)?;
    Ok(field(&st, "ino"))
}

fn collect(root: &CString) -> Result<Vec<Known>> {
    let (mut all, mut todo) = (vec![], vec![vec![]]);
    while let Some(rel) = todo.pop() {
        let top = below(root, &rel);
        let up = field(
            &*observe::statx(&top).map_err(Error::from_raw_os_error)?,
            "ino",
        );
        let entries = dir::parse(&dir::list(&top).map_err(Error::from_raw_os_error)?);
        for e in entries.into_iter().filter(dir::Entry::is_child) {
            let path = sys::join(&top, &e.name);
            let handle = sys::name_to_handle(&path, 128, 0).map_err(Error::from_raw_os_error)?;
            let ino = field(
                &*observe::statx(&path).map_err(Error::from_raw_os_error)?,
                "ino",
            );
            if e.kind == libc::DT_DIR {
                todo.push(child(&rel, &e.name));
            }
            all.push(Known {
                path,
                kind: e.kind,
                ino,
                up,
                handle,
            });
        }
    }
    Ok(all)
}

fn check(mount: &OwnedFd, known: &mut Known) -> Result<()> {
    let how = match known.kind {
        libc::DT_REG | libc::DT_DIR => libc::O_RDONLY,
        _ => libc::O_PATH,
    };
    let fd =
        sys::open_by_handle(mount, &mut known.handle, how).map_err(Error::from_raw_os_error)?;
    if ino_of(&fd)? != known.ino {
        bail!("another inode");
    }
    if known.kind == libc::DT_DIR {
        let up = sys::openat(&fd, c"..", libc::O_PATH).map_err(Error::from_raw_os_error)?;
        if ino_of(&up)? != known.up {
            bail!("another parent");
        }
    }
    if known.kind == libc::DT_REG {
        let named = sys::open(&known.path, libc::O_RDONLY).map_err(Error::from_raw_os_error)?;
        file::same_bytes(&fd, &named, u64::MAX).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

pub fn run(root: &CString) -> Result<()> {
    let mut all = collect(root)?;
    let mount = dir::open(root).map_err(Error::from_raw_os_error)?;
    std::fs::write("/proc/sys/vm/drop_caches", "3")?;
    // The deepest first: nothing above them is known then.
    for known in all.iter_mut().rev() {
        check(&mount, known).with_context(|| known.path.to_string_lossy().into_owned())?;
    }
    println!("handles {}", all.len());
    Ok(())
}
