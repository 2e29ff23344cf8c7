// SPDX-License-Identifier: GPL-2.0-only

//! Full indexes.

#![no_main]

use erofs_format_fuzz::{
    map,
    Table, //
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| map(data, Table::Full));
