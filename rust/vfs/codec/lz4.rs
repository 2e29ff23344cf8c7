// SPDX-License-Identifier: GPL-2.0-only

//! LZ4 blocks.
//!
//! C headers: [`include/linux/lz4.h`](srctree/include/linux/lz4.h)

use super::{
    CodecError,
    Job, //
};
use crate::bindings::{
    self,
    helpers, //
};

pub(super) const AVAILABLE: bool = cfg!(CONFIG_LZ4_DECOMPRESS);

/// How far the end of `len` compressed bytes must be behind the end of the decoded ones, so that
/// none is written over before it is read. A byte of each 256 may be a length that adds no output.
pub(super) fn margin(len: usize) -> usize {
    (len >> 8) + 32
}

/// Decodes. Input and output may overlap where [`margin`] is kept, if all of the block is wanted.
pub(super) fn decode(job: &Job) -> Result<(), CodecError> {
    // In range, as both are below `MAX_LEN`.
    let (len, wanted) = (job.src_len as i32, job.dst_len as i32);
    let (src, dst) = (job.src.cast(), job.dst.cast());
    if !AVAILABLE {
        return Err(CodecError::Unsupported);
    }
    // SAFETY: The input is readable and the output writable for the lengths that a `Job` says; they
    // may overlap where that is decoded in place. The decoder checks each length that it reads against both
    // ends. The one for beginnings takes a match at distance 0 and so leaves what was in memory
    // before, which must not be somebody else's data.
    let done = unsafe {
        if job.partial {
            if !(job.clean && helpers::want_init_on_alloc()) {
                job.dst.write_bytes(0, job.dst_len);
            }
            bindings::LZ4_decompress_safe_partial(src, dst, len, wanted, wanted)
        } else {
            bindings::LZ4_decompress_safe(src, dst, len, wanted)
        }
    };
    if done == wanted {
        Ok(())
    } else {
        Err(CodecError::Corrupt)
    }
}
