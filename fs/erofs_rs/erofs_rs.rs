// SPDX-License-Identifier: GPL-2.0-only
//! probe
#![forbid(unsafe_code)]
use kernel::prelude::*;
module! { type: Probe, name: "erofs_rs", authors: ["erofs_rs developers"], description: "EROFS in Rust", license: "GPL", }
struct Probe;
impl kernel::Module for Probe { fn init(_m: &'static ThisModule) -> Result<Self> { Ok(Probe) } }
