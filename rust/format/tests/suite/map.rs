// SPDX-License-Identifier: GPL-2.0-only

//! Where the bytes of plain, inline and chunk-based files are.

use erofs_format::{
    map::{
        map_blocks,
        Extent,
        Plan,
        Target, //
    },
    meta::{
        Area,
        Source, //
    },
    Error,
    Inode,
    Nid,
    Result,
    SuperBlock, //
};

use crate::records::*;

fn extent(sb: &SuperBlock, inode: &Inode, la: u64) -> Result<Extent> {
    match map_blocks(sb, inode, la)? {
        Plan::Extent(extent) => Ok(extent),
        Plan::Chunks(_) => panic!("no chunks here"),
    }
}

#[test]
fn flat_files() {
    let sb = Super::new().ok();
    let inode = |layout, size: u64| {
        let record = put(extended(layout, REG, size), 16, &100u32.to_le_bytes());
        let record = put(record, 2, &4u16.to_le_bytes());
        Inode::parse(&sb, Nid(1), &record).unwrap().0
    };
    let mapped = |la, len| {
        Ok(Extent {
            la,
            len,
            target: Target::Mapped {
                device: 0,
                pa: 100 * 4096 + la,
            },
        })
    };
    let inline = |la, len| {
        Ok(Extent {
            la,
            len: u64::from(len),
            target: Target::Inline(Area {
                source: Source::Device,
                pos: 32 + 64 + 24 + la % 4096,
                len,
            }),
        })
    };
    let hole = |la| {
        Ok(Extent {
            la,
            len: i64::MAX as u64 - la,
            target: Target::Hole,
        })
    };

    // Plain: whole blocks, the last one included.
    let plain = inode(PLAIN, 5000);
    assert_eq!(extent(&sb, &plain, 0), mapped(0, 8192));
    assert_eq!(extent(&sb, &plain, 4999), mapped(4999, 3193));
    assert_eq!(extent(&sb, &plain, 5000), hole(5000));
    assert_eq!(extent(&sb, &inode(PLAIN, 0), 0), hole(0));
    let largest = inode(PLAIN, i64::MAX as u64);
    assert_eq!(extent(&sb, &largest, 4096), mapped(4096, (1 << 63) - 4096));

    // Inline: the last block's content, be it a whole block.
    let tail = inode(INLINE, 5000);
    assert_eq!(extent(&sb, &tail, 0), mapped(0, 4096));
    assert_eq!(extent(&sb, &tail, 4096), inline(4096, 904));
    assert_eq!(extent(&sb, &tail, 4999), inline(4999, 1));
    assert_eq!(extent(&sb, &tail, 5000), hole(5000));
    assert_eq!(extent(&sb, &inode(INLINE, 0), 0), hole(0));
    let fits = inode(INLINE, 4096 - 120);
    assert_eq!(extent(&sb, &fits, 0), inline(0, 3976));
    let across = inode(INLINE, 4096 - 119);
    assert_eq!(extent(&sb, &across, 0), Err(Error::InlineAcrossBlocks));
    assert_eq!(extent(&sb, &across, 1), Err(Error::InlineAcrossBlocks));
    assert_eq!(Error::InlineAcrossBlocks.errno(), EUCLEAN);
    let whole = inode(INLINE, 8192);
    assert_eq!(extent(&sb, &whole, 4095), mapped(4095, 1));
    assert_eq!(extent(&sb, &whole, 4096), Err(Error::InlineAcrossBlocks));

    let record = put(extended(PLAIN, REG, 5000), 16, &[0xff; 4]);
    let record = put(record, 6, &[0xff; 2]);
    let (nowhere, _) = Inode::parse(&sb, Nid(1), &record).unwrap();
    assert_eq!(extent(&sb, &nowhere, 4999), hole(4999));
}

fn chunked(sb: &SuperBlock, format: u16, size: u64, pos: u64) -> (Inode, Vec<u8>) {
    let record = put(extended(CHUNK, REG, size), 16, &format.to_le_bytes());
    let nid = Nid((pos - 64) / 32);

    (Inode::parse(sb, nid, &record).unwrap().0, Vec::new())
}

/// Looks `la` up, with `step` bytes at a time of an array that begins at `pos`.
fn look_up(sb: &SuperBlock, inode: &Inode, la: u64, pos: u64, array: &[u8], step: usize) -> Extent {
    let Plan::Chunks(mut lookup) = map_blocks(sb, inode, la).unwrap() else {
        panic!("not chunked");
    };

    loop {
        let area = lookup.wanted();
        let from = (area.pos - pos) as usize;
        let bytes = &array[from..from + (area.len as usize).min(step)];

        if let Some(extent) = lookup.feed(bytes).unwrap() {
            return extent;
        }
    }
}

#[test]
fn chunk_entries() {
    let hole = u64::MAX;
    // Format, device table, entries as (device, block), and the extents as chunks and target.
    type Case<'a> = (u16, u16, &'a [(u16, u64)], &'a [(u64, Option<(u16, u64)>)]);
    let cases: [Case<'_>; 7] = [
        // Block map: what follows is one, holes are one.
        (
            0,
            0,
            &[(0, 7), (0, 8), (0, 10), (0, hole), (0, hole), (0, 1)],
            &[
                (2, Some((0, 7))),
                (1, Some((0, 10))),
                (2, None),
                (1, Some((0, 1))),
            ],
        ),
        // Chunks of two blocks.
        (
            1,
            0,
            &[(0, 7), (0, 8), (0, 10)],
            &[(1, Some((0, 7))), (2, Some((0, 8)))],
        ),
        // Indexes: another device is no neighbour.
        (
            0x20,
            3,
            &[(1, 7), (1, 8), (2, 9), (0, 10)],
            &[(2, Some((1, 7))), (1, Some((2, 9))), (1, Some((0, 10)))],
        ),
        // The device's upper bits do not count, and none without a table.
        (0x20, 3, &[(0xfff6, 7)], &[(1, Some((2, 7)))]),
        (0x20, 0, &[(3, 7), (0, 8)], &[(2, Some((0, 7)))]),
        // High address bits count if the format says so; so does a hole's.
        (
            0x20,
            0,
            &[(0, 0x5_0000_0007), (0, 0xff_ffff_ffff)],
            &[(1, Some((0, 7))), (1, None)],
        ),
        (
            0x60,
            0,
            &[(0, 0x5_0000_0007), (0, 0x5_ffff_ffff), (0, hole)],
            &[
                (1, Some((0, 0x5_0000_0007))),
                (1, Some((0, 0x5_ffff_ffff))),
                (1, None),
            ],
        ),
    ];

    for (format, devices, entries, extents) in cases {
        let sb = with_devices(devices, 0).ok();
        let chunk = 4096u64 << (format & 0x1f);
        let size = chunk * entries.len() as u64;
        let (inode, mut array) = chunked(&sb, format, size, 8192);

        for &(device, block) in entries {
            if format & 0x20 != 0 {
                array.extend(((block >> 32) as u16).to_le_bytes());
                array.extend(device.to_le_bytes());
            }
            array.extend((block as u32).to_le_bytes());
        }
        for step in [8, 16, usize::MAX] {
            let mut la = 0;

            for &(chunks, target) in extents {
                for probe in [la, la + 1, la + chunk - 1] {
                    assert_eq!(
                        look_up(&sb, &inode, probe, 8192, &array, step),
                        Extent {
                            la,
                            len: chunks * chunk,
                            target: match target {
                                None => Target::Hole,
                                Some((device, block)) => Target::Mapped {
                                    device,
                                    pa: block * 4096
                                },
                            }
                        },
                        "format {format:#x} at {probe}"
                    );
                }
                la += chunks * chunk;
            }
            assert_eq!(la, size);
        }
    }
}

#[test]
fn chunk_limits() {
    let sb = Super::new().ok();

    // Entries are aligned to their size, and an extent ends with the block of its entries.
    let record = put(compact(CHUNK, REG, 4096 * 2000), 16, &[0x20]);
    let record = put(record, 2, &1u16.to_le_bytes());
    let (inode, _) = Inode::parse(&sb, Nid(0), &record).unwrap();
    let Plan::Chunks(lookup) = map_blocks(&sb, &inode, 0).unwrap() else {
        panic!("not chunked");
    };
    assert_eq!((lookup.wanted().pos, lookup.wanted().len), (48, 4096 - 48));
    let array: Vec<u8> = (0..2000u32)
        .flat_map(|n| [[0; 4], (n + 5).to_le_bytes()].concat())
        .collect();
    let all = look_up(&sb, &inode, 0, 48, &array, usize::MAX);
    assert_eq!((all.la, all.len), (0, (4096 - 48) / 8 * 4096));
    let next = look_up(&sb, &inode, all.len, 48, &array, 64);
    assert_eq!((next.la, next.len), (all.len, 512 * 4096));

    // The last chunk ends with the file's last block.
    let (inode, _) = chunked(&sb, 4, 65_536 + 5000, 8192);
    let array = [[1, 0, 0, 0], [17, 0, 0, 0]].concat();
    let extent = look_up(&sb, &inode, 65_536, 8192, &array, 4);
    assert_eq!((extent.la, extent.len), (65_536, 8192));
    let extent = look_up(&sb, &inode, 0, 8192, &array, 4);
    assert_eq!((extent.la, extent.len), (0, 65_536 + 8192));

    // The largest chunks, the largest file, too few bytes.
    let (inode, _) = chunked(&sb, 0x1f, i64::MAX as u64, 8192);
    let Plan::Chunks(mut lookup) = map_blocks(&sb, &inode, i64::MAX as u64 - 1).unwrap() else {
        panic!("not chunked");
    };
    assert_eq!(lookup.wanted().pos, 8192 + ((1 << 20) - 1) * 4);
    assert_eq!(lookup.feed(&[0; 3]).unwrap_err(), Error::Short);
    let extent = lookup.feed(&[0; 4]).unwrap().unwrap();
    assert_eq!(extent.la + extent.len, 1 << 63);
    let (inode, _) = chunked(&sb, 0x20, i64::MAX as u64, 8192);
    let far = map_blocks(&sb, &inode, i64::MAX as u64 - 1).unwrap();
    assert!(matches!(far, Plan::Chunks(_)));
}
