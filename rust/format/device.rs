// SPDX-License-Identifier: GPL-2.0-only

//! The device table: an image can keep data on further devices.
//!
//! A device is found by its number in an extent, or by the range of "unified" addresses that it
//! takes in the image. Without `device=` options the further devices are taken to stand on the
//! primary one at these addresses (a "flat" device).
//!
//! C: `erofs_scan_devices()`, `erofs_init_device()`, `erofs_map_dev()`.

use zerocopy::little_endian::{
    U16,
    U32, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout,
    Unaligned, //
};

use crate::{
    meta::{
        record,
        Area,
        BlockBits,
        Source, //
    },
    super_block::{
        incompat,
        wide, //
    },
    Error,
    Result,
    SuperBlock, //
};

/// The length of a device's path in the table, in bytes.
pub const TAG_LEN: usize = 64;

const SLOT_SIZE: u32 = 128;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawDeviceSlot {
    tag: [u8; TAG_LEN],

    blocks_lo: U32,
    uniaddr_lo: U32,
    blocks_hi: U16,
    uniaddr_hi: U16,
    reserved: [u8; 52],
}

const _: () = assert!(size_of::<RawDeviceSlot>() == SLOT_SIZE as usize);

/// Where the further devices of an image are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Devices {
    /// There are none.
    None,
    /// On the primary device, at their unified addresses.
    Flat,
    /// Each on a device of its own.
    Separate,
}

/// The size and unified address of a device, which stay in memory while the image is mounted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Device {
    /// Its blocks.
    pub blocks: u64,
    /// The unified address of its first block; 0 if it has none.
    pub uniaddr: u64,
}

/// A slot of the device table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Size and unified address.
    pub device: Device,
    tag: [u8; TAG_LEN],
}

impl Slot {
    /// Parses slot number `index`, read from [`SuperBlock::device_slot()`].
    ///
    /// # Errors
    ///
    /// `EIO` if `bytes` are fewer than the slot has.
    pub fn parse(sb: &SuperBlock, bytes: &[u8]) -> Result<Self> {
        let raw: &RawDeviceSlot = record(bytes)?;
        let hi = |field: U16| match sb.features.has(incompat::BIT48) {
            true => field.get(),
            false => 0,
        };

        Ok(Self {
            device: Device {
                blocks: wide(raw.blocks_lo, hi(raw.blocks_hi)),
                uniaddr: wide(raw.uniaddr_lo, hi(raw.uniaddr_hi)),
            },
            tag: raw.tag,
        })
    }

    /// The path of the device, for a mount that gives none.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is empty.
    pub fn path(&self) -> Result<&[u8]> {
        match self.tag.split(|&c| c == 0).next() {
            Some(path) if !path.is_empty() => Ok(path),
            _ => Err(Error::DeviceTag),
        }
    }
}

/// A position on a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The number of a further device from 0, or `None` for the primary device.
    pub device: Option<u16>,
    /// The position on it, in bytes.
    pub pos: u64,
}

impl SuperBlock {
    /// How the image's further devices are to be found when `given` were given by `device=`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if some were given, and not as many as the image has.
    pub fn devices(&self, given: u32) -> Result<Devices> {
        let on_disk = self.extra_devices;

        match given {
            0 if on_disk == 0 => Ok(Devices::None),
            0 => Ok(Devices::Flat),
            _ if given == u32::from(on_disk) => Ok(Devices::Separate),
            _ => Err(Error::DeviceCount { on_disk, given }),
        }
    }

    /// Where slot number `index` of the device table is.
    pub fn device_slot(&self, index: u16) -> Area {
        Area {
            source: Source::Device,
            pos: u64::from(self.devt_slotoff)
                .saturating_add(u64::from(index))
                .saturating_mul(u64::from(SLOT_SIZE)),
            len: SLOT_SIZE,
        }
    }

    /// The bits of a chunk's device number that count: as many as the table's size needs.
    pub(crate) fn device_id_mask(&self) -> u16 {
        match self.extra_devices {
            0 => 0,
            n => u16::MAX.wrapping_shr(n.leading_zeros()),
        }
    }
}

/// The device and position of byte `pa`, which an extent puts on device `id`: 0 is the primary
/// device, whose addresses can belong to a separate device.
///
/// `table` has the devices of the image's table, in order.
///
/// # Errors
///
/// `ENODEV` if there is no such device.
pub fn map_dev(
    block: BlockBits,
    devices: Devices,
    table: &[Device],
    id: u16,
    pa: u64,
) -> Result<Place> {
    let primary = |pos| Place { device: None, pos };

    if let Some(index) = id.checked_sub(1) {
        let device = table.get(usize::from(index)).ok_or(Error::NoDevice(id))?;

        return Ok(match devices {
            Devices::Flat => primary(pa.saturating_add(block.pos(device.uniaddr))),
            _ => Place {
                device: Some(index),
                pos: pa,
            },
        });
    }
    if devices == Devices::Separate {
        for (index, device) in (0..u16::MAX).zip(table).filter(|(_, d)| d.uniaddr != 0) {
            match pa.checked_sub(block.pos(device.uniaddr)) {
                Some(pos) if pos < block.pos(device.blocks) => {
                    return Ok(Place {
                        device: Some(index),
                        pos,
                    });
                }
                _ => {}
            }
        }
    }
    Ok(primary(pa))
}
