// SPDX-License-Identifier: GPL-2.0-only

//! Tells the tests where the third-party images are; without them these tests are shown as ignored.

use std::{env, path::PathBuf};

fn main() {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = env::var_os("EROFS_RS_SHARED").map_or_else(beside, PathBuf::from);
    let testdata = shared.join("testdata");

    println!("cargo::rustc-check-cfg=cfg(testdata)");
    println!("cargo::rerun-if-env-changed=EROFS_RS_SHARED");
    println!("cargo::rerun-if-changed={}", testdata.display());
    println!("cargo::rustc-env=TESTDATA={}", testdata.display());
    if testdata.is_dir() {
        println!("cargo::rustc-cfg=testdata");
    }
}
