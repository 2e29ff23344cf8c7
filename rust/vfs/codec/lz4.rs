// SPDX-License-Identifier: GPL-2.0-only

//! LZ4 blocks.
//!
//! C headers: [`include/linux/lz4.h`](srctree/include/linux/lz4.h)

use super::{
    CodecError,
    Job, //
};
use crate::bindings;

pub(super) const AVAILABLE: bool = cfg!(CONFIG_LZ4_DECOMPRESS);

/// How far the end of `len` compressed bytes must be behind the end of the decoded ones, so that
/// none is written over before it is read. A byte of each 256 may be a length that adds no output.
pub(super) fn margin(len: usize) -> usize {
    (len >> 8) + 32
}

/// Decodes. Input and output may overlap where [`margin`] is kept.
pub(super) fn decode(job: &Job) -> Result<(), CodecError> {
    // In range, as both are below `MAX_LEN`.
    let (len, wanted) = (job.src_len as i32, job.dst_len as i32);
    let (src, dst) = (job.src.cast(), job.dst.cast());
    let done = match (AVAILABLE, job.partial) {
        (false, _) => return Err(CodecError::Unsupported),
        // SAFETY: by the invariants of `Job`. It checks each length that it reads against both ends.
        (true, false) => unsafe { bindings::LZ4_decompress_safe(src, dst, len, wanted) },
        // SAFETY: as above.
        (true, true) => unsafe {
            bindings::LZ4_decompress_safe_partial(src, dst, len, wanted, wanted)
        },
    };
    if done == wanted {
        Ok(())
    } else {
        Err(CodecError::Corrupt)
    }
}
