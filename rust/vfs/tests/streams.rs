// SPDX-License-Identifier: GPL-2.0-only

//! Streams for the decoders: [`text`], as other programs compress it, in hexadecimal.
//!
//! Made by this, with Python 3, liblzma 5.8 and libzstd 1.5.7:
//!
//! ```python
//! import ctypes as c, zlib
//! n = 9192
//! text = bytes((i // 64 * 5 + i % 64 * 3) % 256 for i in range(n))
//! deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
//! print((deflate.compress(text) + deflate.flush()).hex())
//! room = c.create_string_buffer(n)
//! size = c.CDLL("libzstd.so.1").ZSTD_compress(room, c.c_size_t(n), text, c.c_size_t(n), 15)
//! print(room.raw[:size].hex())
//! class Stream(c.Structure):
//!     _fields_ = [("next_in", c.c_char_p), ("avail_in", c.c_size_t), ("total_in", c.c_uint64),
//!                 ("next_out", c.c_void_p), ("avail_out", c.c_size_t), ("total_out", c.c_uint64),
//!                 ("more", c.c_uint64 * 12)]
//! lzma, options = c.CDLL("liblzma.so.5"), (c.c_uint32 * 128)()
//! lzma.lzma_lzma_preset(options, 6)
//! options[0] = 65536
//! stream = Stream(text, n, 0, c.addressof(room), n)
//! lzma.lzma_microlzma_encoder(c.byref(stream), options)
//! lzma.lzma_code(c.byref(stream), 3)
//! print(room.raw[:stream.total_out].hex())
//! ```

use kernel::prelude::*;

/// Length of the text, in bytes.
pub(super) const TEXT: usize = 9192;

/// The text.
pub(super) fn text() -> Result<KVec<u8>> {
    let mut text = KVec::with_capacity(TEXT, GFP_KERNEL)?;
    for i in 0..TEXT {
        text.push((i / 64 * 5 + i % 64 * 3) as u8, GFP_KERNEL)?;
    }
    Ok(text)
}

/// The bytes of a stream.
pub(super) fn bytes(hex: &str) -> Result<KVec<u8>> {
    let mut bytes = KVec::new();
    for pair in hex.as_bytes().chunks_exact(2) {
        let digit = |c: u8| (c as char).to_digit(16).ok_or(EINVAL);
        bytes.push((digit(pair[0])? << 4 | digit(pair[1])?) as u8, GFP_KERNEL)?;
    }
    Ok(bytes)
}

/// An LZ4 block of `len` bytes, at least 200, and those bytes: noise, each bit of which is repeated
/// once.
pub(super) fn lz4(len: usize) -> Result<(KVec<u8>, KVec<u8>)> {
    let (mut block, mut plain) = (KVec::new(), KVec::new());
    let mut noise = Noise(1);
    while len - plain.len() >= 128 {
        // 20 bytes as they are, then 30 from 20 bytes before.
        block.extend_from_slice(&[0xff, 5], GFP_KERNEL)?;
        for _ in 0..20 {
            let byte = noise.next() as u8;
            block.push(byte, GFP_KERNEL)?;
            plain.push(byte, GFP_KERNEL)?;
        }
        block.extend_from_slice(&[20, 0, 30 - 4 - 15], GFP_KERNEL)?;
        for _ in 0..30 {
            plain.push(plain[plain.len() - 20], GFP_KERNEL)?;
        }
    }
    let rest = len - plain.len();
    block.extend_from_slice(&[0xf0, (rest - 15) as u8], GFP_KERNEL)?;
    for _ in 0..rest {
        let byte = noise.next() as u8;
        block.push(byte, GFP_KERNEL)?;
        plain.push(byte, GFP_KERNEL)?;
    }
    Ok((block, plain))
}

/// Numbers that look like chance, the same each time.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }
}

pub(super) const LZMA: &str = "\
    a20000ea84e203fb1bb24631bd11dce4c9b6718ad12b1a45779a8fefe2649c90f383fd65cbaa2a17175c8b7138b1\
    174e80e9cdf568646b7d031f0ebc645c1b0063754810cf6af1f3399a2247fb616aba1fa1d997cb0dbcd174ffb4a9\
    5b608a44b26474588b6a78033b49fd7a5cab6b21891dfbcd702277dff79a94776c6f3edcd3373969d2afcd8116c1\
    6d531da40d3bb155963bffdfa7984332a844596c0aac66a6156869d8a7b885afe3c15e602b2b738a6ab51f265d1e\
    2528829d3d24722c9976d0d18e441ae789c7c252e046a9c02c31115d9f1adc0f5eda0fbaea61d0b4448786f5a0b6\
    c16e4f6b1b91f3afcf91e1193d5c022fc15289adaf0c620f0a346017c5b125db623870baf1ef776b97038c8b7752\
    7acd48a7bba923dac69092f2da77427528ed2c3c707306b7b9be5f465705c4ac03dc3e6299438d239a0a9ce569e4\
    da08bc24dc7fc1022e4f2da8bcf1f53b0c272f3e37b65914013f6cccdc51a3d0da992697ce6300";

pub(super) const DEFLATE: &str = "\
    a599654f10001806411415c4c6560c0c0ceceec4c0560c0c0c0cec160303bbbbbbbb3b313030b015bb1b035b319e\
    bdbfc0edfec17dbaed760e4ece09132549ee9e267da62c9e3973e72b50b858c932e52b55ad5eab4efd464d9ab70c\
    68d7a173d71ebdfb0d1c1c3262d4d80993a7cd9c337fd1d215abd76ddcb27dd7de0387e325704d9c2c65ea741933\
    67cbe195377fa1a2254a97ab58c5a766ed7a0dfd9ab568dd36b05397eebdfa0e18347478e898f193a6ce983d6fe1\
    92e5abd66ed8bc6de79efd878e1e77714b9a2255da0c1e59b3e7cae35db048f152652b54ae56c3b76e83c64dfd5b\
    b569df31a85bcf3efd83870c1b397adcc429d367cd5db078d9ca35eb376dddb17bdfc123c74e9e06e861274e9d3d\
    0fd0c3cf9cbb7819a0475cb874f506408fbc72fdd61d807eede6ed7b0f017ad4dd078f9f01f4fb8f9ebe780dd09f\
    3c7ff5f63d407ff9e6ddc7cf003dfac3a7af3f007acc97efbffe00f46f3f7f3b3801f4d8bf71e22500e88e71e3bb\
    b80174130f4037f10074130f4037f10074130f4037f10074130f4037f10074130f4037f10074130f4037f1007413\
    0f4037f10074130f4037f10074130f4037f10074130f4037f10074130f4037f10074130f4037f10074130f4037f1\
    0074130f4037f10074130f4037f10074130f4037f10074130f4037f10074130f4037f1a0789278503c493c289e24\
    1e144f120f8a278907c593c483e249e241f124f1a0789278503c493c289e241e144f120f8a278907c593c483e249\
    e241f124f1a0789278503c493c289e241e144f120f8a278907c593c483e249e241f124f1a0789278503c493c289e\
    241e144f120f8a278907c593c483e249e241f124f1a0789278503c493c289e241e144f120f8a278907c593c483e2\
    49e241f124f1a0789278503c493c289e241e144f120f8a278907c593c483e249e241f124f1a0789278503c493c70\
    df84c17d130ef74d04dc379170df5c83fb260aee9bfb70df3c81fbe625dc37d170dfc4c07df30dee9b58b86f1ce1\
    be7186fbc615ee9ba470dfb8c37d930eee1b0fb86f3ce1bef182fbc61bee9bc270df9480fba62cdc3795e0bef181\
    fbc617ee9bfa70dff8c17de30ff74d00dc378170df04c17dd303ee9bbe70df04c37d1302f74de8ffa2ff03";

pub(super) const ZSTD: &str = "\
    28b52ffd60e8223d0c006410000306090c0f1215181b1e2124272a2d303336393c3f4245484b4e5154575a5d6063\
    66696c6f7275787b7e8184878a8d909396999c9fa2a5a8abaeb1b4b7babd05080b0e1114171a1d202326292c2f32\
    35383b3e4144474a4d505356595c5f6265686b6e7174777a7d808386898c8f9295989b9ea1a4a7aaadb0b3b6b9bc\
    bfc20a0d101316191c1f2225282b2e3134373a3d404346494c4f5255585b5e6164676a6d707376797c7f8285888b\
    8e9194979a9da0a3a6a9acafb2b5b8bbbec1c4c7c0c3c6c9ccc5c8cbced1cacdd0d3d6cfd2d5d8dbd4d7dadde0d9\
    dcdfe2e5dee1e4e7eae3e6e9ecefe8ebeef1f4edf0f3f6f9f2f5f8fbfef7fafd0003fcff0205080104070a0d810b\
    a8d137eeff1bf16bad0112a817fcff3f42307fc118631c638c311e638c318e31c6788c31c638c618633cc618631c\
    638cf118638c718c31c6788c31c638c618e331c618e318638cf118638c718c31c6638c31c631c618e331c618e318\
    638cc718638c638c31eaf99048f881e023e147c20f041f097d200c3f10bebe5a05";
