// SPDX-License-Identifier: GPL-2.0-only
//! Two mounts of one image in lockstep: one list of paths from the first, each
//! path asked on both.

use crate::record::{field, Obs, Record};
use crate::{dir, file, huge, observe, patterns, sys, uring, write};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Level {
    /// Names, order, types, statx, link targets, content by one read.
    Quick,
    /// The same, with holes, extents, and content by many orders of reads, each from an empty cache.
    Reads,
    /// Everything but content.
    Meta,
    /// Everything.
    Full,
    /// Content by io_uring.
    Uring,
    /// Content by mappings with huge pages.
    Huge,
}

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, value_enum, default_value = "full")]
    pub level: Level,
    /// Look at each N-th path only, unless they are few; directories are still listed in full.
    #[arg(long, default_value_t = 1)]
    pub sample: usize,
    /// Of these ask everything of each N-th only, and the others at level quick.
    #[arg(long, default_value_t = 1)]
    pub every: usize,
    /// Which of each N.
    #[arg(long, default_value_t = 0)]
    pub phase: usize,
    /// Ask everything of the first N names of each directory only.
    #[arg(long, default_value_t = usize::MAX)]
    pub per_dir: usize,
    /// How much of each file is read in full; what is beyond is only sampled.
    #[arg(long, default_value_t = u64::MAX)]
    pub limit: u64,
    /// Threads that share the work.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Threads that each do all of the work, from different starts.
    #[arg(long, default_value_t = 1)]
    pub readers: usize,
    /// Drop the page, dentry and inode caches all the while.
    #[arg(long)]
    pub drop_caches: bool,
    /// The second tree is the plain directory that the image was made from.
    #[arg(long)]
    pub against_source: bool,
}

#[derive(Default)]
pub struct Report {
    pub files: AtomicUsize,
    pub bytes: AtomicUsize,
    pub checks: AtomicUsize,
    pub mismatches: AtomicUsize,
    /// How often each kind of mismatch was shown.
    shown: Mutex<BTreeMap<String, usize>>,
    /// How often A gave each kind of answer to each kind of question.
    census: Mutex<BTreeMap<(String, String), usize>>,
}

impl Report {
    /// The first few of each kind are shown.
    pub fn mismatch(&self, path: &[u8], what: &str) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
        let kind = what.split([':', '@', '[']).next().unwrap_or_default();
        let mut shown = self.shown.lock().expect("no thread panics here");
        if shown.len() < 50 {
            let times = shown.entry(kind.to_string()).or_default();
            *times += 1;
            if *times <= 3 {
                println!("differs /{}: {what}", path.escape_ascii());
            }
        }
    }

    pub fn records(&self, path: &[u8], a: &Record, b: &Record) {
        self.checks.fetch_add(a.0.len(), Ordering::Relaxed);
        for what in a.diff(b) {
            self.mismatch(path, &what);
        }
    }

    /// Counts the answers in `record`, so that a test can see what was compared.
    fn tally(&self, record: &Record) {
        let mut census = self.census.lock().expect("no thread panics here");
        for (what, answer) in &record.0 {
            let kind = what.split('@').next().unwrap_or_default();
            let answer = match answer {
                Obs::Bytes(b) if b.is_empty() => "nothing".into(),
                Obs::Bytes(_) => "bytes".into(),
                other => other.show(None),
            };
            *census.entry((kind.into(), answer)).or_default() += 1;
        }
    }

    pub fn show_census(&self) {
        for ((kind, answer), times) in &*self.census.lock().expect("no thread panics here") {
            println!("census {kind} {answer} {times}");
        }
    }

    pub fn count(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as usize, Ordering::Relaxed);
    }
}

/// A path below the roots, without a leading slash.
pub struct Item {
    pub rel: Vec<u8>,
    pub kind: u8,
    /// Its place in its directory.
    pub nth: usize,
}

pub fn below(root: &CString, rel: &[u8]) -> CString {
    if rel.is_empty() {
        root.clone()
    } else {
        sys::join(root, rel)
    }
}

/// The path of a name in the directory `rel`.
pub fn child(rel: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if rel.is_empty() { b"" } else { b"/" };
    [rel, slash, name].concat()
}

/// A tree from its root down; `names` gives the names and types in each directory.
pub fn walk(names: impl Fn(&[u8]) -> Vec<(Vec<u8>, u8)>) -> Vec<Item> {
    let mut items = vec![Item {
        rel: vec![],
        kind: libc::DT_DIR,
        nth: 0,
    }];
    let mut next = 0;
    while let Some(item) = items.get(next) {
        next += 1;
        if item.kind != libc::DT_DIR {
            continue;
        }
        let rel = item.rel.clone();
        for (nth, (name, kind)) in names(&rel).into_iter().enumerate() {
            items.push(Item {
                rel: child(&rel, &name),
                kind,
                nth,
            });
        }
    }
    items
}

/// The names and types in a directory of A, compared with those of B.
fn names(a: &CString, b: &CString, rel: &[u8], report: &Report) -> Vec<(Vec<u8>, u8)> {
    let (x, y) = (dir::list(&below(a, rel)), dir::list(&below(b, rel)));
    let entries = dir::parse(x.as_deref().unwrap_or_default());
    if x != y {
        let other = dir::parse(y.as_deref().unwrap_or_default());
        let at = entries
            .iter()
            .zip(&other)
            .position(|(e, f)| (e.ino, e.off, e.kind, &e.name) != (f.ino, f.off, f.kind, &f.name));
        let at = at.unwrap_or(entries.len().min(other.len()));
        let show = |l: &[dir::Entry]| {
            l.get(at).map_or("end".into(), |e| {
                format!("{} {} {} {}", e.name.escape_ascii(), e.ino, e.off, e.kind)
            })
        };
        let errs = (x.as_ref().err(), y.as_ref().err());
        report.mismatch(
            rel,
            &format!(
                "getdents[{at}] {} | {} {errs:?}",
                show(&entries),
                show(&other)
            ),
        );
    }
    let children = entries.into_iter().filter(dir::Entry::is_child);
    children.map(|e| (e.name, e.kind)).collect()
}

fn everything(item: &Item, path: &CString, root: &CString, level: Level) -> Record {
    let mut rec = observe::full(path, root);
    let size = rec.statx_size();
    write::on_any(&mut rec, path, root);
    if item.kind == libc::DT_DIR {
        let entries = dir::parse(&dir::list(path).unwrap_or_default());
        dir::positions(&mut rec, path, &entries);
        dir::missing(&mut rec, path, &entries);
        dir::parent(&mut rec, path);
        write::on_dir(&mut rec, path);
        if let Ok(fd) = dir::open(path) {
            file::ioctls(&mut rec, &fd, 1);
            file::extents(&mut rec, &fd, 4096);
        }
    }
    if item.kind == libc::DT_REG {
        rec.put(
            "lookup below a file",
            observe::statx(&sys::join(path, b"x")),
        );
        write::on_file(&mut rec, path);
        let fd = match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW) {
            Ok(fd) => fd,
            Err(e) => {
                rec.put("open", Obs::Errno(e));
                return rec;
            }
        };
        file::holes(&mut rec, &fd, size);
        file::extents(&mut rec, &fd, size);
        file::ioctls(&mut rec, &fd, size >> 12);
        if level == Level::Full {
            file::direct(&mut rec, path, size);
            file::ways_to_read(&mut rec, &fd, size);
        }
    }
    rec
}

/// What `ask` asks of a file of this size.
fn of_size(path: &CString, ask: fn(&mut Record, &std::ffi::CStr, i64)) -> Record {
    let mut rec = Record::default();
    match observe::statx(path) {
        Ok(st) => ask(&mut rec, path, field(&st, "size") as i64),
        Err(e) => rec.put("statx", Obs::Errno(e)),
    }
    rec
}

/// A file's place on the device, its holes and its content.
fn reads(path: &CString) -> Record {
    let mut rec = observe::brief(path);
    let size = rec.statx_size();
    match sys::open(path, libc::O_RDONLY | libc::O_NOFOLLOW) {
        Ok(fd) => {
            file::holes(&mut rec, &fd, size);
            file::extents(&mut rec, &fd, size);
            patterns::all(&mut rec, &fd, size);
        }
        Err(e) => rec.put("open", Obs::Errno(e)),
    }
    rec
}

fn content(item: &Item, a: &CString, b: &CString, limit: u64, report: &Report) {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW;
    match (sys::open(a, flags), sys::open(b, flags)) {
        (Ok(x), Ok(y)) => match file::same_bytes(&x, &y, limit) {
            Ok(n) => report.count(n),
            Err(what) => report.mismatch(&item.rel, &what),
        },
        (Err(x), Err(y)) if x == y => report.count(0),
        (x, y) => report.mismatch(&item.rel, &format!("open: {:?} | {:?}", x.err(), y.err())),
    }
}

fn check(item: &Item, roots: (&CString, &CString), level: Level, limit: u64, report: &Report) {
    let (a, b) = (below(roots.0, &item.rel), below(roots.1, &item.rel));
    let (x, y) = match level {
        Level::Reads if item.kind == libc::DT_REG => (reads(&a), reads(&b)),
        Level::Uring if item.kind == libc::DT_REG => {
            (of_size(&a, uring::all), of_size(&b, uring::all))
        }
        Level::Huge if item.kind == libc::DT_REG => {
            (of_size(&a, huge::all), of_size(&b, huge::all))
        }
        Level::Quick | Level::Reads | Level::Uring | Level::Huge => {
            (observe::brief(&a), observe::brief(&b))
        }
        Level::Meta | Level::Full => (
            everything(item, &a, roots.0, level),
            everything(item, &b, roots.1, level),
        ),
    };
    report.records(&item.rel, &x, &y);
    if item.kind == libc::DT_REG && matches!(level, Level::Uring | Level::Huge) {
        report.tally(&x);
    }
    if item.kind == libc::DT_REG && level != Level::Meta {
        content(item, &a, &b, limit, report);
    } else {
        report.count(0);
    }
}

/// A mutation that succeeded would change the tree, or the machine.
fn read_only(root: &CString) -> bool {
    const ST_RDONLY: i64 = 1;
    sys::statfs(root).is_ok_and(|s| s[observe::STATFS_FLAGS] & ST_RDONLY != 0)
}

/// The kernel's, and the compressed pages that the drivers keep.
fn drop_caches() {
    std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop caches");
    for types in ["erofs", "erofs_rs"] {
        for mount in std::fs::read_dir(format!("/sys/fs/{types}"))
            .into_iter()
            .flatten()
        {
            let file = mount.expect("sysfs is read").path().join("drop_caches");
            if file.exists() {
                std::fs::write(file, "3").expect("root may drop caches");
            }
        }
    }
}

/// Runs `work` over the items, by `jobs` threads that share them or `readers`
/// threads that each take all.
pub fn spread(items: &[Item], opt: &Options, work: impl Fn(usize, &Item) + Sync) {
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..opt.jobs.max(opt.readers))
            .map(|t| {
                let (next, work) = (&next, &work);
                s.spawn(move || {
                    if opt.readers > 1 {
                        let start = t * items.len() / opt.readers;
                        (0..items.len())
                            .map(|i| (i + start) % items.len())
                            .for_each(|i| work(i, &items[i]));
                    } else {
                        let take = || next.fetch_add(1, Ordering::Relaxed);
                        let mut i = take();
                        while let Some(item) = items.get(i) {
                            work(i, item);
                            i = take();
                        }
                    }
                })
            })
            .collect();
        if opt.drop_caches {
            s.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop_caches();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            });
        }
        for t in threads {
            t.join().expect("a reader panicked");
        }
        done.store(true, Ordering::Relaxed);
    });
}

pub fn run(a: &CString, b: &CString, opt: &Options, report: &Report) {
    if opt.against_source {
        return crate::source::run(a, b, opt, report);
    }
    if !read_only(a) || !read_only(b) {
        return report.mismatch(b"", "not a read-only filesystem");
    }
    let mut nth = opt.phase;
    let mut items = walk(|rel| names(a, b, rel, report));
    let few = items.len() < 10 * opt.sample;
    items.retain(|_| {
        nth += 1;
        few || nth % opt.sample == 0
    });
    spread(&items, opt, |i, item| {
        let level = if (i + opt.phase) % opt.every == 0 && item.nth < opt.per_dir {
            opt.level
        } else {
            Level::Quick
        };
        check(item, (a, b), level, opt.limit, report);
    });
}
