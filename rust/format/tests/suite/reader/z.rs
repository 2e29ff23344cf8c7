// SPDX-License-Identifier: GPL-2.0-only

//! Compressed files: all of their mapping, and as much of their data as is plain or LZ4.

use erofs_format::{
    meta::{
        Area,
        Source, //
    },
    zmap::{
        Cluster,
        Coding,
        Header,
        HeaderLookup,
        Lookup,
        Plan,
        Want,
        ZExtent,
        ZPlace,
        PCLUSTER_MAX_DSIZE,
        PCLUSTER_MAX_SIZE,
        RECORD_MAX, //
    },
    Error,
    Inode,
    Result, //
};

use super::Image;

/// A compressed file: what stays in memory while it is in use.
pub struct Opened<'a> {
    image: &'a Image,
    pub inode: Inode,
    pub header: Header,
    /// The checkpoints of 4-byte extent records.
    pub kept: Vec<u64>,
}

impl Image {
    /// Opens a compressed file that is not empty.
    pub fn zopen(&self, inode: &Inode) -> Result<Opened<'_>> {
        let mut lookup = HeaderLookup::new(&self.sb, inode)?;

        let header = loop {
            let area = self.checked(lookup.wanted());

            if let Some(header) = lookup.feed(&self.meta(area)?)? {
                break header;
            }
        };
        Ok(Opened {
            image: self,
            inode: *inode,
            header,
            kept: Vec::new(),
        })
    }

    fn checked(&self, area: Area) -> Area {
        assert!(area.len > 0 && area.len <= self.sb.block.rest(area.pos));
        assert!(area.pos + u64::from(area.len) <= 1 << 63);
        area
    }

    /// Reads a compressed file's bytes; zeros behind its end.
    pub(super) fn zread(&self, inode: &Inode, mut pos: u64, mut buf: &mut [u8]) -> Result<()> {
        let data = inode.size.saturating_sub(pos).min(buf.len() as u64) as usize;

        buf[data..].fill(0);
        buf = &mut buf[..data];
        if data == 0 {
            return Ok(());
        }
        let mut file = self.zopen(inode)?;
        while !buf.is_empty() {
            let extent = file.extent(pos, Want::Fiemap, RECORD_MAX)?;
            let skip = pos - extent.la;
            let n = (extent.len - skip).min(buf.len() as u64) as usize;
            let (part, rest) = buf.split_at_mut(n);

            file.read(&extent, skip, part)?;
            buf = rest;
            pos += n as u64;
        }
        Ok(())
    }
}

impl Opened<'_> {
    /// The extent that `la` is in, with at most `step` bytes of records read at a time.
    pub fn extent(&mut self, la: u64, want: Want, step: u32) -> Result<ZExtent> {
        let (image, sb) = (self.image, &self.image.sb);

        let extent = match Lookup::new(sb, &self.inode, &self.header, la, want)? {
            Plan::Extent(extent) => extent,
            Plan::Lookup(mut lookup) => {
                lookup.resume(&self.kept)?;

                loop {
                    let mut area = image.checked(lookup.wanted());

                    area.len = area.len.min(step);
                    let extent = lookup.feed(&image.meta(area)?)?;
                    if let Some(checkpoint) = lookup.checkpoint() {
                        assert!(self.header.is_summed());
                        match self.kept.get(checkpoint.index as usize) {
                            Some(&kept) => assert_eq!(kept, checkpoint.pa),
                            None => {
                                assert_eq!(self.kept.len() as u64, checkpoint.index);
                                self.kept.push(checkpoint.pa);
                            }
                        }
                    }
                    if let Some(extent) = extent {
                        break extent;
                    }
                }
            }
        };

        assert!(extent.la <= la && la - extent.la < extent.len);
        if want == Want::Fiemap {
            assert!(extent.full);
        }
        if let ZPlace::Mapped(cluster) = extent.place {
            assert!((1..=PCLUSTER_MAX_SIZE).contains(&cluster.len));
            assert!(extent.len <= PCLUSTER_MAX_DSIZE);
            assert!(((cluster.pa + u64::from(cluster.len)) >> sb.block.bits()) < 1 << 48);
            match cluster.algorithm.algorithm() {
                Some(number) => assert!((sb.algorithms >> number) & 1 != 0),
                None => assert!(extent.len <= u64::from(cluster.len)),
            }
            if let Some(source) = cluster.inline {
                assert_eq!(source, self.inode.source());
                assert!(cluster.len <= sb.block.rest(cluster.pa));
            }
        }
        Ok(extent)
    }

    /// The extents of the whole file, each in full, as far as there is no error. Those of a broken
    /// file can overlap.
    pub fn extents(&mut self) -> (Vec<ZExtent>, Result<()>) {
        let mut extents = Vec::new();
        let mut pos = 0;

        while pos < self.inode.size {
            match self.extent(pos, Want::Fiemap, u32::MAX) {
                Ok(extent) => {
                    pos = extent.la + extent.len;
                    extents.push(extent);
                }
                Err(e) => return (extents, Err(e)),
            }
        }
        (extents, Ok(()))
    }

    /// Reads an extent's bytes from `skip` on.
    ///
    /// # Errors
    ///
    /// `Compressed` if only the kernel has the decompressor.
    pub fn read(&self, extent: &ZExtent, skip: u64, buf: &mut [u8]) -> Result<()> {
        match extent.place {
            ZPlace::Hole => buf.fill(0),
            ZPlace::Fragment { pos } => {
                let area = Area {
                    source: Source::Packed,
                    pos: pos.saturating_add(skip),
                    len: buf.len() as u32,
                };

                self.image.spend()?;
                // The packed inode has no fragments: its file would have to be read for its own.
                if self.image.sb.packed_nid == Some(self.inode.nid) {
                    return Err(Error::NoMetabox);
                }
                buf.copy_from_slice(&self.image.meta(area)?);
            }
            ZPlace::Mapped(cluster) => {
                let skip = skip as usize;
                let data = self.decode(extent.la, &cluster, skip + buf.len())?;

                buf.copy_from_slice(&data[skip..]);
            }
        }
        Ok(())
    }

    /// The first `len` bytes of a pcluster whose extent begins at `la`.
    fn decode(&self, la: u64, cluster: &Cluster, len: usize) -> Result<Vec<u8>> {
        let block = self.image.sb.block;
        let mut data = vec![0; cluster.len as usize];

        match cluster.inline {
            Some(source) => {
                data = self.image.meta(Area {
                    source,
                    pos: cluster.pa,
                    len: cluster.len,
                })?;
            }
            None => self.image.read_device(0, cluster.pa, &mut data)?,
        }
        match cluster.algorithm {
            Coding::Shifted => {}
            Coding::Interlaced => {
                // What belongs to the first block stands at the end.
                let head = (block.rest(la) as usize).min(data.len());

                data.rotate_right(head);
            }
            // What is behind the stream is not looked at in either form.
            Coding::Lz4 | Coding::Lz4Unpadded => {
                let padding = block.rest(cluster.pa) as usize;
                let begin = data.iter().take(padding).take_while(|&&b| b == 0).count();

                data = lz4(&data[begin..], len).ok_or(Error::Short)?;
            }
            Coding::Lzma | Coding::Deflate | Coding::Zstd => return Err(Error::Compressed),
        }
        data.truncate(len);
        Ok(data)
    }
}

/// Decodes the first `len` bytes of an LZ4 block.
fn lz4(src: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut src = src.iter().copied();
    let mut out = Vec::new();

    fn length(src: &mut impl Iterator<Item = u8>, nibble: u8) -> Option<usize> {
        let mut length = usize::from(nibble);
        let mut more = nibble == 15;

        while more {
            let byte = src.next()?;

            length += usize::from(byte);
            more = byte == 255;
        }
        Some(length)
    }

    while out.len() < len {
        let token = src.next()?;
        let literals = length(&mut src, token >> 4)?;

        out.extend(src.by_ref().take(literals));
        if out.len() >= len {
            break;
        }
        let distance = usize::from(u16::from_le_bytes([src.next()?, src.next()?]));
        let from = out.len().checked_sub(distance).filter(|_| distance > 0)?;
        let matched = length(&mut src, token & 15)? + 4;

        for i in from..from + matched.min(len - out.len()) {
            out.push(out[i]);
        }
    }
    out.truncate(len);
    Some(out)
}
