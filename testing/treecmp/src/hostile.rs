// SPDX-License-Identifier: GPL-2.0-only
//! Mutants of an image, each mounted by both drivers one after the other.

use crate::record::{Obs, Record};
use crate::{probe, sys};
use anyhow::{bail, Context, Result};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Options {
    /// Lines of `ID SIZE OFFSET:HEX[,OFFSET:HEX...]`.
    mutants: PathBuf,
    /// The image that they change.
    #[arg(long)]
    base: PathBuf,
    /// The two filesystem types.
    #[arg(long, num_args = 2, default_values = ["erofs", "erofs_rs"])]
    types: Vec<String>,
    /// A tmpfs to work in.
    #[arg(long, default_value = "/run")]
    work: PathBuf,
}

const MS_RDONLY: u64 = 1;

/// A loop device over `file` that goes when it is closed.
fn attach(file: &std::fs::File) -> Result<(OwnedFd, CString)> {
    const LOOP_CTL_GET_FREE: u64 = 0x4c82;
    const LOOP_CONFIGURE: u64 = 0x4c0a;
    const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;
    let control =
        sys::open(c"/dev/loop-control", libc::O_RDWR).map_err(std::io::Error::from_raw_os_error)?;
    let n = sys::ioctl(&control, LOOP_CTL_GET_FREE, &mut [])
        .map_err(std::io::Error::from_raw_os_error)?;
    let name = CString::new(format!("/dev/loop{n}"))?;
    let dev = sys::open(&name, libc::O_RDONLY).map_err(std::io::Error::from_raw_os_error)?;
    // struct loop_config: fd, block_size, struct loop_info64 with lo_flags at 52
    let mut config = [0u8; 304];
    config[..4].copy_from_slice(&file.as_raw_fd().to_ne_bytes());
    config[60..64].copy_from_slice(&READ_ONLY_AUTOCLEAR.to_ne_bytes());
    sys::ioctl(&dev, LOOP_CONFIGURE, &mut config).map_err(std::io::Error::from_raw_os_error)?;
    Ok((dev, name))
}

/// What one driver says of the device. Empty where it does not mount.
pub fn ask(fstype: &str, dev: &CString, dir: &CString) -> Result<Record> {
    let mut rec = Record::default();
    let mounted = sys::mount(dev, dir, &CString::new(fstype)?, MS_RDONLY, c"");
    rec.put("mount", mounted);
    if mounted.is_ok() {
        rec.0.extend(probe::probe(dir).0);
        if let Err(e) = sys::umount(dir) {
            bail!("{fstype} cannot be unmounted: {}", sys::errname(e));
        }
    }
    if rec.0[0].1 == Obs::Errno(libc::ENODEV) {
        bail!("the kernel has no {fstype}");
    }
    Ok(rec)
}

fn mutant(base: &[u8], spec: &str) -> Result<Vec<u8>> {
    let (size, patches) = spec.split_once('\t').context("size and patches")?;
    let mut image = base.to_vec();
    for patch in patches.split(',').filter(|p| !p.is_empty()) {
        let (off, hex) = patch.split_once(':').context("offset:hex")?;
        let off: usize = off.parse()?;
        for (i, pair) in hex.as_bytes().chunks(2).enumerate() {
            let byte = u8::from_str_radix(std::str::from_utf8(pair)?, 16)?;
            *image.get_mut(off + i).context("a patch beyond the image")? = byte;
        }
    }
    image.truncate(size.parse()?);
    Ok(image)
}

fn one(opt: &Options, image: &[u8], work: &Path, dir: &CString) -> Result<Vec<String>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(work)?;
    file.write_all_at(image, 0)?;
    let (_dev, name) = attach(&file)?;
    let a = ask(&opt.types[0], &name, dir)?;
    let b = ask(&opt.types[1], &name, dir)?;
    Ok(probe::judge(&a, &b))
}

/// Prints a line for each mutant; the caller counts them.
pub fn run(opt: &Options) -> Result<()> {
    let base = std::fs::read(&opt.base)?;
    let (work, dir) = (opt.work.join("mutant"), opt.work.join("hostile"));
    std::fs::create_dir_all(&dir)?;
    let dir = CString::new(dir.to_str().context("a plain path")?)?;
    let lines = std::io::BufReader::new(std::fs::File::open(&opt.mutants)?);
    let mut out = std::io::stdout().lock();
    for line in lines.lines() {
        let line = line?;
        let (id, spec) = line.split_once('\t').context("an id")?;
        // Seen before the kernel sees the image: a hang has a name.
        writeln!(out, "{id}")?;
        for what in one(opt, &mutant(&base, spec)?, &work, &dir)? {
            writeln!(out, "differs {id} {what}")?;
        }
    }
    Ok(())
}
