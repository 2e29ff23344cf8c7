// SPDX-License-Identifier: GPL-2.0-only

//! What decoders make of good, bad and scattered data.

use super::{
    folio::Memory,
    streams::{
        self,
        Noise,
        TEXT, //
    }, //
};
use crate::{
    codec::{
        Algorithm,
        CodecError,
        Contexts,
        Decoder,
        InPlace,
        Input,
        Output,
        Request, //
    },
    file_page::FilePage,
    folio::FolioPart,
    page::{
        Alloc,
        Page,
        Pool, //
    },
    reads::Reads,
    span::address,
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

pub(super) const LZMA: Algorithm = Algorithm::Lzma { dict: 1 << 16 };
pub(super) const ZSTD: Algorithm = Algorithm::Zstd { window: 1 << 17 };

pub(super) const WHOLE: Request = Request {
    padding: 0,
    partial: false,
};
pub(super) const PART: Request = Request {
    padding: 0,
    partial: true,
};

/// What the bytes of a folio are before something is decoded into it.
const OLD: u8 = 0xa5;

/// A decoder and a stream of each algorithm, and what it decodes to.
pub(super) struct Sample {
    pub(super) decoder: Decoder,
    pub(super) stream: KVec<u8>,
    pub(super) plain: KVec<u8>,
}

impl Sample {
    pub(super) fn new(algorithm: Algorithm) -> Result<Self> {
        let (stream, plain) = match algorithm {
            Algorithm::Lz4 => streams::lz4(TEXT)?,
            Algorithm::Lzma { .. } => (streams::bytes(streams::LZMA)?, streams::text()?),
            Algorithm::Deflate => (streams::bytes(streams::DEFLATE)?, streams::text()?),
            Algorithm::Zstd { .. } => (streams::bytes(streams::ZSTD)?, streams::text()?),
        };
        Ok(Self {
            decoder: Decoder::new(Contexts::new()?, algorithm)?,
            stream,
            plain,
        })
    }

    /// Decodes `len` bytes of `stream`, in pages of which the first one is used from byte `from` on,
    /// into memory from byte `to` on.
    pub(super) fn decode(
        &self,
        stream: &[u8],
        from: usize,
        (to, len): (usize, usize),
        request: Request,
    ) -> Result<Memories, CodecError> {
        let mut memories = Memories::new((to + len).div_ceil(PAGE_SIZE)).unwrap();
        let mut parts = memories.parts(to).unwrap();
        let mut pool = Pool::new();
        let pages = pages(from, stream).unwrap();
        let mut output = Output::new(&mut pool, Alloc::Wait, to, len).unwrap();
        let mut at = 0;
        for part in &mut parts {
            let len = part.len();
            assert!(output.add(at, part).is_ok());
            at += len;
        }
        let mut input = Input::from_pages(from, stream.len(), Alloc::Wait).unwrap();
        for (i, page) in pages.iter().enumerate() {
            input.add_page(i, page).unwrap();
        }
        let result = self.decoder.decode(&mut input, &mut output, request);
        drop(output);
        drop(parts);
        memories.check_unwanted(to, len);
        assert_eq!(result?, InPlace::None);
        Ok(memories)
    }

    /// As [`decode`](Self::decode), of the sample's own stream; whether the bytes are right.
    pub(super) fn is_good(&self, from: usize, to: (usize, usize), request: Request) -> bool {
        match self.decode(&self.stream, from, to, request) {
            Ok(memories) => memories.bytes(to.0, to.1).unwrap()[..] == self.plain[..to.1],
            Err(_) => false,
        }
    }
}

/// Memory in pages that lie anywhere.
pub(super) struct Memories(KVec<Memory>);

impl Memories {
    fn new(pages: usize) -> Result<Self> {
        let mut all = KVec::new();
        for _ in 0..pages {
            all.push(Memory::new()?, GFP_KERNEL)?;
        }
        Ok(Self(all))
    }

    /// The bytes from `offset` on, all [`OLD`]. To be dropped before the memory.
    fn parts(&mut self, offset: usize) -> Result<KVec<FolioPart>> {
        let mut parts = KVec::new();
        for (i, memory) in self.0.iter().enumerate() {
            let mut part = memory.lock()?.into_part();
            part.write(0, &[OLD; PAGE_SIZE])?;
            if i == 0 && offset > 0 {
                part = part.split(offset as u64).1.ok_or(EINVAL)?;
            }
            parts.push(part, GFP_KERNEL)?;
        }
        Ok(parts)
    }

    fn bytes(&self, offset: usize, len: usize) -> Result<KVec<u8>> {
        let mut all = KVec::new();
        for memory in &self.0 {
            all.extend_from_slice(&memory.bytes()?, GFP_KERNEL)?;
        }
        let mut bytes = KVec::new();
        bytes.extend_from_slice(&all[offset..offset + len], GFP_KERNEL)?;
        Ok(bytes)
    }

    /// Nothing but `len` bytes from `offset` on was written.
    fn check_unwanted(&self, offset: usize, len: usize) {
        let all = self.bytes(0, self.0.len() * PAGE_SIZE).unwrap();
        assert!(all[..offset].iter().all(|b| *b == OLD));
        assert!(all[offset + len..].iter().all(|b| *b == OLD));
    }
}

/// The page of each of `parts`, which have one.
fn given(parts: &mut [FolioPart]) -> Result<KVec<FilePage>> {
    let mut pages = KVec::new();
    for part in parts {
        pages.push(part.give(0).ok_or(EINVAL)?, GFP_KERNEL)?;
    }
    Ok(pages)
}

/// `bytes` in pages, from byte `offset` of the first one on.
fn pages(offset: usize, bytes: &[u8]) -> Result<KVec<Page>> {
    let mut pages = KVec::new();
    let mut done = 0;
    while done < bytes.len() {
        let at = if done == 0 { offset } else { 0 };
        let n = (PAGE_SIZE - at).min(bytes.len() - done);
        let page = Page::new(Alloc::Wait)?;
        // SAFETY: the page is ours, and the bytes are within it.
        unsafe {
            address(page.as_raw())
                .add(at)
                .copy_from_nonoverlapping(bytes[done..].as_ptr(), n)
        };
        pages.push(page, GFP_KERNEL)?;
        done += n;
    }
    Ok(pages)
}

/// Runs `test` with a sample of each algorithm.
fn each(test: impl Fn(&Sample) -> Result) -> Result {
    for algorithm in [Algorithm::Lz4, LZMA, Algorithm::Deflate, ZSTD] {
        test(&Sample::new(algorithm)?)?;
    }
    Ok(())
}

#[kunit_tests(vfs_codec)]
mod suite {
    use super::*;

    #[test]
    fn whole_streams() -> Result {
        each(|sample| {
            for from in [0, 1, PAGE_SIZE - 1] {
                for to in [0, 1, 1000, PAGE_SIZE - 1] {
                    assert!(sample.is_good(from, (to, TEXT), WHOLE));
                    assert!(sample.is_good(from, (to, TEXT), PART));
                }
            }
            Ok(())
        })
    }

    #[test]
    fn beginnings() -> Result {
        each(|sample| {
            for len in [1, 100, PAGE_SIZE, PAGE_SIZE + 1, TEXT - 1] {
                assert!(sample.is_good(3000, (1000, len), PART));
                // Zstandard does not mind, as the C driver does not.
                let good = sample.is_good(3000, (1000, len), WHOLE);
                assert_eq!(good, sample.decoder.algorithm() == ZSTD);
            }
            Ok(())
        })
    }

    #[test]
    fn not_so_long() -> Result {
        each(|sample| {
            for len in [TEXT + 1, 2 * TEXT, 40 * PAGE_SIZE] {
                for request in [WHOLE, PART] {
                    let result = sample.decode(&sample.stream, 0, (0, len), request);
                    assert_eq!(result.err(), Some(CodecError::Corrupt));
                }
            }
            Ok(())
        })
    }

    #[test]
    fn truncated() -> Result {
        each(|sample| {
            let all = sample.stream.len();
            for len in [1, 2, 3, 4, 5, 10, all / 4, all / 2, all - 10, all - 1] {
                for request in [WHOLE, PART] {
                    let stream = &sample.stream[..len];
                    let result = sample.decode(stream, 100, (0, TEXT), request);
                    // Nothing but the end mark may be missing, which is not asked for.
                    if !(request.partial && len == all - 1 && result.is_ok()) {
                        assert_eq!(result.err(), Some(CodecError::Corrupt));
                    }
                }
            }
            Ok(())
        })
    }

    #[test]
    fn zeros_in_front() -> Result {
        each(|sample| {
            for (zeros, padding, good) in [
                (1, 512, true),
                (300, 512, true),
                (512, 512, false),
                (0, 4096, true),
                (1, 0, false),
            ] {
                let mut stream = KVec::from_elem(0, zeros, GFP_KERNEL)?;
                stream.extend_from_slice(&sample.stream, GFP_KERNEL)?;
                let request = Request {
                    padding,
                    partial: false,
                };
                let result = sample.decode(&stream, 0, (0, TEXT), request);
                let error = (!good).then_some(CodecError::Corrupt);
                assert_eq!(result.err(), error);
            }
            // It does not go beyond the first page.
            let zeros = KVec::from_elem(0, 3 * PAGE_SIZE, GFP_KERNEL)?;
            let request = Request {
                padding: 2 * PAGE_SIZE,
                partial: false,
            };
            let result = sample.decode(&zeros, 100, (0, TEXT), request);
            assert_eq!(result.err(), Some(CodecError::Corrupt));
            Ok(())
        })
    }

    /// An LZ4 stream of unknown length: bytes behind it do not matter to a partial decoding.
    #[test]
    fn followed_by_anything() -> Result {
        let sample = Sample::new(Algorithm::Lz4)?;
        let part = Request {
            padding: PAGE_SIZE,
            partial: true,
        };
        // The beginning is never taken for padding.
        assert_ne!(sample.stream[0], 0);
        for byte in [0, 1, 0x1f, 0xf0, 0xff] {
            for rest in [1, 2, 3, 12, 500, PAGE_SIZE] {
                let mut stream = KVec::from_elem(byte, sample.stream.len() + rest, GFP_KERNEL)?;
                stream[..sample.stream.len()].copy_from_slice(&sample.stream);
                for len in [1, 100, TEXT - 1, TEXT] {
                    let memories = sample.decode(&stream, 100, (50, len), part)?;
                    assert!(memories.bytes(50, len)?[..] == sample.plain[..len]);
                }
                let whole = sample.decode(&stream, 100, (50, TEXT), WHOLE);
                assert_eq!(whole.err(), Some(CodecError::Corrupt));
            }
        }
        Ok(())
    }

    #[test]
    fn bytes_in_memory() -> Result {
        each(|sample| {
            let mut pool = Pool::new();
            let mut memory = Memories::new(1)?;
            let mut parts = memory.parts(0)?;
            let mut output = Output::new(&mut pool, Alloc::NoIo, 500, TEXT)?;
            let mut input = Input::from_bytes(&sample.stream)?;
            let place = sample.decoder.decode(&mut input, &mut output, WHOLE)?;
            assert_eq!(place, InPlace::None);
            output.copy_to(PAGE_SIZE - 500 - 100, 300, &mut parts[0], 7)?;
            for (from, len, at) in [(TEXT, 1, 0), (usize::MAX, 2, 0), (0, 2, PAGE_SIZE - 1)] {
                assert_eq!(output.copy_to(from, len, &mut parts[0], at), Err(EINVAL));
            }
            drop(output);
            drop(parts);
            memory.check_unwanted(7, 300);
            assert_eq!(
                memory.bytes(7, 300)?[..],
                sample.plain[PAGE_SIZE - 600..][..300]
            );
            // All pages were its own.
            assert_eq!(pool.len(), (500 + TEXT).div_ceil(PAGE_SIZE));
            Ok(())
        })
    }

    #[test]
    fn gaps() -> Result {
        each(|sample| {
            for wanted in 0..3 {
                let mut pool = Pool::new();
                let mut memory = Memories::new(3)?;
                let mut parts = memory.parts(0)?;
                let mut output = Output::new(&mut pool, Alloc::BestEffort, 0, TEXT)?;
                assert!(output.add(wanted * PAGE_SIZE, &mut parts[wanted]).is_ok());
                let mut input = Input::from_bytes(&sample.stream)?;
                sample.decoder.decode(&mut input, &mut output, WHOLE)?;
                drop(output);
                drop(parts);
                assert_eq!(pool.len(), 2);
                let at = wanted * PAGE_SIZE;
                let len = PAGE_SIZE.min(TEXT - at);
                memory.check_unwanted(at, len);
                assert_eq!(memory.bytes(at, len)?[..], sample.plain[at..][..len]);
            }
            Ok(())
        })
    }

    #[test]
    fn parts_that_do_not_fit() -> Result {
        let memory = Memory::new()?;
        let (mut front, rest) = memory.lock()?.into_part().split(1000);
        let mut back = rest.ok_or(EINVAL)?;
        let fits = |part: &mut FolioPart, at, (offset, len)| {
            let mut pool = Pool::new();
            let mut output = Output::new(&mut pool, Alloc::Wait, offset, len)?;
            Ok::<_, Error>(output.add(at, part).is_ok())
        };
        // All that is wanted of its page, and in its place.
        assert!(fits(&mut front, 0, (0, 1000))?);
        assert!(fits(&mut back, 0, (1000, 2 * PAGE_SIZE))?);
        assert!(fits(&mut back, 0, (1000, 1))?);
        // Beyond the end, elsewhere in the page, and without all of what is wanted of it.
        assert!(!fits(&mut front, PAGE_SIZE, (0, PAGE_SIZE))?);
        assert!(!fits(&mut front, 0, (500, 100))?);
        assert!(!fits(&mut front, 0, (0, 1001))?);
        assert!(!fits(&mut back, 1000, (0, PAGE_SIZE))?);
        // One place, two parts.
        let other = Memory::new()?;
        let (mut same, _rest) = other.lock()?.into_part().split(1000);
        let mut pool = Pool::new();
        let mut output = Output::new(&mut pool, Alloc::Wait, 0, 900)?;
        assert!(output.add(0, &mut front).is_ok());
        assert!(output.add(0, &mut same).is_err());
        Ok(())
    }

    #[test]
    fn output_is_read_once_it_is_there() -> Result {
        let mut pool = Pool::new();
        let memory = Memory::new()?;
        let mut part = memory.lock()?.into_part();
        let mut output = Output::new(&mut pool, Alloc::Wait, 0, 100)?;
        output.prepare()?;
        assert_eq!(output.copy_to(0, 100, &mut part, 0), Err(EINVAL));
        drop(output);
        for (offset, len) in [(PAGE_SIZE, 1), (0, 0), (0, usize::MAX)] {
            assert!(Output::new(&mut pool, Alloc::Wait, offset, len).is_err());
            assert!(Input::from_pages(offset, len, Alloc::Wait).is_err());
        }
        Ok(())
    }

    #[test]
    fn made_once_and_not_for_nothing() -> Result {
        let mut pool = Pool::new();
        let mut output = Output::empty(&mut pool, Alloc::Wait);
        output.make_room(0, 100)?;
        assert_eq!(output.make_room(0, 100), Err(EINVAL));
        let mut input = Input::empty();
        input.set_bytes(b"bytes")?;
        assert_eq!(input.set_bytes(b"bytes"), Err(EINVAL));
        assert_eq!(input.set_pages(0, 100, Alloc::Wait), Err(EINVAL));
        each(|sample| {
            let (mut pool, mut other) = (Pool::new(), Pool::new());
            let mut output = Output::new(&mut pool, Alloc::Wait, 0, TEXT)?;
            let nothing = sample
                .decoder
                .decode(&mut Input::empty(), &mut output, WHOLE);
            assert_eq!(nothing, Err(CodecError::Incomplete));
            let mut input = Input::from_bytes(&sample.stream)?;
            let mut nowhere = Output::empty(&mut other, Alloc::Wait);
            let nothing = sample.decoder.decode(&mut input, &mut nowhere, WHOLE);
            assert_eq!(nothing, Err(CodecError::Incomplete));
            Ok(())
        })
    }

    #[test]
    fn input_is_complete() -> Result {
        each(|sample| {
            let mut pool = Pool::new();
            let pages = pages(0, &sample.stream)?;
            let mut output = Output::new(&mut pool, Alloc::Wait, 0, TEXT)?;
            let mut input = Input::from_pages(0, pages.len() * PAGE_SIZE + 1, Alloc::Wait)?;
            for (i, page) in pages.iter().enumerate() {
                input.add_page(i, page)?;
                assert_eq!(input.add_page(i, page), Err(EINVAL));
            }
            assert_eq!(input.add_page(pages.len() + 1, &pages[0]), Err(EINVAL));
            let result = sample.decoder.decode(&mut input, &mut output, WHOLE);
            assert_eq!(result, Err(CodecError::Incomplete));
            Ok(())
        })
    }

    #[test]
    fn pages_that_are_lent_are_not_read() -> Result {
        let mut page = Page::new(Alloc::Wait)?;
        let lent = page.lend();
        let mut input = Input::from_pages(0, 1, Alloc::Wait)?;
        assert_eq!(input.add_page(0, &page), Err(EBUSY));
        drop(lent);
        assert_eq!(input.add_page(0, &page), Ok(()));
        Ok(())
    }

    /// Compressed data at the end of the pages that it is decoded to.
    #[test]
    fn in_place() -> Result {
        each(|sample| {
            let lz4 = sample.decoder.algorithm() == Algorithm::Lz4;
            for room in [10, 40, 100] {
                let len = 3 * PAGE_SIZE - room;
                let (stream, plain) = match sample.decoder.algorithm() {
                    Algorithm::Lz4 => streams::lz4(len)?,
                    _ => (
                        streams::bytes(match sample.decoder.algorithm() {
                            LZMA => streams::LZMA,
                            ZSTD => streams::ZSTD,
                            _ => streams::DEFLATE,
                        })?,
                        streams::text()?,
                    ),
                };
                let mut memory = Memories::new(3)?;
                let mut parts = memory.parts(0)?;
                // Pages at the end, with the stream at the end of them.
                let pages = stream.len().div_ceil(PAGE_SIZE);
                let mut padded = KVec::from_elem(0, pages * PAGE_SIZE - stream.len(), GFP_KERNEL)?;
                padded.extend_from_slice(&stream, GFP_KERNEL)?;
                for (i, bytes) in padded.chunks(PAGE_SIZE).enumerate() {
                    parts[3 - pages + i].write(0, bytes)?;
                }
                let files = given(&mut parts)?;
                let mut pool = Pool::new();
                let mut output = Output::new(&mut pool, Alloc::Wait, 0, plain.len())?;
                for (i, part) in parts.iter_mut().enumerate() {
                    assert!(output.add(i * PAGE_SIZE, part).is_ok());
                }
                let mut input = Input::from_pages(0, padded.len(), Alloc::Wait)?;
                for i in 0..pages {
                    let at = 3 - pages + i;
                    output.share(at, &files[at], &mut input, i)?;
                }
                assert_eq!(output.share(0, &files[0], &mut input, 0), Err(EINVAL));
                let request = Request {
                    padding: PAGE_SIZE,
                    partial: false,
                };
                let place = sample.decoder.decode(&mut input, &mut output, request)?;
                // The margin of a stream of two pages is 32 and some 25 bytes.
                let fits = lz4 && room == 100;
                if fits {
                    assert_eq!(place, InPlace::Taken);
                } else {
                    assert_eq!(place, InPlace::Copied(pages));
                }
                drop((input, output));
                drop((parts, files));
                assert!(memory.bytes(0, plain.len())?[..] == plain[..]);
                assert_eq!(pool.len(), if fits { 0 } else { pages });
            }
            Ok(())
        })
    }

    /// In pages of the output, but not where it could be decoded; and some of it elsewhere.
    #[test]
    fn in_the_way() -> Result {
        let (stream, plain) = streams::lz4(4 * PAGE_SIZE)?;
        let pages = pages(0, &stream)?;
        assert_eq!(pages.len(), 3);
        let decoder = Decoder::new(Contexts::new()?, Algorithm::Lz4)?;
        for places in [
            [Some(0), Some(1), Some(2)],
            [Some(3), Some(2), Some(1)],
            [Some(1), None, Some(3)],
            [None, None, Some(3)],
            [None, Some(0), None],
        ] {
            let mut memory = Memories::new(4)?;
            let mut parts = memory.parts(0)?;
            for (i, bytes) in stream.chunks(PAGE_SIZE).enumerate() {
                if let Some(place) = places[i] {
                    parts[place].write(0, bytes)?;
                }
            }
            let files = given(&mut parts)?;
            let mut pool = Pool::new();
            let mut output = Output::new(&mut pool, Alloc::Wait, 0, plain.len())?;
            for (i, part) in parts.iter_mut().enumerate() {
                assert!(output.add(i * PAGE_SIZE, part).is_ok());
            }
            let mut input = Input::from_pages(0, stream.len(), Alloc::Wait)?;
            for (i, place) in places.iter().enumerate() {
                match place {
                    Some(at) => output.share(*at, &files[*at], &mut input, i)?,
                    None => input.add_page(i, &pages[i])?,
                }
            }
            let shared = places.iter().flatten().count();
            let place = decoder.decode(&mut input, &mut output, WHOLE)?;
            assert_eq!(place, InPlace::Copied(shared));
            drop((input, output));
            drop((parts, files));
            assert!(memory.bytes(0, plain.len())?[..] == plain[..]);
        }
        Ok(())
    }

    /// What the output owns of its last page is all that can be shared of it.
    #[test]
    fn shared_pages_are_owned() -> Result {
        let mut pool = Pool::new();
        let (memory, other) = (Memory::new()?, Memory::new()?);
        let mut part = memory.lock()?.into_part();
        let page = part.give(0).ok_or(EINVAL)?;
        let (mut front, _back) = part.split(1000);
        let strange = other.lock()?.into_part().give(0).ok_or(EINVAL)?;
        let mut output = Output::new(&mut pool, Alloc::Wait, 0, 900)?;
        let mut input = Input::from_pages(0, PAGE_SIZE, Alloc::Wait)?;
        assert_eq!(output.share(0, &page, &mut input, 0), Err(EINVAL));
        assert!(output.add(0, &mut front).is_ok());
        assert_eq!(output.share(0, &page, &mut input, 0), Err(EINVAL));
        assert_eq!(output.share(1, &page, &mut input, 0), Err(EINVAL));
        let mut input = Input::from_pages(500, 500, Alloc::Wait)?;
        assert_eq!(output.share(0, &strange, &mut input, 0), Err(EINVAL));
        assert_eq!(output.share(0, &page, &mut input, 0), Ok(()));
        Ok(())
    }

    /// Not while something may still be read into them.
    #[test]
    fn pages_of_files_that_are_lent_are_not_shared() -> Result {
        let mut pool = Pool::new();
        let memory = Memory::new()?;
        let mut part = memory.lock()?.into_part();
        let mut page = part.give(0).ok_or(EINVAL)?;
        let reads = Reads::new()?;
        let read = reads.begin();
        let hold = page.lend(&read)?;
        let mut output = Output::new(&mut pool, Alloc::Wait, 0, PAGE_SIZE)?;
        let mut input = Input::from_pages(0, PAGE_SIZE, Alloc::Wait)?;
        assert!(output.add(0, &mut part).is_ok());
        assert_eq!(output.share(0, &page, &mut input, 0), Err(EBUSY));
        drop((hold, read, reads));
        assert_eq!(output.share(0, &page, &mut input, 0), Ok(()));
        Ok(())
    }

    #[test]
    fn plain_data() -> Result {
        let text = streams::text()?;
        let pages = pages(100, &text)?;
        let mut pool = Pool::new();
        let mut memory = Memories::new(3)?;
        let mut parts = memory.parts(50)?;
        let mut output = Output::new(&mut pool, Alloc::Wait, 50, TEXT)?;
        let mut at = 0;
        for part in &mut parts {
            let len = part.len();
            assert!(output.add(at, part).is_ok());
            at += len;
        }
        let mut input = Input::from_pages(100, TEXT, Alloc::Wait)?;
        for (i, page) in pages.iter().enumerate() {
            input.add_page(i, page)?;
        }
        assert_eq!(output.copy_from(1, &input, 0, TEXT), Err(EINVAL));
        assert_eq!(output.copy_from(0, &input, 1, TEXT), Err(EINVAL));
        // The end first, then the rest behind it.
        output.copy_from(0, &input, TEXT - 500, 500)?;
        output.copy_from(500, &input, 0, TEXT - 500)?;
        let other = Memory::new()?;
        let mut part = other.lock()?.into_part();
        input.copy_to(4000, 2000, &mut part, 10)?;
        assert_eq!(input.copy_to(TEXT - 1, 2, &mut part, 0), Err(EINVAL));
        drop((input, output));
        drop((part, parts));
        memory.check_unwanted(50, TEXT);
        let bytes = memory.bytes(50, TEXT)?;
        assert!(bytes[..500] == text[TEXT - 500..]);
        assert!(bytes[500..] == text[..TEXT - 500]);
        assert!(other.bytes()?[10..2010] == text[4000..6000]);
        Ok(())
    }

    /// It moves within its page; and from a copy, where it would be written over.
    #[test]
    fn plain_data_in_place() -> Result {
        let text = streams::text()?;
        for detach in [false, true] {
            let mut memory = Memories::new(2)?;
            let mut parts = memory.parts(0)?;
            parts[1].write(0, &text[..PAGE_SIZE])?;
            let page = parts[1].give(0).ok_or(EINVAL)?;
            let part = parts.remove(0).map_err(|_| EINVAL)?;
            let (front, rest) = part.split(3000);
            let mut rest = rest.ok_or(EINVAL)?;
            let mut pool = Pool::new();
            let mut output = Output::new(&mut pool, Alloc::Wait, 3000, 4000)?;
            assert!(output.add(0, &mut rest).is_ok());
            assert!(output.add(PAGE_SIZE - 3000, &mut parts[0]).is_ok());
            let mut input = Input::from_pages(0, PAGE_SIZE, Alloc::Wait)?;
            output.share(1, &page, &mut input, 0)?;
            if detach {
                assert_eq!(output.detach(&mut input), Ok(1));
                assert_eq!(output.detach(&mut input), Ok(0));
            }
            output.copy_from(0, &input, 0, 4000)?;
            drop((input, output));
            drop((front, rest, parts, page));
            assert!(memory.bytes(3000, 4000)?[..] == text[..4000]);
        }
        Ok(())
    }

    #[test]
    fn many_pages() -> Result {
        let decoder = Decoder::new(Contexts::new()?, Algorithm::Lz4)?;
        let len = 50 * PAGE_SIZE + 123;
        let (stream, plain) = streams::lz4(len)?;
        let sample = Sample {
            decoder,
            stream,
            plain,
        };
        assert!(sample.stream.len() > 32 * PAGE_SIZE / 2);
        assert!(sample.is_good(0, (4000, len), WHOLE));
        assert!(sample.is_good(4095, (0, len - 5), PART));
        Ok(())
    }

    /// A match at distance 0 is what was there before, in the decoder for beginnings.
    #[test]
    fn old_memory_is_not_decoded() -> Result {
        let sample = Sample {
            stream: KVec::new(),
            ..Sample::new(Algorithm::Lz4)?
        };
        let stream = [
            0x1f, OLD, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let memories = sample.decode(&stream, 0, (100, 1000), PART)?;
        let bytes = memories.bytes(100, 1000)?;
        assert_eq!(bytes[0], OLD);
        // What follows at once is of the stream: it copies more than it has to.
        assert!(bytes[16..].iter().all(|b| *b == 0));
        Ok(())
    }

    /// Streams that someone has changed: any result, but in time, and nothing else is written.
    #[test]
    fn mutated() -> Result {
        each(|sample| {
            let mut noise = Noise(42);
            let mut below = |n: usize| noise.next() as usize % n;
            let (mut good, mut bad) = (0, 0);
            for round in 0..150 {
                let mut stream = KVec::new();
                stream.extend_from_slice(&sample.stream, GFP_KERNEL)?;
                for _ in 0..=below(3) {
                    // Often in the header, where it does most.
                    let at = if below(2) == 0 { 24 } else { stream.len() };
                    stream[below(at)] = below(256) as u8;
                }
                if below(4) == 0 {
                    stream.truncate(1 + below(stream.len()));
                }
                let request = Request {
                    padding: if round % 3 == 0 { PAGE_SIZE } else { 0 },
                    partial: round % 2 == 0,
                };
                let len = if below(2) == 0 { TEXT } else { 1 + below(TEXT) };
                let to = (below(PAGE_SIZE), len);
                match sample.decode(&stream, below(PAGE_SIZE), to, request) {
                    Ok(_) => good += 1,
                    Err(CodecError::Corrupt) => bad += 1,
                    Err(e) => return Err(e.into()),
                }
            }
            assert!(good > 0);
            assert!(bad > 50);
            assert!(sample.is_good(0, (0, TEXT), WHOLE));
            Ok(())
        })
    }

    /// The same, decoded where they are.
    #[test]
    fn mutated_in_place() -> Result {
        let len = 3 * PAGE_SIZE - 100;
        let (stream, _) = streams::lz4(len)?;
        let decoder = Decoder::new(Contexts::new()?, Algorithm::Lz4)?;
        let mut noise = Noise(43);
        let mut bad = 0;
        for _ in 0..60 {
            let mut memory = Memories::new(3)?;
            let mut parts = memory.parts(0)?;
            let mut padded = KVec::from_elem(0, 2 * PAGE_SIZE - stream.len(), GFP_KERNEL)?;
            padded.extend_from_slice(&stream, GFP_KERNEL)?;
            for _ in 0..10 {
                let at = 2 * PAGE_SIZE - 1 - noise.next() as usize % stream.len();
                padded[at] = noise.next() as u8;
            }
            parts[1].write(0, &padded[..PAGE_SIZE])?;
            parts[2].write(0, &padded[PAGE_SIZE..])?;
            let files = given(&mut parts)?;
            let mut pool = Pool::new();
            let mut output = Output::new(&mut pool, Alloc::Wait, 0, len)?;
            for (i, part) in parts.iter_mut().enumerate() {
                assert!(output.add(i * PAGE_SIZE, part).is_ok());
            }
            let mut input = Input::from_pages(0, 2 * PAGE_SIZE, Alloc::Wait)?;
            output.share(1, &files[1], &mut input, 0)?;
            output.share(2, &files[2], &mut input, 1)?;
            let request = Request {
                padding: PAGE_SIZE,
                partial: false,
            };
            bad += usize::from(decoder.decode(&mut input, &mut output, request).is_err());
        }
        assert!(bad > 10);
        Ok(())
    }
}
