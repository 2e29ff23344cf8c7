// SPDX-License-Identifier: GPL-2.0-only

//! Inode records of any content.

#![no_main]

use erofs_format::{
    inode::record_len,
    Inode,
    Nid, //
};
use erofs_format_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let sb = input.super_block();
    let nid = Nid(input.number());

    let Ok((inode, attributes)) = Inode::parse(&sb, nid, input.0) else {
        return;
    };
    let len = record_len(input.0).expect("it was parsed");
    let area = sb.iloc(nid).expect("it was parsed");
    let xattrs = inode.xattr_area();

    assert!(len <= input.0.len());
    assert_eq!((inode.source(), inode.size), (area.source, attributes.size));
    assert!(inode.size <= i64::MAX as u64);
    assert_eq!(xattrs.pos, area.pos + len as u64);
    assert!(xattrs.len == 0 || xattrs.len >= 12);
    assert!(!inode.is_compressed() || sb.is_compressed());
    if let Some(target) = inode.fast_symlink(sb.block) {
        assert_eq!(u64::from(target.len), inode.size);
        assert_eq!(target.pos, xattrs.pos + u64::from(xattrs.len));
        assert!(target.len == 0 || target.len <= sb.block.rest(target.pos));
    }
    let _ = Inode::check_symlink(input.0);
});
