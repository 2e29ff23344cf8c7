// SPDX-License-Identifier: GPL-2.0-only

//! Files whose bytes lie somewhere on a device: reads, direct I/O, holes, extents by iomap.
//!
//! The filesystem tells where a range is ([`Operations::map`]), one extent a step. Inline data is
//! mapped for one step, and copied from by iomap: the filesystem never sees it.
//!
//! C headers: [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

use crate::{
    bdev::BlockDevice,
    bindings::{
        self,
        helpers, //
    },
    inode::{
        self,
        Inode, //
    },
    meta::{
        MappedMeta,
        MetaReader, //
    },
    readahead::Readahead, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    error::from_result,
    page::PAGE_SIZE,
    prelude::*, //
};

/// No address: `-1ULL` in C, which bindgen mistypes.
const IOMAP_NULL_ADDR: u64 = u64::MAX;

/// Where a range of a file lies.
pub struct Mapping<'a> {
    /// First byte of the range in the file; at or before the byte asked for.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// The place.
    pub place: Place<'a>,
}

/// The place of a range.
pub enum Place<'a> {
    /// Nowhere: zeroes.
    Hole,
    /// From byte `addr` of a device on.
    Device {
        /// The device; none where a file is mounted: extents are told of, but reading is an error.
        device: Option<BlockDevice<'a>>,
        /// Byte address.
        addr: u64,
    },
    /// In another file, where it has no address of its own to tell of. It cannot be read by iomap.
    Elsewhere,
    /// Among the metadata. The range ends with the file, and crosses no page there nor in the file.
    Inline {
        /// Where the metadata is read from.
        meta: MetaReader<'a>,
        /// Byte position there.
        pos: u64,
        /// The device and its byte address to tell of; none if it has no address.
        device: Option<(Option<BlockDevice<'a>>, u64)>,
    },
}

impl Mapping<'_> {
    /// Whether byte `pos` is in the range, and the range in one page where its data is inline.
    fn holds(&self, pos: u64) -> bool {
        let end = match self.place {
            Place::Inline { .. } => (self.offset | (PAGE_SIZE as u64 - 1)).saturating_add(1),
            _ => u64::MAX,
        };
        self.offset <= pos && pos - self.offset < self.length && self.length <= end - self.offset
    }
}

/// A way to map files.
pub trait Operations: 'static {
    /// The filesystem whose inodes it maps.
    type FileSystem: crate::FileSystem;

    /// Maps the bytes of `inode` from `pos` on, `len` of which are wanted; more or less may be
    /// mapped, but at least byte `pos`. Past the end of the file there is a hole. May sleep.
    fn map(inode: &Inode<Self::FileSystem>, pos: u64, len: u64) -> Result<Mapping<'_>>;

    /// Called before a folio is filled, for tracing; `range` gives its bytes in the file.
    #[inline(always)]
    fn on_read_folio(_inode: &Inode<Self::FileSystem>, _range: impl FnOnce() -> Range<u64>) {}

    /// As [`Self::on_read_folio`], for folios that are filled ahead.
    #[inline(always)]
    fn on_readahead(_inode: &Inode<Self::FileSystem>, _range: impl FnOnce() -> Range<u64>) {}
}

/// What a walk that reads keeps between two steps (`iomap_iter.private`). Walks that only look for
/// extents have none, and inline data is not mapped for them.
#[derive(Default)]
struct Walk {
    inline: Option<MappedMeta>,
}

pub(crate) struct Tables<M>(PhantomData<M>);

impl<M: Operations> Tables<M> {
    const OPS: &'static bindings::iomap_ops = &bindings::iomap_ops {
        iomap_next: Some(next::<M>),
        ..pin_init::zeroed()
    };

    pub(crate) const MAPPING: &'static bindings::address_space_operations =
        &bindings::address_space_operations {
            read_folio: Some(read_folio::<M>),
            readahead: Some(readahead::<M>),
            bmap: Some(bmap::<M>),
            direct_IO: Some(bindings::noop_direct_IO),
            release_folio: Some(bindings::iomap_release_folio),
            invalidate_folio: Some(bindings::iomap_invalidate_folio),
            ..pin_init::zeroed()
        };
}

/// An inode that is not a directory and is mapped by `M`.
pub(crate) struct MappedInode<O, M>(PhantomData<(O, M)>);

impl<O, M> MappedInode<O, M>
where
    O: inode::Operations,
    M: Operations<FileSystem = O::FileSystem>,
{
    pub(crate) const INODE: &'static bindings::inode_operations = &bindings::inode_operations {
        fiemap: Some(fiemap::<M>),
        ..inode::common_operations::<O>()
    };
}

/// # Safety
///
/// Only to be called by iomap, in a walk over an inode of `M::FileSystem`.
unsafe extern "C" fn next<M: Operations>(
    iter: *const bindings::iomap_iter,
    iomap: *mut bindings::iomap,
    srcmap: *mut bindings::iomap,
) -> c_int {
    // SAFETY: iomap calls this with the parts of a walk over an inode that `M` maps, which `begin` and
    // `end` are called with.
    unsafe { helpers::iomap_iter_next(iter, iomap, srcmap, Some(begin::<M>), Some(end)) }
}

/// The walk that `iomap` belongs to.
///
/// # Safety
///
/// `iomap` is the `iomap` of an `iomap_iter` that one of this module's functions began.
unsafe fn walk<'a>(iomap: *mut bindings::iomap) -> Option<&'a mut Walk> {
    // SAFETY: The caller has the `iomap` of a walk that a function of this module began. Its `private`
    // is null or the `Walk` on the stack of that function, which nobody else uses while a step is
    // taken.
    unsafe {
        let iter = kernel::container_of!(iomap, bindings::iomap_iter, iomap);
        (*iter).private.cast::<Walk>().as_mut()
    }
}

/// # Safety
///
/// Only to be called by [`next`].
unsafe extern "C" fn begin<M: Operations>(
    inode: *mut bindings::inode,
    pos: bindings::loff_t,
    len: bindings::loff_t,
    _flags: u32,
    iomap: *mut bindings::iomap,
    _srcmap: *mut bindings::iomap,
) -> c_int {
    from_result(|| {
        // SAFETY: iomap calls this with an inode that `M` maps, and with an `iomap` to fill in, which is
        // this call's.
        let (inode, to) = unsafe { (Inode::from_raw(inode), &mut *iomap) };
        let mapping = M::map(inode, pos as u64, len as u64)?;
        // iomap takes these as given, and copies inline data by them.
        if !mapping.holds(pos as u64) {
            return Err(EIO);
        }
        to.offset = mapping.offset as i64;
        to.length = mapping.length;
        to.flags = 0;
        to.addr = IOMAP_NULL_ADDR;
        match mapping.place {
            Place::Hole => to.type_ = bindings::IOMAP_HOLE as u16,
            Place::Device { device, addr } => {
                to.type_ = bindings::IOMAP_MAPPED as u16;
                to.bdev = match device {
                    Some(device) => device.as_ptr(),
                    // SAFETY: this is a step of a walk.
                    None if unsafe { walk(iomap) }.is_some() => return Err(EIO),
                    None => core::ptr::null_mut(),
                };
                to.addr = addr;
            }
            // SAFETY: this is a step of a walk.
            Place::Elsewhere if unsafe { walk(iomap) }.is_some() => return Err(EIO),
            Place::Elsewhere => to.type_ = bindings::IOMAP_MAPPED as u16,
            Place::Inline { meta, pos, device } => {
                to.type_ = bindings::IOMAP_INLINE as u16;
                if let Some((device, addr)) = device {
                    to.bdev = device.map_or(core::ptr::null_mut(), BlockDevice::as_ptr);
                    to.addr = addr;
                }
                // SAFETY: this is a step of a walk.
                if let Some(walk) = unsafe { walk(iomap) } {
                    let inline = meta.map(pos, mapping.length)?;
                    to.inline_data = inline.address(pos);
                    walk.inline = Some(inline);
                }
            }
        }
        Ok(0)
    })
}

/// # Safety
///
/// Only to be called by [`next`].
unsafe extern "C" fn end(
    _inode: *mut bindings::inode,
    _pos: bindings::loff_t,
    _length: bindings::loff_t,
    written: isize,
    _flags: u32,
    iomap: *mut bindings::iomap,
) -> c_int {
    // SAFETY: this is a step of a walk.
    if let Some(walk) = unsafe { walk(iomap) } {
        walk.inline = None;
    }
    written as c_int
}

/// # Safety
///
/// Only to be called by the page cache, with a locked folio of an inode mapped by `M`.
unsafe extern "C" fn read_folio<M: Operations>(
    _file: *mut bindings::file,
    folio: *mut bindings::folio,
) -> c_int {
    let mut walk = Walk::default();
    let mut ctx = bindings::iomap_read_folio_ctx {
        // SAFETY: only its address is taken.
        ops: &raw const bindings::iomap_bio_read_ops,
        cur_folio: folio,
        ..pin_init::zeroed()
    };
    // SAFETY: the folio is locked, so it stays in the page cache of its inode.
    unsafe {
        M::on_read_folio(
            Inode::from_raw((*(*folio).__bindgen_anon_1.__bindgen_anon_1.mapping).host),
            || {
                let pos = helpers::folio_pos(folio) as u64;
                pos..pos + helpers::folio_size(folio) as u64
            },
        );
    }
    // SAFETY: the folio is locked, and iomap ends it once; the contexts live until it returns.
    unsafe {
        bindings::iomap_read_folio(Tables::<M>::OPS, &mut ctx, (&raw mut walk).cast());
    }
    0
}

/// # Safety
///
/// Only to be called by the page cache, for an inode mapped by `M`.
unsafe extern "C" fn readahead<M: Operations>(rac: *mut bindings::readahead_control) {
    let mut walk = Walk::default();
    let mut ctx = bindings::iomap_read_folio_ctx {
        // SAFETY: only its address is taken.
        ops: &raw const bindings::iomap_bio_read_ops,
        rac,
        ..pin_init::zeroed()
    };
    // SAFETY: The page cache calls this with a control block of an inode that `M` maps, to which the
    // caller has a reference.
    unsafe {
        let inode = Inode::from_raw((*(*rac).mapping).host);
        M::on_readahead(inode, || Readahead::from_raw(rac).range());
    }
    // SAFETY: The folios of the control block are locked, and iomap ends each once; the contexts live
    // until it returns.
    unsafe {
        bindings::iomap_readahead(Tables::<M>::OPS, &mut ctx, (&raw mut walk).cast());
    }
}

/// # Safety
///
/// Only to be called by the VFS, for an inode mapped by `M`.
unsafe extern "C" fn bmap<M: Operations>(
    mapping: *mut bindings::address_space,
    block: bindings::sector_t,
) -> bindings::sector_t {
    // SAFETY: The VFS calls this with the mapping of an inode that `M` maps.
    unsafe { bindings::iomap_bmap(mapping, block, Tables::<M>::OPS) }
}

/// # Safety
///
/// Only to be called by the VFS, for an inode mapped by `M`.
pub(crate) unsafe extern "C" fn fiemap<M: Operations>(
    inode: *mut bindings::inode,
    info: *mut kernel::bindings::fiemap_extent_info,
    start: u64,
    len: u64,
) -> c_int {
    // SAFETY: The VFS calls this with an inode that `M` maps, and with what it is to fill in.
    unsafe { bindings::iomap_fiemap(inode, info.cast(), start, len, Tables::<M>::OPS) }
}

/// Reads past the page cache.
///
/// # Safety
///
/// `iocb` reads a file on a block device that is mapped by `M`, into `to`.
pub(crate) unsafe fn dio_rw<M: Operations>(
    iocb: *mut bindings::kiocb,
    to: *mut bindings::iov_iter,
) -> isize {
    let mut walk = Walk::default();
    let private = (&raw mut walk).cast();
    // SAFETY: The caller reads a file on a block device that `M` maps. iomap submits everything before
    // it returns, so that the walk is not used after.
    unsafe { bindings::iomap_dio_rw(iocb, to, Tables::<M>::OPS, core::ptr::null(), 0, private, 0) }
}

/// # Safety
///
/// Only to be called by the VFS, with an open file mapped by `M`.
pub(crate) unsafe extern "C" fn llseek<M: Operations>(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    let ops = Tables::<M>::OPS;
    // SAFETY: The VFS calls this with an open file that `M` maps.
    unsafe {
        let inode = (*(*file).f_mapping).host;
        let to = match whence as u32 {
            bindings::SEEK_HOLE => bindings::iomap_seek_hole(inode, offset, ops),
            bindings::SEEK_DATA => bindings::iomap_seek_data(inode, offset, ops),
            _ => return bindings::generic_file_llseek(file, offset, whence),
        };
        if to < 0 {
            return to;
        }
        bindings::vfs_setpos(file, to, (*(*inode).i_sb).s_maxbytes)
    }
}
