// SPDX-License-Identifier: GPL-2.0-only

//! A directory of up to four blocks of any content.

#![no_main]

use erofs_format::dir::{
    d_type,
    find,
    BlockSearch,
    Entries,
    Step, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let size = 512 << input.below(4);
    let count = 1 + input.below(4);
    let offset = input.number() as u32;
    let cut = input.below(size as u64 + 1) as u32;
    let name_len = 1 + input.below(255) as usize;
    let name = input.take(name_len);
    let blocks: Vec<_> = (0..count).map(|_| input.take(size)).collect();

    let mut names = vec![name];
    for block in &blocks {
        let Ok(entries) = Entries::new(block, cut, offset) else {
            continue;
        };
        for entry in entries {
            let Ok(entry) = entry else { break };

            assert!((1..=255).contains(&entry.name.len()));
            assert!(entry.offset % 12 == 0 && entry.offset >= offset);
            assert!(d_type(entry.file_type) <= 12);
            names.push(entry.name.to_vec());
        }
    }

    for name in names.iter().take(20) {
        let mut search = BlockSearch::new(name, count);
        let mut kept = None;

        for _ in 0..=count {
            let Some(index) = search.next() else { break };
            let block = &blocks[index as usize];

            match search.feed(block) {
                Ok(Step::Keep) => kept = Some(block),
                Ok(Step::Earlier) => {}
                Ok(Step::Found(_)) | Err(_) => return,
            }
        }
        assert_eq!(search.next(), None, "the search must end");
        if let Some(block) = kept {
            let _ = find(block, name);
        }
    }
});
