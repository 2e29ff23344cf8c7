// SPDX-License-Identifier: GPL-2.0-only

//! Superblocks: from the device to a mount, and back.

use crate::{
    inode::InodeInfo,
    options::{
        self,
        Effective,
        Options, //
    },
    sysfs,
    xattr::Prefixes,
    z,
    Erofs, //
};
use erofs_format::{
    device::{
        self,
        Device,
        Devices,
        Place,
        Slot, //
    },
    inode::FileType,
    meta::{
        Area,
        Source, //
    },
    super_block::{
        incompat,
        MAGIC,
        SUPER_OFFSET, //
    },
    xattr::LongPrefix,
    Nid, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    seq_file::SeqFile,
    str::CString,
    sync::{
        Arc,
        SetOnce, //
    }, //
};
use vfs::{
    fs_context::{
        FsContext,
        Parameter,
        Spec, //
    },
    inode::{
        Inode,
        InodeRef, //
    },
    log::Named,
    meta::MetaReader,
    registrar::Registrar,
    registration::Backing,
    super_block::{
        NewSuperBlock,
        RemountFlags,
        StatFs,
        SuperBlock, //
    },
    sysfs::{
        Attribute,
        Feature,
        Files, //
    },
    xattr::{
        List,
        Namespace,
        Sink, //
    },
    FileSystem, //
};

/// Slots of the inodes that a superblock keeps for itself.
const PACKED: usize = 0;
const METABOX: usize = 1;

/// Length of a name in a directory, in bytes.
const NAME_LEN: u32 = 255;

/// What stays in memory of a superblock.
pub(crate) struct SbInfo {
    pub(crate) format: erofs_format::SuperBlock,
    pub(crate) options: Effective,
    pub(crate) tunables: sysfs::Tunables,
    devices: Devices,
    table: KVec<Device>,
    /// Blocks of all devices.
    blocks: u64,
    /// If there can be compressed files.
    compressed: Option<z::Mounted>,
    /// Set when the root inode is there, before anyone else sees the superblock.
    prefixes: SetOnce<Prefixes>,
}

impl SbInfo {
    /// The device (for [`SuperBlock::device`]) and position of byte `pa`, which an extent puts on
    /// device `id`.
    pub(crate) fn map_dev(&self, id: u16, pa: u64) -> erofs_format::Result<(usize, u64)> {
        let block = self.format.block;
        let Place { device, pos } = device::map_dev(block, self.devices, &self.table, id, pa)?;
        Ok((device.map_or(0, |d| usize::from(d) + 1), pos))
    }

    /// What compressed files have in common, if there can be any.
    pub(crate) fn compressed(&self) -> Option<&Arc<z::Shared>> {
        Some(&self.compressed.as_ref()?.shared)
    }

    /// The long prefix `number` of xattr names.
    pub(crate) fn prefix(&self, number: u8) -> Option<LongPrefix<'_>> {
        self.prefixes.as_ref()?.get(number)
    }
}

/// Logs what is wrong with the image, and gives the errno for it.
pub(crate) fn fault(sb: &impl Named, error: erofs_format::Error) -> Error {
    vfs::err!(sb, "{error}");
    vfs::error::from_positive(error.errno())
}

/// As [`fault`], for an inode.
pub(crate) fn fault_at(sb: &SuperBlock<Erofs>, nid: Nid, error: erofs_format::Error) -> Error {
    vfs::err!(sb, "{error} @ nid {}", nid.0);
    vfs::error::from_positive(error.errno())
}

/// Reads from `source`. `EUCLEAN` where the image has no such inode.
pub(crate) fn meta(sb: &SuperBlock<Erofs>, source: Source) -> Result<MetaReader<'_>> {
    let slot = match source {
        Source::Device => return Ok(sb.meta()),
        Source::Metabox => METABOX,
        Source::Packed => PACKED,
    };
    Ok(sb.internal(slot).ok_or(EUCLEAN)?.content())
}

/// Fills `buf` from the beginning of `area`.
pub(crate) fn read_area(sb: &SuperBlock<Erofs>, area: Area, buf: &mut [u8]) -> Result {
    meta(sb, area.source)?.read(area.pos, buf)
}

fn read_super_block(sb: &NewSuperBlock<'_, Erofs>) -> Result<erofs_format::SuperBlock> {
    let page = sb
        .meta()
        .read_vec(SUPER_OFFSET.into(), PAGE_SIZE - SUPER_OFFSET as usize)
        .inspect_err(|_| vfs::err!(sb, "cannot read erofs superblock"))?;
    erofs_format::SuperBlock::parse(&page, PAGE_SHIFT as u8, vfs::hash::crc32c)
        .map_err(|e| fault(sb, e))
}

/// Reads the device table and opens the devices, unless all are on the primary one.
fn open_devices(
    sb: &mut NewSuperBlock<'_, Erofs>,
    format: &erofs_format::SuperBlock,
    paths: &[CString],
) -> Result<(Devices, KVec<Device>)> {
    let given = u32::try_from(paths.len())?;
    let devices = format.devices(given).map_err(|e| fault(sb, e))?;
    let mut table = KVec::with_capacity(format.extra_devices.into(), GFP_KERNEL)?;
    for index in 0..format.extra_devices {
        let area = format.device_slot(index);
        let mut raw = [0; 128];
        sb.meta().read(area.pos, &mut raw)?;
        let slot = Slot::parse(format, &raw).map_err(|e| fault(sb, e))?;
        if devices == Devices::Separate {
            sb.open_device(paths.get(usize::from(index)).ok_or(EINVAL)?)?;
        }
        table.push(slot.device, GFP_KERNEL)?;
    }
    Ok((devices, table))
}

impl FileSystem for Erofs {
    const NAME: &'static CStr = c"erofs_rs";
    const MAGIC: u32 = MAGIC;
    const BACKING: Backing = Backing::BlockDeviceOrFile;
    const ALLOW_IDMAP: bool = true;
    const PARAMETERS: &'static [Spec] = options::PARAMETERS;
    const FEATURES: Files<Feature> = sysfs::FEATURES;
    const ATTRIBUTES: Files<Attribute<Self>> = sysfs::ATTRIBUTES;
    const XATTRS: bool = true;

    type Context = Options;
    type SbData = SbInfo;
    type InodeData = InodeInfo;
    type Global = z::Global;

    fn new_global(registrar: &mut Registrar) -> Result<z::Global> {
        z::Global::new(registrar)
    }

    fn new_context() -> Result<Options> {
        Ok(Options::new())
    }

    fn parse_param(options: &mut Options, fc: &FsContext<Self>, param: Parameter<'_>) -> Result {
        options.parse(fc, param)
    }

    fn fill_super(
        sb: &mut NewSuperBlock<'_, Self>,
        options: Options,
        fc: &FsContext<Self>,
    ) -> Result<SbInfo> {
        sb.set_block_size(PAGE_SIZE as u32)
            .inspect_err(|_| fc.error(fmt!("failed to set initial blksize")))?;
        let format = read_super_block(sb)?;
        sb.set_uuid(&format.uuid);
        let compressed = match format.is_compressed() {
            true => Some(z::Mounted::new(sb, &format)?),
            false => None,
        };
        let (devices, table) = open_devices(sb, &format, &options.devices)?;
        if format.features.has(incompat::BIT48) {
            vfs::info!(
                sb,
                "EXPERIMENTAL 48-bit layout support in use. Use at your own risk!"
            );
        }
        if format.features.has(incompat::METABOX) {
            vfs::info!(
                sb,
                "EXPERIMENTAL metadata compression support in use. Use at your own risk!"
            );
        }
        sb.set_block_size(format.block.size())
            .inspect_err(|_| fc.error(fmt!("failed to set erofs blksize")))?;
        sb.set_posix_acl(options.acl);
        let blocks = table
            .iter()
            .fold(format.blocks, |sum, d| sum.saturating_add(d.blocks));
        Ok(SbInfo {
            format,
            options: Effective::new(&options),
            tunables: sysfs::Tunables::new(),
            devices,
            table,
            blocks,
            compressed,
            prefixes: SetOnce::new(),
        })
    }

    fn root<'a>(sb: &'a SuperBlock<Self>, _fc: &FsContext<Self>) -> Result<InodeRef<'a, Self>> {
        let format = &sb.data().format;
        if let Some(nid) = format.packed_nid {
            sb.set_internal(PACKED, Self::iget(sb, nid.0)?)?;
        }
        if let Some(nid) = format.metabox_nid {
            sb.set_internal(METABOX, Self::iget(sb, nid.0)?)?;
        }
        let nid = format.root_nid;
        let root = Self::iget(sb, nid.0)?;
        if FileType::from_mode(root.mode()) != Some(FileType::Directory) {
            vfs::err!(
                sb,
                "rootino(nid {}) is not a directory(i_mode {:o})",
                nid.0,
                root.mode()
            );
            return Err(EINVAL);
        }
        Ok(root)
    }

    fn mounted(sb: &SuperBlock<Self>) -> Result {
        sb.data().prefixes.populate(Prefixes::read(sb)?);
        let nid = sb.data().format.root_nid;
        vfs::info!(sb, "mounted with root inode @ nid {}.", nid.0);
        Ok(())
    }

    fn reconfigure(
        sb: &SuperBlock<Self>,
        options: Options,
        _fc: &FsContext<Self>,
    ) -> Result<RemountFlags> {
        sb.data().options.change(&options);
        Ok(RemountFlags {
            posix_acl: options.acl,
        })
    }

    fn statfs(sb: &SuperBlock<Self>) -> StatFs {
        let info = sb.data();
        StatFs {
            blocks: info.blocks,
            files: u64::MAX,
            files_free: u64::MAX - info.format.inos,
            name_len: NAME_LEN,
        }
    }

    fn show_options(sb: &SuperBlock<Self>, seq: &SeqFile) {
        let info = sb.data();
        info.options.show(seq, info.compressed.is_some());
    }

    fn label(sb: &SuperBlock<Self>) -> &[u8] {
        sb.data().format.label()
    }

    fn iget(sb: &SuperBlock<Self>, nid: u64) -> Result<InodeRef<'_, Self>> {
        crate::inode::iget(sb, Nid(nid))
    }

    fn user_xattrs(sb: &SuperBlock<Self>) -> bool {
        sb.data().options.user_xattr()
    }

    fn getxattr(
        inode: &Inode<Self>,
        namespace: Namespace,
        name: &[u8],
        value: &mut Sink<'_>,
    ) -> Result {
        crate::xattr::get(inode, namespace, name, value)
    }

    fn listxattr(inode: &Inode<Self>, list: &mut List<'_, Self>) -> Result {
        crate::xattr::list(inode, list)
    }

    fn parent(child: &Inode<Self>) -> Result<u64> {
        crate::dir::find(child, b"..")?
            .map(|nid| nid.0)
            .ok_or(ENOENT)
    }
}
