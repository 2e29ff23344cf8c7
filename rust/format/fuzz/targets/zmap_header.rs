// SPDX-License-Identifier: GPL-2.0-only

//! Map headers of any content, and what they lead to.

#![no_main]

use erofs_format_fuzz::{
    map,
    Table, //
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| map(data, Table::Any));
