// SPDX-License-Identifier: GPL-2.0-only

//! Compression configurations.

#![no_main]

use erofs_format::{
    zmap::config::{
        ConfigTable,
        Configs, //
    },
    Result,
    SuperBlock, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fn parse(sb: &SuperBlock, bytes: &[u8], step: usize) -> Result<Configs> {
    let mut table = ConfigTable::new(sb);

    while let Some(area) = table.wanted() {
        let base = 1024 + u64::from(sb.size);
        let skip = (area.pos - base) as usize;
        let byte = |at| bytes.get(skip + at).copied().unwrap_or(0);
        let bytes: Vec<_> = (0..step.min(area.len as usize)).map(byte).collect();

        assert!(area.len > 0 && area.len <= sb.block.rest(area.pos));
        table.feed(&bytes)?;
    }
    Ok(table.configs())
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let sb = input.super_block();
    let found = parse(&sb, input.0, usize::MAX);

    assert_eq!(found, parse(&sb, input.0, 1));
    let Ok(configs) = found else {
        return;
    };
    let there = u16::from(configs.lz4.is_some())
        | (u16::from(configs.lzma.is_some()) << 1)
        | (u16::from(configs.deflate.is_some()) << 2)
        | (u16::from(configs.zstd.is_some()) << 3);
    assert_eq!(there, sb.algorithms);
    if let Some(lz4) = configs.lz4 {
        let most = (1 << 20) >> sb.block.bits();
        assert!((1..=most).contains(&u32::from(lz4.max_pclusterblks)));
    }
    if let Some(lzma) = configs.lzma {
        assert!((4096..=8 << 20).contains(&lzma.dict_size));
    }
    assert!(configs
        .deflate
        .is_none_or(|deflate| deflate.window_bits <= 15));
    assert!(configs
        .zstd
        .is_none_or(|zstd| (10..=20).contains(&zstd.window_bits)));
});
