// SPDX-License-Identifier: GPL-2.0-only

//! Compressed files with faults in their map header, indexes or records: the crate maps them as
//! dump.erofs does, whose code has the C driver's ancestor.

use std::{
    fs,
    process::Command, //
};

use erofs_format::{
    zmap::{
        ZExtent,
        ZPlace, //
    },
    Error,
    Result, //
};

use crate::{
    common::{
        self,
        tree::noise, //
    },
    reader::Image,
    zimages::{
        dumped,
        text, //
    },
};

const IMAGES: [&str; 8] = [
    "-zlz4",
    "-zlz4 -C65536",
    "-zlz4 -Elegacy-compress",
    "-zlz4 -Eztailpacking",
    "-zlz4 -Efragments,dedupe",
    "-zlz4 -C65536 -Elegacy-compress,fragments",
    "-zzstd -E48bit",
    "-zlz4 -C65536 -E48bit",
];

const ROUNDS: u64 = 40;

/// Changes up to three bytes behind an inode that ends at `at`.
fn damage(bytes: &mut [u8], at: usize, seed: u64) {
    let random = noise(seed, 16);
    // Every fourth time only the header and what follows it.
    let span = if random[0] % 4 == 0 { 16 } else { 400 };

    for i in 0..1 + usize::from(random[1] % 3) {
        let place = u16::from_le_bytes([random[4 + 4 * i], random[5 + 4 * i]]);
        let byte = &mut bytes[at + usize::from(place) % span];
        let value = random[6 + 4 * i];

        *byte = match random[2] % 3 {
            0 => *byte ^ (1 << (value % 8)),
            1 => value,
            _ => byte.wrapping_add(1),
        };
    }
}

/// The extents of a file as dump.erofs shows them, and whether it came to the end.
fn dump(path: &str) -> (Vec<[u64; 4]>, bool) {
    let args = ["10", "dump.erofs", "-e", "--path=/file", path];
    let output = Command::new("timeout").args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let good = output.status.success() && !errors.contains("<E>");

    assert!(text.contains("/file"), "dump.erofs: {errors}");
    (common::parse_extents(&text), good)
}

/// What dump.erofs does not check, or only behind the extent.
fn is_own_check(e: Error) -> bool {
    matches!(
        e,
        Error::HeadAlgorithm { .. }
            | Error::BigPcluster
            | Error::ExtentAlgorithm { .. }
            | Error::AbsentAlgorithm(_)
            | Error::TooMuchCompressed(_)
            | Error::NotEnoughPlain(_)
            | Error::PclusterSize(_)
            | Error::PclusterAddress(_)
            | Error::IndexOrder(_)
    )
}

/// Whether dump.erofs refuses to show an extent that is sound for the driver, which reads it only
/// later: a fragment without a packed inode, a place beyond the image, a block count of 0.
fn is_refused(image: &Image, extent: &ZExtent) -> bool {
    match extent.place {
        ZPlace::Fragment { .. } => true,
        ZPlace::Hole => true,
        ZPlace::Mapped(cluster) => {
            let end = cluster.pa + u64::from(cluster.len);

            image.sb.block.blocks(end) > image.sb.blocks
        }
    }
}

/// Compares; tells whether the file came through and was mapped to its end.
fn compare(image: &Image, own: &[ZExtent], end: Result<()>, path: &str) -> bool {
    let (shown, good) = dump(path);

    for (extent, shown) in own.iter().zip(&shown) {
        let mut extent_shown = dumped(extent);

        // It is shown with what is left of the extent before it.
        if extent.place == ZPlace::Hole {
            extent_shown[2..].copy_from_slice(&shown[2..]);
        }
        assert_eq!(extent_shown, *shown);
    }
    let refused = own.get(shown.len()).or(own.last());

    match (end, good) {
        (Ok(()), true) => assert_eq!(own.len(), shown.len()),
        (_, false) if refused.is_some_and(|extent| is_refused(image, extent)) => {}
        (Err(e), _) if is_own_check(e) => assert!(own.len() <= shown.len()),
        (end, good) => assert!(end.is_err() && !good && own.len() == shown.len(), "{end:?}"),
    }
    end.is_ok() && good
}

#[test]
fn as_dump_erofs() {
    let top = common::scratch().join("msource");
    let content = [
        text(0, 300_000),
        noise(1, 50_000),
        text(3000, 100_000),
        vec![0; 20_000],
        text(0, 1000),
    ];

    fs::create_dir_all(&top).unwrap();
    fs::write(top.join("file"), content.concat()).unwrap();
    let mut broken = 0;
    for (number, options) in (0..).zip(IMAGES) {
        let all = format!("-x-1 -Eforce-inode-extended,nosbcrc {options}");
        let made = common::make(&top, &format!("mutant{number}"), &all);
        let sound = fs::read(&made.path).unwrap();
        let image = made.open();
        let root = image.inode(image.root).unwrap().0;
        let nid = image.lookup(&root, b"file").unwrap().unwrap().nid;
        let at = image.sb.iloc(nid).unwrap().pos as usize + 64;
        let mut whole = 0;

        for round in 0..ROUNDS {
            let mut bytes = sound.clone();

            damage(&mut bytes, at, round * 100 + number);
            fs::write(&made.path, &bytes).unwrap();
            println!("{options}, round {round}");
            // The packed inode may stand behind the file's.
            let Ok(image) = Image::open(Box::new(bytes), Vec::new()) else {
                continue;
            };
            let (inode, _) = image.inode(nid).unwrap();
            let (own, end) = match image.zopen(&inode) {
                Ok(mut file) => file.extents(),
                Err(e) => (Vec::new(), Err(e)),
            };

            match compare(&image, &own, end, made.path.to_str().unwrap()) {
                true => whole += 1,
                false => broken += 1,
            }
        }
        assert!(whole > 10, "{options}: {whole} can be mapped");
        fs::remove_file(&made.path).unwrap();
    }
    assert!(broken > 50, "{broken} are broken");
}
