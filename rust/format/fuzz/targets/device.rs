// SPDX-License-Identifier: GPL-2.0-only

//! Slots of the device table, and positions on the devices.

#![no_main]

use erofs_format::device::{
    map_dev,
    Devices,
    Slot, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let sb = input.super_block();
    let (id, pa) = (input.number() as u16, input.number());
    let mut table = Vec::new();

    while !input.0.is_empty() {
        let slot = Slot::parse(&sb, &input.take(128)).expect("enough bytes");

        if let Ok(path) = slot.path() {
            assert!((1..=64).contains(&path.len()) && !path.contains(&0));
        }
        table.push(slot.device);
    }
    for devices in [Devices::None, Devices::Flat, Devices::Separate] {
        let Ok(place) = map_dev(sb.block, devices, &table, id, pa) else {
            assert!(usize::from(id) > table.len());
            continue;
        };
        match place.device {
            Some(index) if id == 0 => {
                let device = table[usize::from(index)];

                assert_eq!(devices, Devices::Separate);
                assert!(sb.block.block(place.pos) < device.blocks);
                assert_eq!(place.pos + sb.block.pos(device.uniaddr), pa);
            }
            Some(index) => assert_eq!((index + 1, place.pos), (id, pa)),
            None => assert!(place.pos >= pa),
        }
    }
});
