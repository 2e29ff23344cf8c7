# SPDX-License-Identifier: GPL-2.0-only
"""Images of Debian's own mkfs.erofs, 1.8.6. With `legacy-compress` it writes LZ4 data without LZ4_0PADDING, of which
the C driver refuses what does not fill its blocks. So the tree that an image was made from tells what is right here."""
import functools
import hashlib
import itertools
import re
import struct

import pytest

import images
import lab
import zimages

LZ4_0PADDING = 1
LEGACY = {
    f"{algorithm}-{size >> 10}K-legacy": (f"-z{algorithm}", f"-C{size}", "-Elegacy-compress")
    for algorithm, size in itertools.product(("lz4", "lz4hc"), (4 << 10, 64 << 10))
} | {
    "lz4-4K-legacy-b512": ("-zlz4", "-C4096", "-b512", "-Elegacy-compress"),
    "lz4hc-4K-legacy-ztail": ("-zlz4hc", "-C4096", "-Elegacy-compress,ztailpacking"),
    "lz4hc-16K-legacy-fragments": ("-zlz4hc", "-C16384", "-Elegacy-compress,fragments"),
    "lz4hc-64K-legacy-all": ("-zlz4hc", "-C65536", "-Elegacy-compress,dedupe,fragments,ztailpacking"),
}
# The same program, and data that ends at a block's end.
PADDED = {
    "lz4-4K": ("-zlz4", "-C4096"),
    "lz4hc-64K": ("-zlz4hc", "-C65536"),
    "lz4hc-64K-all": ("-zlz4hc", "-C65536", "-Ededupe,fragments,ztailpacking"),
}
IMAGES = LEGACY | PADDED


def image(name):
    args, tree = IMAGES[name], zimages.material()
    key = hashlib.sha256(repr((args, tree.name, images.hashed(zimages.debian_mkfs))).encode()).hexdigest()[:16]
    return images.once(images.CACHE / f"{zimages.SUITE}-{name}-{key}.img", lambda p: zimages.debian_mkfs(p, args, tree))


# Four of them are legacy images, two of these without LZ4_0PADDING.
SYZKALLER = {path.stem: path for path in sorted((lab.SHARED / "testdata" / "syzkaller").glob("*.erofs"))}


@functools.cache
def batch(bed):
    made = [(name, image(name), zimages.material()) for name in IMAGES]
    found = [(name, path, f"fsck.erofs-{zimages.SUITE}") for name, path in SYZKALLER.items()]
    return lab.Batch(lab.script(bed, "writers.sh", *itertools.chain(*made, *found), timeout=900))


@pytest.mark.parametrize("name", IMAGES)
def test_padding(name):
    """The images are what they are called."""
    with open(image(name), "rb") as f:
        f.seek(1024 + 80)
        incompat, = struct.unpack("<I", f.read(4))
    assert incompat & LZ4_0PADDING == (0 if name in LEGACY else LZ4_0PADDING)


def judge(bed, name, how, least):
    said = batch(bed).check(f"{name}/{how}")
    assert re.search(r"^mismatches 0$", said, re.M)
    assert int(re.search(r"^files (\d+)$", said, re.M)[1]) >= least


@pytest.mark.parametrize("how", ["whole", "parts"])
@pytest.mark.parametrize("name", IMAGES)
@lab.each_bed("writers")
def test_as_the_source(bed, name, how):
    judge(bed, name, how, 150)


@pytest.mark.skipif(not SYZKALLER, reason="the third-party images are not there")
@pytest.mark.parametrize("how", ["whole", "parts"])
@pytest.mark.parametrize("name", SYZKALLER)
@lab.each_bed("writers")
def test_as_extracted(bed, name, how):
    judge(bed, name, how, 5)


@lab.each_bed("writers")
def test_leaves_no_trace(bed):
    batch(bed).run.check()
