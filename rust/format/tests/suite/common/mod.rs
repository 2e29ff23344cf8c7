// SPDX-License-Identifier: GPL-2.0-only

//! What the tests on images share: the source tree, mkfs.erofs and its companions, comparison.

pub mod census;
pub mod tree;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{
        self,
        File, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
    sync::OnceLock, //
};

use erofs_format::{
    inode::FileType,
    map::{
        Extent,
        Target, //
    }, //
};

use crate::reader::Image;
use tree::{
    Node,
    Tree, //
};

/// A directory for the tests' files.
pub fn scratch() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("suite");

    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Runs a program, which must succeed; returns its standard output.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(program);
    let output = command
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}, is this the toolbox? {e}"));

    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The source tree, made once.
pub fn source() -> &'static (PathBuf, Tree) {
    static SOURCE: OnceLock<(PathBuf, Tree)> = OnceLock::new();

    SOURCE.get_or_init(|| {
        let top = scratch().join("source");

        if top.exists() {
            fs::remove_dir_all(&top).unwrap();
        }
        tree::make(&top);
        let tree = tree::read(&top);
        (top, tree)
    })
}

/// An image on disk, with its further devices.
#[derive(Default)]
pub struct Made {
    pub path: PathBuf,
    pub blobs: Vec<PathBuf>,
}

impl Made {
    pub fn open(&self) -> Image {
        let open = |path: &PathBuf| Box::new(File::open(path).unwrap()) as Box<_>;

        Image::open(open(&self.path), self.blobs.iter().map(open).collect())
            .unwrap_or_else(|e| panic!("{}: {e}", self.path.display()))
    }

    fn device_args(&self) -> impl Iterator<Item = String> + '_ {
        self.blobs
            .iter()
            .map(|blob| format!("--device={}", blob.display()))
    }

    /// fsck.erofs, with further arguments.
    pub fn fsck<'a>(&'a self, args: impl IntoIterator<Item = &'a str>) {
        let args = args.into_iter().map(str::to_string);

        run(
            "fsck.erofs",
            args.chain(self.device_args())
                .chain([self.path.display().to_string()]),
        );
    }

    /// The extents of a file as dump.erofs shows them, as [`parse_extents()`] has them.
    pub fn dumped_extents(&self, path: &str) -> Vec<[u64; 4]> {
        let args = ["-e".to_string(), format!("--path={path}")];
        let text = run(
            "dump.erofs",
            args.into_iter()
                .chain(self.device_args())
                .chain([self.path.display().to_string()]),
        );

        parse_extents(&text)
    }
}

/// The extents in what dump.erofs prints: position and length in the file and on the device.
pub fn parse_extents(text: &str) -> Vec<[u64; 4]> {
    // "   0:        0..    4096 |    4096 :       8192..   12288 |    4096  # device 1"
    text.lines()
        .filter(|line| line.contains(".."))
        .map(|line| {
            let numbers: Vec<u64> = line
                .split(|c: char| !c.is_ascii_digit())
                .filter(|word| !word.is_empty())
                .map(|word| word.parse().unwrap())
                .collect();

            [numbers[1], numbers[3], numbers[4], numbers[6]]
        })
        .collect()
}

/// Makes an image of a source tree.
pub fn make(source: &Path, name: &str, options: &str) -> Made {
    let dir = scratch();
    let path = dir.join(format!("{name}.erofs"));
    let blob = dir.join(format!("{name}.blob"));
    let options = options.replace("BLOB", blob.to_str().unwrap());

    for old in [&path, &blob] {
        if old.exists() {
            fs::remove_file(old).unwrap();
        }
    }
    let args = ["--quiet"].into_iter().chain(options.split_whitespace());
    run(
        "mkfs.erofs",
        args.chain([path.to_str().unwrap(), source.to_str().unwrap()]),
    );
    Made {
        path,
        blobs: [blob].into_iter().filter(|blob| blob.exists()).collect(),
    }
}

/// The tree in an image, through the crate.
pub fn tree_of(image: &Image) -> Tree {
    let files = image.walk(100).unwrap();

    files
        .iter()
        .map(|(path, (inode, attributes))| {
            let data = match attributes.file_type {
                FileType::Regular => image.content(inode),
                FileType::Symlink => image.readlink(inode),
                _ => Ok(Vec::new()),
            };
            let name = String::from_utf8_lossy(path);
            let node = Node {
                mode: attributes.mode.into(),
                uid: attributes.uid,
                gid: attributes.gid,
                nlink: attributes.nlink,
                size: match attributes.file_type {
                    FileType::Regular | FileType::Symlink => attributes.size,
                    _ => 0,
                },
                mtime: (attributes.mtime, attributes.mtime_nsec),
                rdev: attributes.rdev,
                xattrs: image
                    .xattrs(inode)
                    .unwrap_or_else(|e| panic!("xattrs of {name}: {e}")),
                data: data.unwrap_or_else(|e| panic!("data of {name}: {e}")),
            };
            (path.clone(), node)
        })
        .collect()
}

/// Compares two trees and names the first differences.
pub fn assert_same(expected: &Tree, found: &Tree) {
    let mut differences = Vec::new();
    let paths: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();

    for path in paths {
        let name = String::from_utf8_lossy(path);

        match (expected.get(path), found.get(path)) {
            (Some(_), None) => differences.push(format!("{name}: missing")),
            (None, Some(_)) => differences.push(format!("{name}: not in the source")),
            (Some(a), Some(b)) if a != b => {
                let brief = |node: &Node| Node {
                    data: Vec::new(),
                    ..node.clone()
                };
                differences.push(match brief(a) == brief(b) {
                    true => format!("{name}: other content"),
                    false => format!("{name}:\n  {:?}\n  {:?}", brief(a), brief(b)),
                });
            }
            _ => {}
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
}

/// Every name of every directory is found by lookup, names beside it are not, and reading can begin
/// at every position.
pub fn check_directories(image: &Image) {
    for (path, (dir, attributes)) in &image.walk(100).unwrap() {
        if attributes.file_type != FileType::Directory {
            continue;
        }
        let path = String::from_utf8_lossy(path);
        let mut entries = Vec::new();

        image.readdir(dir, 0, |entry| entries.push(entry)).unwrap();
        let names: BTreeMap<_, _> = entries
            .iter()
            .map(|e| (e.name.clone(), (e.nid, e.file_type)))
            .collect();
        assert_eq!(names.len(), entries.len(), "{path}: a name twice");
        assert_eq!(names[&b"."[..]].0, dir.nid, "{path}: bogus .");
        assert!(names.contains_key(&b".."[..]), "{path}: no ..");

        for entry in &entries {
            let name = &entry.name;
            let found = image.lookup(dir, name).unwrap();

            // The VFS never asks for the entry that is left out.
            if name != b"." || !dir.dot_omitted {
                let found = found.unwrap_or_else(|| panic!("{path}: lookup of {name:?}"));
                assert_eq!((found.nid, found.file_type), (entry.nid, entry.file_type));
            }

            let (head, last) = name.split_at(name.len() - 1);
            for other in [
                head.to_vec(),
                [name, &b"a"[..]].concat(),
                [name, &b"\xff"[..]].concat(),
                [head, &[last[0].wrapping_sub(1).max(1)]].concat(),
                [head, &[last[0].saturating_add(1)]].concat(),
            ] {
                if !other.is_empty() && !names.contains_key(&other) {
                    let found = image.lookup(dir, &other).unwrap();
                    assert_eq!(found, None, "{path}: {other:?} is not there");
                }
            }
        }

        let step = entries.len() / 40 + 1;
        for index in (0..entries.len()).step_by(step) {
            // Positions in an entry stand for the next one.
            let before = index.checked_sub(1).map_or(0, |i| entries[i].pos + 1);
            let mut rest = Vec::new();

            image
                .readdir(
                    dir,
                    before.max(entries[index].pos.saturating_sub(11)),
                    |e| rest.push(e),
                )
                .unwrap();
            assert_eq!(rest, entries[index..], "{path}: from entry {index} on");
        }
    }
}

/// Reads of parts of files give the parts of the content.
pub fn check_reads(image: &Image) {
    for (path, (inode, attributes)) in &image.walk(100).unwrap() {
        if attributes.file_type != FileType::Regular || inode.size == 0 {
            continue;
        }
        let content = image.content(inode).unwrap();

        for round in 0..8u64 {
            let random = tree::noise(round + inode.size, 8);
            let random = u64::from_le_bytes(random.try_into().unwrap());
            let pos = (random >> 20) % inode.size;
            let len = (random % 20_000).min(inode.size - pos);
            let mut buf = vec![0xaa; len as usize];

            image.read(inode, pos, &mut buf).unwrap();
            assert!(
                buf == content[pos as usize..][..buf.len()],
                "{}: {len} bytes at {pos}",
                String::from_utf8_lossy(path)
            );
        }
    }
}

/// A part of a file: its position there, and on the device.
type Piece = (u64, u64, u64);

/// The extents of regular files are those that dump.erofs shows.
pub fn check_extents(made: &Made, image: &Image) {
    let files = image.walk(100).unwrap();
    let regular = files.iter().filter(|(path, (inode, attributes))| {
        attributes.file_type == FileType::Regular && inode.size != 0 && path.is_ascii()
    });

    for (path, (inode, _)) in regular.filter(|(path, _)| !path.starts_with(b"/wide")) {
        let path = std::str::from_utf8(path).unwrap();
        let extents = image.extents(inode).unwrap();
        let is_hole = |pos| {
            let of = |e: &&Extent| e.la <= pos && pos - e.la < e.len;
            extents.iter().find(of).unwrap().target == Target::Hole
        };

        // A hole is shown with the address of the extent before it.
        let dumped = made.dumped_extents(path).into_iter();
        let dumped = dumped
            .filter(|&[la, ..]| !is_hole(la))
            .map(|[la, _, pa, len]| (la, pa, len));
        assert_eq!(merge(mapped(&extents)), merge(dumped.collect()), "{path}");
    }
}

fn mapped(extents: &[Extent]) -> Vec<Piece> {
    extents
        .iter()
        .filter_map(|extent| match extent.target {
            Target::Hole => None,
            Target::Mapped { pa, .. } => Some((extent.la, pa, extent.len)),
            Target::Inline(area) => Some((extent.la, area.pos, extent.len)),
        })
        .collect()
}

/// Makes one of pieces that follow each other.
fn merge(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::new();

    for (la, pa, len) in pieces {
        match merged.last_mut() {
            Some(last) if (last.0 + last.2, last.1 + last.2) == (la, pa) => last.2 += len,
            _ => merged.push((la, pa, len)),
        }
    }
    merged
}

/// The tree in an image is what fsck.erofs extracts, apart from what extraction loses.
pub fn check_extracted(made: &Made) {
    let name = made.path.file_stem().unwrap().to_str().unwrap();
    let dir = scratch().join(format!("{name}.extracted"));

    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    made.fsck([&format!("--extract={}", dir.display())[..], "--xattrs"]);

    let image = made.open();
    let mut found = tree_of(&image);
    let mut extracted = tree::read(&dir);
    for (path, node) in &mut found {
        // fsck.erofs stops at an empty xattr.
        if node.xattrs.values().any(|value| value.is_empty()) {
            node.xattrs.clear();
            if let Some(node) = extracted.get_mut(path) {
                node.xattrs.clear();
            }
        }
    }
    for tree in [&mut found, &mut extracted] {
        for node in tree.values_mut() {
            // The times of directories change when they are filled.
            if node.mode & 0o170000 == 0o040000 {
                node.mtime = (0, 0);
            }
        }
    }
    assert_same(&extracted, &found);
    check_directories(&image);
    check_extents(made, &image);
}
