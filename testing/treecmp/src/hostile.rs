// SPDX-License-Identifier: GPL-2.0-only
//! Mutants of an image, each mounted by both drivers one after the other.
//!
//! In a damaged image pclusters overlap that should not. The C driver finds them by position alone, so what it gives of
//! a file depends on what was read before it. Where content differs, so, both are mounted once more and asked this
//! alone: if both say then what the second said in its turn, it is a matter of `order`, and no difference.

use crate::probe::{self, Questions};
use crate::record::{Obs, Record};
use crate::sys;
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
    /// Where each mutant is written to.
    #[arg(long, default_value = "/run/mutant")]
    file: PathBuf,
    /// Mount the files themselves, not loop devices over them: FILE must not be on tmpfs, whose files
    /// the drivers cannot read.
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
fn ask(
    fstype: &str,
    dev: &CStr,
    dir: &CStr,
    options: &CStr,
    asked: Questions<'_>,
) -> Result<Record> {
    let mut rec = Record::default();
    let mounted = sys::mount(dev, dir, &CString::new(fstype)?, MS_RDONLY, options);
    rec.put("mount", mounted);
    if mounted.is_ok() {
        rec.0.extend(probe::probe(dir, asked).0);
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
    dir: CString,
    options: CString,
    log: File,
}

impl Bench<'_> {
    /// What is mounted: the file with this content, or a device over it for as long as that is open.
    fn written(&self, image: &[u8]) -> Result<(Option<OwnedFd>, CString)> {
        let mut open = OpenOptions::new();
        let open = open.read(true).write(true).create(true).truncate(true);
        let file = open.open(&self.opt.file)?;
        file.write_all_at(image, 0)?;
        if self.opt.files {
            let name = CString::new(self.opt.file.to_str().context("a plain path")?)?;
            return Ok((None, name));
        }
        let (dev, name) = attach(&file)?;
        Ok((Some(dev), name))
    }

    /// Fails unless both drivers mount the image as it is: that all mutants are refused would say nothing then.
    fn is_mounted(&self, base: &[u8]) -> Result<()> {
        let (_attached, name) = self.written(base)?;
        for fstype in &self.opt.types {
            let types = CString::new(&**fstype)?;
            let mount = |options: &CStr| {
                sys::mount(&name, &self.dir, &types, MS_RDONLY, options)?;
                sys::umount(&self.dir)
            };
            // What may be refused is also a device that the image does not want.
            let mounted = match mount(&self.options) {
                Err(_) if self.opt.refused => mount(c""),
                mounted => mounted,
            };
            if let Err(e) = mounted {
                bail!(
                    "{fstype} does not mount the image itself: {}",
                    sys::errname(e)
                );
            }
        }
        Ok(())
    }

    fn one(&mut self, id: &str, image: &[u8], way: Option<usize>) -> Result<Vec<String>> {
        let (_attached, name) = self.written(image)?;
        let [a, b] = self.both(id, &name, Questions { way, alone: None })?;
        let mut found = vec![];
        let mut from = 0;
        while let Some((nth, what)) = probe::judge(&a, &b, from) {
            let (op, answer) = &b.0[nth];
            let mut aside = String::new();
            if probe::is_content(op) {
                let alone = Some(&**op);
                let [a, b] = self.both(id, &name, Questions { way, alone })?;
                let (x, y) = (a.get(op), b.get(op));
                if x == Some(answer) && y == Some(answer) {
                    found.push(format!("order {id} {what}"));
                    from = nth + 1;
                    continue;
                }
                let show = |x: Option<&Obs>, y| x.map_or("nothing".into(), |x| x.show(y));
                aside = format!(" (alone {} | {})", show(x, y), show(y, x));
            }
            // What follows from a first difference says nothing more.
            found.push(format!("differs {id} {what}{aside}"));
            break;
        }
        let mounted = |rec: &Record| !matches!(rec.0[0].1, Obs::Errno(_));
        if self.opt.refused && (mounted(&a) || mounted(&b)) {
            found.push(format!("differs {id} mounted"));
        }
        Ok(found)
    }

    /// What the two drivers say, each by a mount of its own.
    fn both(&mut self, id: &str, name: &CStr, asked: Questions<'_>) -> Result<[Record; 2]> {
        let mut answers = [Record::default(), Record::default()];
        for (fstype, answer) in self.opt.types.iter().zip(&mut answers) {
            // Whose doing it is that the kernel complains: it stands in its log.
            self.log
                .write_all(format!("hostile: {id} {fstype}").as_bytes())?;
            *answer = ask(fstype, name, &self.dir, &self.options, asked)?;
        }
        self.log.write_all(b"hostile: none")?;
        Ok(answers)
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
        dir: CString::new(dir.to_str().context("a plain path")?)?,
        options: CString::new(options)?,
        log: File::options().write(true).open("/dev/kmsg")?,
    };
    bench.is_mounted(&base)?;
    let lines = std::io::BufReader::new(File::open(&opt.mutants)?);
    let mut out = std::io::stdout().lock();
    for (nth, line) in lines.lines().enumerate() {
        let line = line?;
        let way = opt.quick.then_some(nth % probe::WAYS);
        let (id, spec) = line.split_once('\t').context("an id")?;
        writeln!(out, "asked {id}")?;
        sys::alarm(LIMIT);
        for what in bench.one(id, &mutant(&base, spec)?, way)? {
            writeln!(out, "{what}")?;
        }
    }
    sys::alarm(0);
    writeln!(out, "complete")?;
    Ok(())
}
