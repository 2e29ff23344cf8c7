// SPDX-License-Identifier: GPL-2.0-only

//! Raw DEFLATE.
//!
//! C headers: [`include/linux/zlib.h`](srctree/include/linux/zlib.h)

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

pub(super) const AVAILABLE: bool = cfg!(CONFIG_ZLIB_INFLATE);

/// Without a header, and the largest window: the kernel's decoder has room for that in any case.
const RAW: i32 = -(bindings::MAX_WBITS as i32);

/// A decoder's memory.
pub(super) struct Context(Workspace);

impl context::Context for Context {
    fn new(_size: usize, alloc: Alloc) -> Result<Self> {
        if !AVAILABLE {
            return Err(EOPNOTSUPP);
        }
        // SAFETY: It gives a constant.
        let size = unsafe { bindings::zlib_inflate_workspacesize() };
        Ok(Self(Workspace::new(usize::try_from(size)?, alloc)?))
    }

    fn pages(&self) -> usize {
        self.0.pages()
    }
}

impl Context {
    pub(super) fn decode(&mut self, job: &Job) -> Result<(), CodecError> {
        let mut stream = bindings::z_stream {
            workspace: self.0.as_mut_ptr(),
            next_in: job.src,
            avail_in: job.src_len as bindings::uLong,
            next_out: job.dst,
            avail_out: job.dst_len as bindings::uLong,
            ..Default::default()
        };
        if !AVAILABLE {
            return Err(CodecError::Unsupported);
        }
        // SAFETY: The workspace is as large as it wants. The input is readable and the output writable
        // for the lengths that a `Job` says. All of the input is there: it comes to an end when that
        // or the output does. What `zlib_inflateEnd` does is nothing.
        let ret = unsafe {
            if bindings::zlib_inflateInit2(&mut stream, RAW) != bindings::Z_OK as i32 {
                return Err(CodecError::NoMemory);
            }
            bindings::zlib_inflate(&mut stream, bindings::Z_SYNC_FLUSH as i32)
        };
        let good =
            ret == bindings::Z_STREAM_END as i32 || job.partial && ret == bindings::Z_OK as i32;
        if good && stream.avail_out == 0 {
            Ok(())
        } else {
            Err(CodecError::Corrupt)
        }
    }
}
