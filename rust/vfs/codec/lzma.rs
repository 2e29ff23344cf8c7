// SPDX-License-Identifier: GPL-2.0-only

//! MicroLZMA: LZMA without a header, by a decoder whose dictionary is its output.
//!
//! C headers: [`include/linux/xz.h`](srctree/include/linux/xz.h)

use super::{
    context,
    CodecError,
    Job, //
};
use crate::{
    bindings,
    page::Alloc, //
};
use core::ptr::NonNull;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

pub(super) const AVAILABLE: bool = cfg!(CONFIG_XZ_DEC_MICROLZMA);

/// A decoder.
///
/// # Invariants
///
/// It is ours.
pub(super) struct Context(NonNull<bindings::xz_dec_microlzma>);

// SAFETY: it belongs to no task.
unsafe impl Send for Context {}

impl context::Context for Context {
    fn new(dict: usize, alloc: Alloc) -> Result<Self> {
        if !AVAILABLE {
            return Err(EOPNOTSUPP);
        }
        let dict = dict.try_into()?;
        let mode = bindings::xz_mode_XZ_SINGLE;
        // SAFETY: It only allocates, and refuses sizes that it does not like.
        let state = alloc.within(|| unsafe { bindings::xz_dec_microlzma_alloc(mode, dict) });
        // INVARIANT: it is new.
        Ok(Self(NonNull::new(state).ok_or(ENOMEM)?))
    }

    fn pages(&self) -> usize {
        // `struct xz_dec_microlzma` is private to the decoder: 28 KiB of probabilities, and no
        // dictionary in this mode.
        (28 << 10) / PAGE_SIZE + 1
    }
}

impl Context {
    pub(super) fn decode(&mut self, job: &Job) -> Result<(), CodecError> {
        let mut buf = bindings::xz_buf {
            in_: job.src,
            in_pos: 0,
            in_size: job.src_len,
            out: job.dst,
            out_pos: 0,
            out_size: job.dst_len,
        };
        if !AVAILABLE {
            return Err(CodecError::Unsupported);
        }
        // SAFETY: The decoder is ours. The input is readable and the output writable for the lengths
        // that a `Job` says. It is run once, as all of the input and room for all of the output are
        // there: it comes to an end when one of them does. The lengths fit, as both are below
        // `MAX_LEN`.
        let ret = unsafe {
            let state = self.0.as_ptr();
            let (from, to) = (job.src_len as u32, job.dst_len as u32);
            bindings::xz_dec_microlzma_reset(state, from, to, (!job.partial).into());
            bindings::xz_dec_microlzma_run(state, &mut buf)
        };
        if ret == bindings::xz_ret_XZ_STREAM_END && buf.out_pos == buf.out_size {
            Ok(())
        } else {
            Err(CodecError::Corrupt)
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if AVAILABLE {
            // SAFETY: the decoder is ours.
            unsafe { bindings::xz_dec_microlzma_end(self.0.as_ptr()) };
        }
    }
}
