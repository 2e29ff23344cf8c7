// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's decompressors, from pages to pages.
//!
//! | what | who may |
//! | --- | --- |
//! | [`Input`] | look at pages that are lent to it, and at parts of folios that it shares with an output |
//! | [`Output`] | write to parts of folios that are lent to it, and to pages of its own in between |
//! | [`Decoder`] | decode one into the other, for one algorithm and its limits |
//! | [`Contexts`] | keep the memory that decoders need, for as many as there are CPUs |
//!
//! Every decoder works on one range of addresses in and one out, in one call. So there is no
//! dictionary to be kept beside the output, and no state between calls. What it writes is within the
//! bytes that were asked for, whatever the stream says, and so is the time that it takes.
//!
//! Two things are stricter than what in-kernel users do with the same decompressors: a DEFLATE stream
//! that ends before its last wanted byte is corrupt, in whatever page that is; and the window of a
//! Zstandard frame is held against its own decoder's limit, not the largest of all.
//!
//! Compressed bytes that lie in pages of the output are decoded where they are if the algorithm can
//! (LZ4, if they are far enough behind what is written), else they are copied out of the way.

mod context;
mod deflate;
mod input;
mod lz4;
mod lzma;
mod output;
mod zstd;

pub use context::Contexts;
pub use input::Input;
pub use output::Output;

use crate::page::Alloc;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The most bytes that go in or out at once. Below all limits of the decoders.
const MAX_LEN: usize = 64 << 20;

/// What data is compressed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// LZ4 blocks.
    Lz4,
    /// MicroLZMA.
    Lzma {
        /// Length of the dictionary, in bytes: how far back a match may lie.
        dict: u32,
    },
    /// Raw DEFLATE.
    Deflate,
    /// Zstandard frames.
    Zstd {
        /// The largest window, in bytes.
        window: u32,
    },
}

impl Algorithm {
    /// Whether the kernel that this was built for has it.
    pub const fn is_available(self) -> bool {
        match self {
            Self::Lz4 => lz4::AVAILABLE,
            Self::Lzma { .. } => lzma::AVAILABLE,
            Self::Deflate => deflate::AVAILABLE,
            Self::Zstd { .. } => zstd::AVAILABLE,
        }
    }
}

/// Why nothing was decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// The stream is no such stream, ends too early, or does not end where it has to.
    Corrupt,
    /// There was no memory, or no address space.
    NoMemory,
    /// The kernel does not have the algorithm.
    Unsupported,
    /// A page of the input is missing.
    Incomplete,
}

impl From<CodecError> for Error {
    /// The errno for whoever reads: `EUCLEAN`, `ENOMEM`, `EOPNOTSUPP` and `EINVAL`.
    fn from(e: CodecError) -> Self {
        match e {
            CodecError::Corrupt => EUCLEAN,
            CodecError::NoMemory => ENOMEM,
            CodecError::Unsupported => EOPNOTSUPP,
            CodecError::Incomplete => EINVAL,
        }
    }
}

/// How to decode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// So many bytes at the beginning of the input may be zeros, in front of the stream.
    pub padding: usize,
    /// The stream may hold more than what is asked for.
    pub partial: bool,
}

/// What was done with compressed bytes in pages of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InPlace {
    /// There were none.
    #[default]
    None,
    /// They were decoded where they are.
    Taken,
    /// They were in the way, and so many pages were copied.
    Copied(usize),
}

/// One decoding: `len` bytes at `src` to `dst_len` ones at `dst`.
///
/// # Invariants
///
/// The bytes are readable and writable. Nobody else writes to those at `src`. They have none in common with
/// those at `dst`, but for LZ4. A device may write to `dst`, if a page of it was given to be read into
/// ([`FolioPart::give`](crate::folio::FolioPart::give)): what is decoded is then worth nothing, but decoders
/// take nothing from there but bytes to copy.
struct Job {
    src: *const u8,
    src_len: usize,
    dst: *mut u8,
    dst_len: usize,
    partial: bool,
    /// The output's memory was used for nothing else since it was allocated.
    clean: bool,
}

/// Decodes one algorithm. While it lives, at least one context for it does.
pub struct Decoder {
    contexts: Arc<Contexts>,
    algorithm: Algorithm,
}

impl Decoder {
    /// One that takes its contexts from `contexts`. `EOPNOTSUPP` if the kernel does not have the
    /// algorithm, `ENOMEM`. May sleep.
    pub fn new(contexts: Arc<Contexts>, algorithm: Algorithm) -> Result<Self> {
        if !algorithm.is_available() {
            return Err(EOPNOTSUPP);
        }
        contexts.acquire(algorithm)?;
        Ok(Self {
            contexts,
            algorithm,
        })
    }

    /// What it decodes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Decodes `input` to exactly all of `output`. May sleep, also to wait for a context, which
    /// whoever has it gives back without waiting for anything. Memory is looked for as `output`
    /// says.
    ///
    /// On an error what `output` holds is undefined.
    pub fn decode(
        &self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        request: Request,
    ) -> Result<InPlace, CodecError> {
        if input.len() == 0 || output.len() == 0 {
            return Err(CodecError::Incomplete);
        }
        output
            .alloc()
            .within(|| self.decode_within(input, output, request))
    }

    #[inline]
    fn decode_within(
        &self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        request: Request,
    ) -> Result<InPlace, CodecError> {
        input.skip_padding(request.padding)?;
        output.prepare().map_err(|_| CodecError::NoMemory)?;
        let to = output.map().map_err(|_| CodecError::NoMemory)?;

        let mut place = InPlace::None;
        let mut from = None;
        let src = match input.place(output.slots()) {
            Some(at) if self.fits_in_place(input, output, at, request) => {
                place = InPlace::Taken;
                to.as_ptr().wrapping_add(at).cast_const()
            }
            _ => {
                if input.is_in_place() {
                    let copied = output.detach(input);
                    place = InPlace::Copied(copied.map_err(|_| CodecError::NoMemory)?);
                }
                from.insert(input.map()?).as_ptr()
            }
        };
        // INVARIANT: both are mapped while `from` and `to` live. The output is lent to be written,
        // or its own, and the input not written meanwhile, by its invariants. They are apart, but where
        // LZ4 can do it.
        let job = Job {
            src,
            src_len: input.len(),
            dst: to.as_ptr().wrapping_add(output.offset()),
            dst_len: output.len(),
            partial: request.partial,
            // What is in pages of the output is at worst the input, which the reader may see.
            clean: !output.is_reused(),
        };
        self.run(&job, output.alloc())?;
        drop(from);
        output.end(input);
        output.set_filled();
        Ok(place)
    }

    #[inline(never)] // Contexts need room on the stack, of which there is more here than while pages are looked for.
    fn run(&self, job: &Job, alloc: Alloc) -> Result<(), CodecError> {
        match self.algorithm {
            Algorithm::Lz4 => lz4::decode(job),
            Algorithm::Lzma { .. } => self.contexts.lzma.take(alloc)?.decode(job),
            Algorithm::Deflate => self.contexts.deflate.take(alloc)?.decode(job),
            Algorithm::Zstd { window } => self.contexts.zstd.take(alloc)?.decode(job, window),
        }
    }

    /// Whether the input, which is at byte `at` of the output's pages, can be decoded there.
    fn fits_in_place(
        &self,
        input: &Input<'_>,
        output: &Output<'_>,
        at: usize,
        request: Request,
    ) -> bool {
        self.algorithm == Algorithm::Lz4
            && !request.partial
            && output.offset() + output.len() + lz4::margin(input.len()) <= at + input.len()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.contexts.release(self.algorithm);
    }
}
