// SPDX-License-Identifier: GPL-2.0-only

//! What an image needs to be decoded, and whether the kernel has it.

use crate::{
    super_block::fault,
    Erofs, //
};
use erofs_format::zmap::{
    config::{
        ConfigTable,
        Configs, //
    },
    Coding, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use vfs::{
    codec::{
        Algorithm,
        Contexts,
        Decoder, //
    },
    super_block::NewSuperBlock, //
};

/// The decoders of one mount, for the algorithms that its image names.
pub(super) struct Decoders {
    lz4: Option<Decoder>,
    lzma: Option<Decoder>,
    deflate: Option<Decoder>,
    zstd: Option<Decoder>,
}

impl Decoders {
    /// None for data that is as it is, or if the image does not name the algorithm.
    pub(super) fn get(&self, coding: Coding) -> Option<&Decoder> {
        match coding {
            Coding::Shifted | Coding::Interlaced => None,
            Coding::Lz4 | Coding::Lz4Unpadded => self.lz4.as_ref(),
            Coding::Lzma => self.lzma.as_ref(),
            Coding::Deflate => self.deflate.as_ref(),
            Coding::Zstd => self.zstd.as_ref(),
        }
    }
}

impl Decoders {
    /// Reads what the image says of its algorithms. `EINVAL` or `EOPNOTSUPP` if it cannot be
    /// decoded, with a line in the log that names what is missing. May sleep.
    pub(super) fn read(
        sb: &NewSuperBlock<'_, Erofs>,
        format: &erofs_format::SuperBlock,
        contexts: &Arc<Contexts>,
    ) -> Result<Self> {
        let configs = read_configs(sb, format)?;
        let new = |name, algorithm| {
            Decoder::new(contexts.clone(), algorithm).inspect_err(|e| {
                if *e == EOPNOTSUPP {
                    vfs::err!(sb, "algorithm {name} isn't enabled on this kernel");
                }
            })
        };
        let lz4 = configs.lz4.map(|_| new("lz4", Algorithm::Lz4));
        let lzma = configs.lzma.map(|c| {
            let dict = c.dict_size;
            new("lzma", Algorithm::Lzma { dict })
        });
        let deflate = configs.deflate.map(|_| new("deflate", Algorithm::Deflate));
        let zstd = configs.zstd.map(|c| {
            let window = 1 << c.window_bits;
            new("zstd", Algorithm::Zstd { window })
        });
        Ok(Self {
            lz4: lz4.transpose()?,
            lzma: lzma.transpose()?,
            deflate: deflate.transpose()?,
            zstd: zstd.transpose()?,
        })
    }
}

fn read_configs(
    sb: &NewSuperBlock<'_, Erofs>,
    format: &erofs_format::SuperBlock,
) -> Result<Configs> {
    let mut table = ConfigTable::new(format);
    let mut meta = sb.meta();
    while let Some(area) = table.wanted() {
        let mut buffer = [0; 32];
        let bytes = &mut buffer[..32.min(area.len as usize)];
        meta.read(area.pos, bytes)?;
        table.feed(bytes).map_err(|e| fault(sb, e))?;
    }
    Ok(table.configs())
}
