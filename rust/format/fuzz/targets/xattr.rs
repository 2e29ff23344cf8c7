// SPDX-License-Identifier: GPL-2.0-only

//! An inode's xattr area of any content.

#![no_main]

use erofs_format::{
    xattr::{
        prefix,
        shared_ids,
        Entry,
        Filter,
        LongPrefix,
        Xattrs, //
    },
    Inode,
    Nid, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let sb = input.super_block();
    let nid = Nid(input.below(1 << 40));
    let index = input.below(8) as u8;
    let name_len = input.below(300) as usize;
    let infix_len = input.below(300) as usize;
    let mut record = vec![0; 32];
    record[2..4].copy_from_slice(&(input.below(600) as u16).to_le_bytes());
    record[5] = 0o100;

    let (inode, _) = Inode::parse(&sb, nid, &record).expect("a sound inode");
    let Ok(Some(header)) = Xattrs::header(&inode) else {
        return;
    };
    let area = inode.xattr_area();
    let bytes = input.take(area.len as usize);
    let at = |part: erofs_format::meta::Area| {
        let from = (part.pos - area.pos) as usize;
        &bytes[from..from + part.len as usize]
    };
    let _ = Filter::parse(&sb, at(header)).expect("enough bytes");
    let Ok(xattrs) = Xattrs::parse(&sb, &inode, at(header)) else {
        return;
    };

    let name = input.take(name_len);
    let infix = input.take(infix_len);
    let long = |_| LongPrefix::parse(&infix).ok();
    let check = |entry: &Entry| {
        assert!(entry.name.len <= 255 && entry.value.len <= 65_535);
        assert_eq!(entry.name.pos + u64::from(entry.name.len), entry.value.pos);
        if let Some(expected) = entry.expected_name(index, &name, long) {
            assert!(expected.len() == entry.name.len as usize && name.ends_with(expected));
        }
        if let Some(resolved) = entry.index.resolve(long) {
            prefix(resolved.base_index);
        }
    };

    let mut inline = xattrs.inline(&inode);
    while let Some(wanted) = inline.wanted() {
        let Ok(entry) = inline.feed(at(wanted)) else {
            break;
        };
        // All of it is in the area.
        at(entry.name);
        at(entry.value);
        check(&entry);
    }
    let ids: Vec<_> = shared_ids(at(xattrs.shared(&inode))).collect();
    assert_eq!(ids.len(), usize::from(xattrs.shared_count));
    for id in ids {
        let wanted = sb.shared_xattr(id);
        assert_eq!(wanted.pos % 4, 0);
        check(&Entry::parse(wanted, &id.to_be_bytes()).expect("enough bytes"));
    }
});
