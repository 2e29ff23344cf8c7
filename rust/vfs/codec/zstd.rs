// SPDX-License-Identifier: GPL-2.0-only

//! Zstandard.
//!
//! A frame that is wanted as a whole is decoded in one step, with its output as the window. Where
//! only its beginning is wanted there is no way around a window of its own.
//!
//! C headers: [`include/linux/zstd.h`](srctree/include/linux/zstd.h)

use super::{
    context::{
        self,
        Workspace, //
    },
    CodecError,
    Job, //
};
use crate::{
    bindings,
    page::Alloc, //
};
use kernel::prelude::*;

pub(super) const AVAILABLE: bool = cfg!(CONFIG_ZSTD_DECOMPRESS);

/// A decoder's memory.
pub(super) struct Context(Workspace);

impl context::Context for Context {
    fn new(window: usize, alloc: Alloc) -> Result<Self> {
        if !AVAILABLE {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: They compute a size from integers.
        let sizes = unsafe {
            [
                bindings::zstd_dctx_workspace_bound(),
                bindings::zstd_dstream_workspace_bound(window),
            ]
        };
        Ok(Self(Workspace::new(sizes[0].max(sizes[1]), alloc)?))
    }

    fn pages(&self) -> usize {
        self.0.pages()
    }
}

impl Context {
    /// Decodes. A frame with a larger window than `window` is corrupt.
    pub(super) fn decode(&mut self, job: &Job, window: u32) -> Result<(), CodecError> {
        if !AVAILABLE {
            return Err(CodecError::Unsupported);
        }
        if window_of(job).ok_or(CodecError::Corrupt)? > window.into() {
            return Err(CodecError::Corrupt);
        }
        // Not in one step if it holds more than is wanted, or if something is behind it.
        if job.partial || !self.decode_frame(job)? {
            self.decode_some(job)?;
        }
        Ok(())
    }

    /// Whether the input is one frame with the output, which is in place then.
    fn decode_frame(&mut self, job: &Job) -> Result<bool, CodecError> {
        // SAFETY: The workspace is ours and large enough. The input is readable and the output writable
        // for the lengths that a `Job` says. All of the input is there: it comes to an end when that
        // or the output does.
        let done = unsafe {
            let context = bindings::zstd_init_dctx(self.0.as_mut_ptr(), self.0.len());
            if context.is_null() {
                return Err(CodecError::NoMemory);
            }
            let (src, dst) = (job.src.cast(), job.dst.cast());
            bindings::zstd_decompress_dctx(context, dst, job.dst_len, src, job.src_len)
        };
        Ok(done == job.dst_len)
    }

    /// Decodes what is wanted of the frame.
    fn decode_some(&mut self, job: &Job) -> Result<(), CodecError> {
        let mut src = bindings::zstd_in_buffer {
            src: job.src.cast(),
            size: job.src_len,
            pos: 0,
        };
        let mut dst = bindings::zstd_out_buffer {
            dst: job.dst.cast(),
            size: job.dst_len,
            pos: 0,
        };
        // SAFETY: The workspace is ours, and as long as said; one that is too small is refused.
        let stream = unsafe { bindings::zstd_init_dstream(0, self.0.as_mut_ptr(), self.0.len()) };
        if stream.is_null() {
            return Err(CodecError::NoMemory);
        }
        while dst.pos < dst.size {
            let before = (src.pos, dst.pos);
            // SAFETY: The stream lives in the workspace, which is ours. The input is readable and the
            // output writable for the lengths that a `Job` says.
            let ret = unsafe { bindings::zstd_decompress_stream(stream, &mut dst, &mut src) };
            // SAFETY: It looks at an integer.
            let bad = unsafe { bindings::zstd_is_error(ret) } != 0;
            // The frame has ended where `ret` is 0. Each step that goes on takes or gives a byte.
            if bad || (ret == 0 && dst.pos < dst.size) || before == (src.pos, dst.pos) {
                return Err(CodecError::Corrupt);
            }
        }
        Ok(())
    }
}

/// The window that the frame needs, in bytes: no more than it has content. None if it is no frame.
fn window_of(job: &Job) -> Option<u64> {
    let mut header = bindings::zstd_frame_header::default();
    // SAFETY: `src_len` bytes are readable at `src` of a `Job`, and the header is ours to fill.
    let ret = unsafe { bindings::zstd_get_frame_header(&mut header, job.src.cast(), job.src_len) };
    (ret == 0).then_some(header.windowSize.min(header.frameContentSize))
}
