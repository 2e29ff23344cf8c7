// SPDX-License-Identifier: GPL-2.0-only

//! Positions in files of any uncompressed layout; chunk entries are read one at a time for comparison.

#![no_main]

use erofs_format::{
    map::{
        map_blocks,
        Extent,
        Plan,
        Target, //
    },
    meta::Area,
    Inode,
    Nid,
    SuperBlock, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// The byte of an endless chunk array that is at `pos` of the metadata.
fn array(bytes: &[u8], area: Area) -> Vec<u8> {
    let len = bytes.len().max(1) as u64;
    let byte = |pos: u64| bytes.get((pos % len) as usize).copied().unwrap_or(0);

    (area.pos..area.pos + u64::from(area.len))
        .map(byte)
        .collect()
}

fn extent(sb: &SuperBlock, inode: &Inode, la: u64, bytes: &[u8], step: u32) -> Option<Extent> {
    match map_blocks(sb, inode, la).ok()? {
        Plan::Extent(extent) => Some(extent),
        Plan::Chunks(mut lookup) => loop {
            let mut area = lookup.wanted();

            assert!(area.len > 0 && area.len <= sb.block.rest(area.pos));
            area.len = area.len.min(step);
            if let Some(extent) = lookup.feed(&array(bytes, area)).expect("an entry") {
                return Some(extent);
            }
        },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let sb = input.super_block();
    let (nid, la, step) = (Nid(input.number()), input.number(), input.below(100) as u32);
    let record = input.take(64);

    let Ok((inode, _)) = Inode::parse(&sb, nid, &record) else {
        return;
    };
    let la = la % inode.size.max(1);
    let Some(found) = extent(&sb, &inode, la, input.0, 8 + step) else {
        return;
    };

    assert!(found.la <= la && la - found.la < found.len);
    assert!(found.la + found.len <= 1 << 63);
    assert_eq!(extent(&sb, &inode, la, input.0, u32::MAX), Some(found));
    match found.target {
        Target::Hole => {}
        Target::Inline(area) => {
            assert_eq!((found.la, found.len), (la, u64::from(area.len)));
            assert!(area.len <= sb.block.rest(area.pos) && la + found.len == inode.size);
        }
        Target::Mapped { device, pa } => {
            let devices = u32::from(sb.extra_devices) + 1;

            assert!(u32::from(device) < devices.next_power_of_two());
            assert_eq!(sb.block.offset(pa), sb.block.offset(found.la));
        }
    }

    // Any other position of the extent maps to the same place.
    let last = (found.la + found.len - 1)
        .min(inode.size.saturating_sub(1))
        .max(la);
    let other = extent(&sb, &inode, last, input.0, 8).expect("a part of the extent");
    let skip = other.la - found.la;
    match (found.target, other.target) {
        (Target::Mapped { device, pa }, Target::Mapped { device: d, pa: p }) => {
            assert_eq!((device, pa + skip), (d, p));
        }
        (Target::Hole, Target::Hole) => {}
        (Target::Inline(a), Target::Inline(b)) => assert_eq!(a.pos + skip, b.pos),
        (a, b) => panic!("{a:?} and {b:?}"),
    }
});
