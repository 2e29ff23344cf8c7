# SPDX-License-Identifier: GPL-2.0-only
"""The grid of compressed images: every algorithm with every size of pclusters
and every layout that mkfs.erofs 1.9.4 writes, and which of it is the sample."""
import hashlib
import os
import random
import subprocess
from pathlib import Path

import images
import source
from images import Recipe

ALGORITHMS = {"lz4": "lz4", "lz4hc": "lz4hc,level=9", "lzma": "lzma", "deflate": "deflate", "zstd": "zstd"}
SIZES = {"4K": 4 << 10, "16K": 16 << 10, "64K": 64 << 10, "256K": 256 << 10, "1M": 1 << 20}
LAYOUTS = {
    "default": (),
    "legacy": ("-Elegacy-compress",),
    "ztail": ("-Eztailpacking",),
    "fragments": ("-Efragments",),
    "all-fragments": ("-Eall-fragments",),
    "dedupe": ("-Ededupe",),
    "all": ("-Ededupe,fragments,ztailpacking",),
    "48bit": ("-E48bit",),
    "metabox": ("-m4096",),
    "b512": ("-b512",),
    "b1024": ("-b1024",),
    "b2048": ("-b2048",),
}
BITS = range(256)
# The suffix of the programs that tools/toolbox has from Debian stable.
SUITE = "trixie"


# --- the tree

def words(rng, size):
    """Text that compresses to about a third."""
    some = [bytes(rng.choices(b"etaoin shrdlu", k=rng.randrange(2, 12))) for _ in range(400)]
    out = bytearray()
    while len(out) < size:
        out += rng.choice(some) + b" "
    return bytes(out[:size])


def halves(rng, size):
    """What compresses to a half: a large pcluster takes a lot of it."""
    return b"".join(rng.randbytes(700) + bytes([n & 255]) * 700 for n in range(size // 1400))


def tree(path):
    """1.6 MB of stored data: text, noise, holes, the same at shifted offsets, and many tiny files."""
    t = source.Tree(path, big_ids=False)
    rng = t.rng
    for n in (1, 300, 4095, 4096, 4097, 20_000):
        t.file(f"text-{n}", content=words(rng, n))
    for n in (1, 511, 4096, 9000, 70_001):
        t.file(f"noise-{n}", content=rng.randbytes(n))
    text, mixed = words(rng, 260_000), halves(rng, 150_000)
    t.file("text", content=text)
    t.file("large", content=halves(rng, 1_000_000))
    t.file("mixed", content=mixed + text[:50_000] + rng.randbytes(30_000) + text[100_000:150_000])
    t.file("shifted-777", content=rng.randbytes(777) + mixed[1234:] + text[3:40_000])
    t.file("shifted-4097", content=text[4097:130_000] + mixed[:70_000])
    t.file("twin", content=text)
    t.file("zeros", size=0)
    os.truncate(t.at("zeros"), 700_000)
    t.file("sparse", size=0)
    with open(t.at("sparse"), "r+b") as f:
        for at in (100_000, 290_001):
            f.seek(at)
            f.write(text[at % 7:9000])
        f.truncate(400_000)
    t.file("noise-and-tail", content=rng.randbytes(40_000) + b"tail " * 40)
    t.dir("tiny")
    for n in range(40):
        t.file("tiny", f"{n:02}", content=text[n * 37:n * 37 + n * 25])
    t.dir("listed")
    for n in range(120):
        t.file("listed", f"a-name-that-is-like-the-others-{n:04}", content=b"")
    t.finish()


def material():
    text = Path(__file__).read_text()
    text = text[text.index("# --- the tree"):text.index("# --- the grid")] + Path(source.__file__).read_text()
    path = images.CACHE / f"source-z-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return images.once(path, tree)


# --- the grid

def recipe(name, *args):
    return Recipe(f"z-{name}", args, str(material()))


def cell(algorithm, size, layout):
    name = "-".join((algorithm, size, *([layout] if layout != "default" else [])))
    return recipe(name, f"-z{ALGORITHMS[algorithm]}", f"-C{SIZES[size]}", *LAYOUTS[layout])


def zbits(n):
    """The eight features that --zfeature-bits turns on or off."""
    return recipe(f"bits-{n:03}", "-zlz4hc,level=9", "-C16384", f"--zfeature-bits={n}")


def hints(path):
    path.write_text("65536 text\n4096 large\n")


def further():
    """What is not of the product."""
    h = images.once(images.CACHE / f"hints-{images.hashed(hints)}", hints)
    return [
        recipe("lz4hc-64K-directories", "-zlz4hc", "-C65536", "--zD"),
        recipe("lz4-4K-directories-b512", "-zlz4", "-C4096", "-b512", "--zD", "-Eztailpacking"),
        recipe("zstd-64K-48bit-all", "-zzstd", "-C65536", "-E48bit,dedupe,fragments,ztailpacking"),
        recipe("lz4-4K-48bit-legacy-b512", "-zlz4", "-C4096", "-b512", "-E48bit,legacy-compress"),
        recipe("lz4hc-64K-metabox-lzma", "-zlz4hc", "-C65536", "-m65536:lzma", "-Eall-fragments"),
        recipe("lz4hc-64K-short-extents", "-zlz4hc", "-C65536", "--max-extent-bytes=12288"),
        recipe("lz4hc-16K-hints", "-zlz4hc", "-C16384", f"--compress-hints={h}"),
        recipe("three-algorithms", "-zlz4hc:zstd:deflate", "-C16384", "-Efragments"),
    ]


def product():
    return [(a, s, layout) for layout in LAYOUTS for a in ALGORITHMS for s in SIZES]


def grid():
    """Everything: 564 images."""
    return [cell(*c) for c in product()] + further() + [zbits(n) for n in BITS]


def sample():
    """Each algorithm, size and layout with some of the others."""
    algorithms, sizes = list(ALGORITHMS), list(SIZES)
    some = [cell(algorithms[(n + 2 * k) % 5], sizes[(n * 3 + k) % 5], layout)
            for n, layout in enumerate(LAYOUTS) for k in range(2)]
    return some + further() + [zbits(n) for n in range(7, 256, 36)]


def debian_mkfs(out, args, tree):
    """By Debian stable's own mkfs.erofs, 1.8.6."""
    cmd = [f"mkfs.erofs-{SUITE}", "--quiet", images.UUID, f"-T{source.TIME}", "--mkfs-time", "--preserve-mtime", *args,
           str(out), str(tree)]
    subprocess.run(cmd, check=True, capture_output=True)


def pressed():
    """One file that is larger than the memory of a small guest: its image and its source."""
    def fill(path):
        path.mkdir()
        (path / "file").write_bytes(halves(random.Random(3), 96 << 20))

    src = images.once(images.CACHE / f"pressed-{images.hashed(pressed)}", fill)
    return images.make(Recipe("z-pressed", ("-zlz4hc", "-C65536"), str(src))).path, src / "file"
