// SPDX-License-Identifier: GPL-2.0-only

//! A superblock of any content, and what is computed from it.

#![no_main]

use erofs_format::{
    meta::Source,
    xattr::PrefixTable,
    Nid,
    SuperBlock, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let nid = Nid(input.number());
    let id = input.number() as u32;
    let page_bits = 8 + input.below(18) as u8;
    // A right checksum is not to be guessed.
    let stored = input
        .0
        .get(4..8)
        .map_or(0, |b| u32::from_le_bytes(b.try_into().unwrap()));
    let crc = if id & 1 != 0 { stored } else { id };

    let sb = match SuperBlock::parse(input.0, page_bits, |_, _| crc) {
        Ok(sb) => sb,
        Err(e) => {
            assert!(e.errno() > 0 && !e.to_string().is_empty());
            return;
        }
    };
    assert!(sb.block.bits() >= 9 && sb.block.bits() <= page_bits);
    assert!(sb.label().len() <= 16);
    assert_eq!(sb.block.round_up(nid.0) % u64::from(sb.block.size()), 0);
    if let Ok(area) = sb.iloc(nid) {
        assert!(area.pos <= i64::MAX as u64 && area.pos % 32 == 0);
        assert!(area.source == Source::Device || sb.metabox_nid.is_some());
    }
    if let Some(nid) = sb.metabox_nid {
        assert!(!nid.in_metabox());
    }
    sb.ino64(nid);
    sb.ino32(nid);
    sb.shared_xattr(id);
    sb.device_slot(id as u16);
    let _ = sb.devices(id);

    let mut table = PrefixTable::new(&sb);
    let mut last = 0;
    for bytes in input.0.chunks(2) {
        let Some(area) = table.wanted() else { break };
        assert!(area.pos >= last);
        last = area.pos;
        if table.feed(bytes).is_err() {
            break;
        }
    }
});
