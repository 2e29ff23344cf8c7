// SPDX-License-Identifier: GPL-2.0-only

//! The workloads of the bench.
//!
//! One process mounts, drops the caches, starts the clock, works, stops it and unmounts, for each
//! filesystem type in turn: nothing is loaded from disk while the clock runs. Under `-icount` the
//! clock counts instructions. What the kernel has more memory in use for than before the mount is
//! printed where that is asked for.

use anyhow::{
    bail,
    Context,
    Result, //
};
use clap::{
    Parser,
    Subcommand, //
};
use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{
        self,
        File, //
    },
    hint::black_box,
    io::Read,
    os::unix::fs::{
        FileExt,
        MetadataExt, //
    },
    path::{
        Path,
        PathBuf, //
    },
    time::Instant, //
};

#[derive(Parser)]
struct Args {
    /// Filesystem types in the order they are tried
    #[arg(long, required = true, value_delimiter = ',')]
    fs: Vec<String>,
    /// The block device with the image
    #[arg(long)]
    device: String,
    #[arg(long, default_value = "/mnt")]
    mountpoint: PathBuf,
    /// Print what memory was in use for, too
    #[arg(long)]
    memory: bool,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Read a file from begin to end
    Seq { file: PathBuf },
    /// Read 4 KiB at random places of a file
    Rand { file: PathBuf, reads: u64 },
    /// List all directories, and stat every file
    Walk { dir: PathBuf },
    /// List all directories
    List { dir: PathBuf },
    /// Read every file
    ReadAll { dir: PathBuf },
    /// Look up names that are not there
    Absent { dir: PathBuf, names: u64 },
    /// Nothing: the cost of the mount itself
    Mount,
}

fn check(ret: libc::c_int, what: &str) -> Result<()> {
    if ret < 0 {
        return Err(std::io::Error::last_os_error()).context(what.to_owned());
    }
    Ok(())
}

fn mount(device: &str, dir: &Path, fs: &str) -> Result<()> {
    let [device, dir, fs] = [device, dir.to_str().context("path")?, fs].map(CString::new);
    let (device, dir, fs) = (device?, dir?, fs?);
    // SAFETY: three strings and no data.
    let ret = unsafe {
        libc::mount(
            device.as_ptr(),
            dir.as_ptr(),
            fs.as_ptr(),
            libc::MS_RDONLY,
            std::ptr::null(),
        )
    };
    check(ret, "mount")
}

fn umount(dir: &Path) -> Result<()> {
    let dir = CString::new(dir.to_str().context("path")?)?;
    // SAFETY: a string.
    check(unsafe { libc::umount(dir.as_ptr()) }, "umount")
}

fn drop_caches() -> Result<()> {
    // Twice: the first lets go of what the second can then drop.
    for _ in 0..2 {
        fs::write("/proc/sys/vm/drop_caches", "3")?;
    }
    Ok(())
}

/// Sectors read from the device so far.
fn sectors(device: &str) -> Result<u64> {
    let device = fs::canonicalize(device)?;
    let name = device.file_name().context("device")?;
    let stat = fs::read_to_string(Path::new("/sys/block").join(name).join("stat"))?;
    Ok(stat.split_whitespace().nth(2).context("stat")?.parse()?)
}

/// What the kernel uses memory for, in KiB: by kind, and by `slab:NAME`.
fn memory() -> Result<BTreeMap<String, i64>> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let of = |name: &str| -> Result<i64> {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name));
        let value = line.and_then(|l| l.strip_prefix(':')?.split_whitespace().next());
        Ok(value.context(name.to_owned())?.parse()?)
    };
    // Pages that can be had back without being in a slab are a driver's own cache.
    let kept = of("KReclaimable")? - of("SReclaimable")?;
    let kinds = [
        ("slab", of("Slab")?),
        ("page cache", of("Cached")? + of("Buffers")? + kept),
        ("vmalloc", of("VmallocUsed")?),
        ("not free", -of("MemFree")?),
    ];
    let mut found: BTreeMap<_, _> = kinds.map(|(name, kib)| (name.to_owned(), kib)).into();
    for line in fs::read_to_string("/proc/slabinfo")?.lines().skip(2) {
        // name active objects size perslab pagesperslab : tunables a b c : slabdata active slabs
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, pages, slabs] = [0, 5, 14].map(|n| words.get(n).copied());
        let pages: i64 = pages.context("slabinfo")?.parse()?;
        let slabs: i64 = slabs.context("slabinfo")?.parse()?;
        let name = name.context("slabinfo")?;
        *found.entry(format!("slab:{name}")).or_default() += slabs * pages * 4;
    }
    Ok(found)
}

fn walk(dir: &Path, file: &mut dyn FnMut(&Path) -> Result<()>) -> Result<u64> {
    let mut seen = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        seen += 1;
        if entry.file_type()?.is_dir() {
            file(&entry.path())?;
            seen += walk(&entry.path(), file)?;
        } else {
            file(&entry.path())?;
        }
    }
    Ok(seen)
}

/// Does the work; returns how many items it was.
fn work(root: &Path, work: &Work) -> Result<u64> {
    let mut buf = vec![0; 128 << 10];
    Ok(match work {
        Work::Seq { file } => read_to_end(&root.join(file), &mut buf)?,
        Work::Rand { file, reads } => {
            let file = File::open(root.join(file))?;
            let pages = file.metadata()?.size() / 4096;
            let mut state = 0x9e37_79b9_7f4a_7c15u64;
            for _ in 0..*reads {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                file.read_exact_at(&mut buf[..4096], state % pages * 4096)?;
                black_box(&buf);
            }
            *reads
        }
        Work::Walk { dir } => walk(&root.join(dir), &mut |p| {
            black_box(fs::symlink_metadata(p)?.size());
            Ok(())
        })?,
        Work::List { dir } => walk(&root.join(dir), &mut |_| Ok(()))?,
        Work::ReadAll { dir } => walk(&root.join(dir), &mut |p| {
            if fs::symlink_metadata(p)?.is_file() {
                read_to_end(p, &mut buf)?;
            }
            Ok(())
        })?,
        Work::Absent { dir, names } => {
            let dir = root.join(dir);
            for n in 0..*names {
                if dir.join(format!("f{n:06}.absent")).exists() {
                    bail!("a name is there that should not be");
                }
            }
            *names
        }
        Work::Mount => 1,
    })
}

fn read_to_end(path: &Path, buf: &mut [u8]) -> Result<u64> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = 0;
    loop {
        match file.read(buf)? {
            0 => return Ok(bytes),
            n => bytes += n as u64,
        }
        black_box(&buf);
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    // SAFETY: no memory is handed over.
    check(
        unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) },
        "mlockall",
    )?;
    for fs in &args.fs {
        let unmounted = args.memory.then(|| drop_caches().and_then(|_| memory()));
        if !matches!(args.work, Work::Mount) {
            mount(&args.device, &args.mountpoint, fs)?;
        }
        drop_caches()?;
        let before = sectors(&args.device)?;
        let start = Instant::now();
        if matches!(args.work, Work::Mount) {
            mount(&args.device, &args.mountpoint, fs)?;
        }
        let items = work(&args.mountpoint, &args.work)?;
        let time = start.elapsed().as_nanos();
        let read = sectors(&args.device)? - before;
        if let Some(before) = unmounted.transpose()? {
            for (kind, kib) in memory()? {
                let more = kib - before.get(&kind).unwrap_or(&0);
                println!("{kind} {more}");
            }
        }
        umount(&args.mountpoint)?;
        if items == 0 {
            bail!("nothing to do in the image");
        }
        println!("{fs} {time} {read} {items}");
    }
    Ok(())
}
