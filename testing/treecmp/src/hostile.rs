// SPDX-License-Identifier: GPL-2.0-only
//! Mutants of an image, each mounted by both drivers one after the other.

use crate::record::{Obs, Record};
use crate::{probe, sys};
use anyhow::{bail, Context, Result};
use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Error, Write};
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
    /// The device that the image wants beside it.
    #[arg(long)]
    device: Option<PathBuf>,
    /// Mount the files themselves, not loop devices over them.
    #[arg(long)]
    files: bool,
    /// Look at the files of each mutant in one costly way, not in all.
    #[arg(long)]
    quick: bool,
    /// None of the mutants may be mounted.
    #[arg(long)]
    refused: bool,
    /// The two filesystem types.
    #[arg(long, num_args = 2, default_values = ["erofs", "erofs_rs"])]
    types: Vec<String>,
    /// Where the mutants are written to: on what a loop device and a driver can read.
    #[arg(long, default_value = "/run")]
    work: PathBuf,
}

const MS_RDONLY: u64 = 1;
/// Seconds that a mutant may take.
const LIMIT: u32 = 60;

/// A loop device over `file` that goes when it is closed.
fn attach(file: &File) -> Result<(OwnedFd, CString)> {
    const LOOP_CTL_GET_FREE: u64 = 0x4c82;
    const LOOP_CONFIGURE: u64 = 0x4c0a;
    const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;
    let control =
        sys::open(c"/dev/loop-control", libc::O_RDWR).map_err(Error::from_raw_os_error)?;
    let n = sys::ioctl(&control, LOOP_CTL_GET_FREE, &mut []).map_err(Error::from_raw_os_error)?;
    let name = CString::new(format!("/dev/loop{n}"))?;
    let dev = sys::open(&name, libc::O_RDONLY).map_err(Error::from_raw_os_error)?;
    // struct loop_config: fd, block_size, struct loop_info64 with lo_flags at 52
    let mut config = [0u8; 304];
    config[..4].copy_from_slice(&file.as_raw_fd().to_ne_bytes());
    config[60..64].copy_from_slice(&READ_ONLY_AUTOCLEAR.to_ne_bytes());
    sys::ioctl(&dev, LOOP_CONFIGURE, &mut config).map_err(Error::from_raw_os_error)?;
    Ok((dev, name))
}

/// What one driver says of the device. Only the mount where it does not mount.
pub fn ask(
    fstype: &str,
    dev: &CStr,
    dir: &CStr,
    options: &CStr,
    only: Option<usize>,
) -> Result<Record> {
    let mut rec = Record::default();
    let mounted = sys::mount(dev, dir, &CString::new(fstype)?, MS_RDONLY, options);
    rec.put("mount", mounted);
    if mounted.is_ok() {
        rec.0.extend(probe::probe(dir, only).0);
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

struct Bench<'a> {
    opt: &'a Options,
    file: PathBuf,
    dir: CString,
    options: CString,
    log: File,
}

impl Bench<'_> {
    fn one(&mut self, id: &str, image: &[u8], only: Option<usize>) -> Result<Vec<String>> {
        let mut open = OpenOptions::new();
        let open = open.read(true).write(true).create(true).truncate(true);
        let file = open.open(&self.file)?;
        file.write_all_at(image, 0)?;
        let (_attached, name) = if self.opt.files {
            (
                None,
                CString::new(self.file.to_str().context("a plain path")?)?,
            )
        } else {
            let (dev, name) = attach(&file)?;
            (Some(dev), name)
        };
        let mut answers = vec![];
        for fstype in &self.opt.types {
            // Whose doing it is that the kernel complains: it stands in its log.
            self.log
                .write_all(format!("hostile: {id} {fstype}").as_bytes())?;
            answers.push(ask(fstype, &name, &self.dir, &self.options, only)?);
        }
        self.log.write_all(b"hostile: none")?;
        let mut found = probe::judge(&answers[0], &answers[1]);
        let mounted = |rec: &Record| !matches!(rec.0[0].1, Obs::Errno(_));
        if self.opt.refused && answers.iter().any(mounted) {
            found.push("mounted".into());
        }
        Ok(found)
    }
}

/// A line for each mutant before the kernel sees it: a hang has a name.
pub fn run(opt: &Options) -> Result<()> {
    let base = std::fs::read(&opt.base)?;
    let dir = Path::new("/run/hostile");
    std::fs::create_dir_all(dir)?;
    let attached = match &opt.device {
        Some(d) if !opt.files => Some(attach(&File::open(d)?)?),
        _ => None,
    };
    let options = match (&attached, &opt.device) {
        (Some((_, name)), _) => format!("device={}", name.to_string_lossy()),
        (None, Some(file)) => format!("device={}", file.display()),
        (None, None) => String::new(),
    };
    let mut bench = Bench {
        opt,
        file: opt.work.join("mutant"),
        dir: CString::new(dir.to_str().context("a plain path")?)?,
        options: CString::new(options)?,
        log: File::options().write(true).open("/dev/kmsg")?,
    };
    let lines = std::io::BufReader::new(File::open(&opt.mutants)?);
    let mut out = std::io::stdout().lock();
    for (nth, line) in lines.lines().enumerate() {
        let line = line?;
        let only = opt.quick.then_some(nth % probe::WAYS);
        let (id, spec) = line.split_once('\t').context("an id")?;
        writeln!(out, "asked {id}")?;
        sys::alarm(LIMIT);
        for what in bench.one(id, &mutant(&base, spec)?, only)? {
            writeln!(out, "differs {id} {what}")?;
        }
    }
    sys::alarm(0);
    writeln!(out, "complete")?;
    Ok(())
}
