// SPDX-License-Identifier: GPL-2.0-only
//! Compares two mounted trees system call by system call, and probes mounts:
//! the referee between the C driver and erofs_rs.

mod compare;
mod dir;
mod faults;
mod file;
mod handles;
mod hostile;
mod huge;
mod observe;
mod patterns;
mod probe;
mod record;
mod source;
mod sys;
mod uring;
mod write;

use clap::{Args, Parser, Subcommand};
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

#[derive(Parser)]
#[command(
    about = "Compares two mounted trees system call by system call",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    trees: Trees,
}

#[derive(Args)]
struct Trees {
    /// The tree to be judged by.
    a: Option<PathBuf>,
    /// The tree to judge.
    b: Option<PathBuf>,
    #[command(flatten)]
    options: compare::Options,
}

#[derive(Subcommand)]
enum Verb {
    /// Mount each mutant of an image by both drivers, and compare their answers.
    Hostile(hostile::Options),
    /// Let each allocation, request and copy to user space inside each operation fail once.
    Faults(faults::Options),
    /// Take a file handle of every path, drop the caches, open each again.
    Handles { dir: PathBuf },
}

fn path(p: PathBuf) -> CString {
    CString::new(p.into_os_string().into_vec()).expect("an argument has no NUL")
}

fn compare(a: PathBuf, b: PathBuf, options: &compare::Options) -> bool {
    let start = std::time::Instant::now();
    let report = compare::Report::default();
    compare::run(&path(a), &path(b), options, &report);
    let get = |n: &std::sync::atomic::AtomicUsize| n.load(Ordering::Relaxed);
    println!("files {}", get(&report.files));
    println!("bytes {}", get(&report.bytes));
    println!("checks {}", get(&report.checks));
    println!("seconds {:.1}", start.elapsed().as_secs_f64());
    report.show_census();
    println!("mismatches {}", get(&report.mismatches));
    // A tree of nothing but its root compares nothing.
    get(&report.mismatches) == 0 && get(&report.files) > 1
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match (cli.verb, cli.trees.a, cli.trees.b) {
        (Some(Verb::Hostile(opt)), ..) => hostile::run(&opt),
        (Some(Verb::Faults(opt)), ..) => faults::run(&opt),
        (Some(Verb::Handles { dir }), ..) => handles::run(&path(dir)),
        (None, Some(a), Some(b)) => {
            return ExitCode::from(u8::from(!compare(a, b, &cli.trees.options)));
        }
        (None, ..) => Err(anyhow::anyhow!("two trees or a command; see --help")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("treecmp: {e:#}");
            ExitCode::FAILURE
        }
    }
}
