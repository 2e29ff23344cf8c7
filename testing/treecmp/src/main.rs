// SPDX-License-Identifier: GPL-2.0-only
//! Compares two mounted trees system call by system call, and probes mounts:
//! the referee between the C driver and erofs_rs.

mod compare;
mod dir;
mod file;
mod observe;
mod record;
mod source;
mod sys;
mod write;

use clap::Parser;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

#[derive(Parser)]
#[command(about = "Compares two mounted trees system call by system call")]
struct Cli {
    /// The tree to be judged by.
    a: PathBuf,
    /// The tree to judge.
    b: PathBuf,
    #[command(flatten)]
    options: compare::Options,
}

fn path(p: PathBuf) -> CString {
    CString::new(p.into_os_string().into_vec()).expect("an argument has no NUL")
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let report = compare::Report::default();
    compare::run(&path(cli.a), &path(cli.b), &cli.options, &report);
    let get = |n: &std::sync::atomic::AtomicUsize| n.load(Ordering::Relaxed);
    println!("files {}", get(&report.files));
    println!("bytes {}", get(&report.bytes));
    println!("checks {}", get(&report.checks));
    println!("mismatches {}", get(&report.mismatches));
    // A tree of nothing but its root compares nothing.
    ExitCode::from(u8::from(
        get(&report.mismatches) > 0 || get(&report.files) < 2,
    ))
}
