# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of compressed images: map headers, indexes of lclusters in both forms,
extent records, configurations, whose packed inode is whose, and the streams."""
import hashlib
import os
from pathlib import Path

import images
import mutate
import source
import zimages
from mutate import SUPER, Mutant

COMPRESSED = (1, 3)             # layouts: full indexes or extents, compact indexes
EXTENTS = 1                     # of h_advise, where indexes are full
WORDS = 12                      # of how many indexes, or words of them, from either end

HEADER = [("fragmentoff", 0, 4), ("advise", 4, 2), ("algorithms", 6, 1), ("clusterbits", 7, 1)]
INDEX = [("advise", 0, 2), ("clusterofs", 2, 2), ("u", 4, 4), ("delta1", 6, 2)]


class Parsed(mutate.Parsed):
    def __post_init__(self):
        super().__post_init__()
        for inode in self.inodes.values():
            if inode.layout in COMPRESSED:
                self.compressed(inode)
        self.configs()

    def walk(self):
        # What is in a compressed metabox, only a driver can read.
        if not (self.metabox and self.metabox.layout in COMPRESSED):
            super().walk()

    def prefixes(self):
        """None here."""

    def compressed(self, inode):
        head = (inode.tail + 7) & ~7
        fragment, advise, _, bits = self.get(head, "IHBB")
        self.add("zheader", inode.name, head, HEADER)
        if bits & 0x80:
            return
        first, count = head + 8, -(-inode.size // self.bs)
        if inode.layout == 1 and advise & EXTENTS:
            width = 4 << (advise >> 1 & 3)
            # The position of the first is before records of less than 16 bytes.
            self.words("zextent", inode, first, 8 + min(fragment, WORDS) * width)
        elif inode.layout == 1:
            for n in self.ends(count):
                self.add("zindex", f"{inode.name}[{n}]", first + 8 + n * 8, INDEX)
        else:
            self.words("zindex", inode, first, (count * 4 if count < 16 else count * 2 + 32) & ~3)

    def ends(self, count):
        return sorted({*range(min(WORDS, count)), *range(max(0, count - 3), count)})

    def words(self, group, inode, first, length):
        for n in self.ends(length // 4):
            self.add(group, f"{inode.name}.word[{n}]", first + n * 4, [("lo", 0, 2), ("all", 0, 4)])

    def configs(self):
        at = SUPER + 128 + self.sb["sb_extslots"] * 16
        # Without its flag there are none: the field is the largest distance of LZ4.
        for n in range(4 if self.sb["feature_incompat"] & 2 else 0):
            if self.sb["compression"] >> n & 1:
                length, = self.get(at, "H")
                self.add("zconfig", f"alg{n}", at, [("size", 0, 2), *((f"byte{i}", 2 + i, 1) for i in range(length))])
                at += 2 + length


class Mutator(mutate.Mutator):
    parser = Parsed

    def changes(self, f):
        found = super().changes(f)
        if f.name in ("sb.packed_nid", "sb.metabox_nid"):
            found += [(f"as-{i.name}", (f.offset, i.nid.to_bytes(8, "little")))
                      for i in self.parsed.inodes.values() if i.nid != self.read(f)]
        return found

    def streams(self, count):
        """Bytes behind the metadata: the data, a few at a time."""
        first = min(mutate.SUPER + 4096, len(self.image) // 2)
        for _ in range(count):
            spots = self.rng.sample(range(first, len(self.image)), 6)
            yield self.mutant("stream@" + "-".join(map(str, spots[:2])), "stream",
                              [(o, self.rng.randbytes(2 if o + 1 < len(self.image) else 1)) for o in spots])

    def all(self, counts):
        made = [m for group in GROUPS for m in self.fields(group, counts[group])]
        made += [*self.pairs(counts["pair"]), *self.cuts(counts["cut"]), *self.streams(counts["stream"])]
        return [Mutant(f"{n:03}:{m.name}", m.group, m.size, m.patches) for n, m in enumerate(made)]


GROUPS = ("super", "inode", "zheader", "zindex", "zextent", "zconfig")


def shares_with_others(mutant):
    """Of the packed or the metabox inode: the C driver can wait for itself there."""
    return any(word in mutant.name for word in ("packed", "metabox"))


# --- what is mutated

SEEDS = {
    "z-lz4-legacy": ("-zlz4", "-C8192", "-b1024", "-Elegacy-compress"),
    "z-lz4hc": ("-zlz4hc", "-C16384"),
    "z-lz4-b512-ztail": ("-zlz4", "-C4096", "-b512", "-Eztailpacking"),
    "z-lz4hc-all": ("-zlz4hc", "-C16384", "-Ededupe,fragments,ztailpacking"),
    "z-lzma": ("-zlzma", "-C16384", "-Eztailpacking"),
    "z-deflate": ("-zdeflate", "-C16384", "-Efragments"),
    "z-zstd-48bit": ("-zzstd", "-C16384", "-E48bit"),
    "z-lz4hc-48bit": ("-zlz4hc", "-C16384", "-E48bit,dedupe,fragments"),
    "z-zstd-metabox": ("-zzstd", "-C16384", "-m4096"),
    "z-lz4hc-unpadded": ("-zlz4hc", "-C16384", "-Elegacy-compress"),
}
# By Debian stable's mkfs.erofs, the only one of the two that writes LZ4 data without LZ4_0PADDING.
DEBIAN = ("z-lz4hc-unpadded",)
COUNTS = {"super": 3, "inode": 4, "zheader": 7, "zindex": 9, "zextent": 9, "zconfig": 2, "pair": 2, "cut": 1, "stream": 6}
# For the long run.
MANY = {group: count * 18 for group, count in COUNTS.items()}


def seed_tree(path):
    t = source.Tree(path, big_ids=False, xattrs=False)
    text = zimages.words(t.rng, 30_000)
    t.file("text", content=text)
    t.file("mixed", content=zimages.halves(t.rng, 14_000) + t.rng.randbytes(6000) + text[:5000])
    t.file("shifted", content=b"x" * 77 + text[100:20_000])
    t.file("small", content=text[:700])
    t.file("hole", content=text[:3000] + bytes(40_000) + text[:100])
    t.dir("dir")
    t.file("dir", "tail", content=text[:4096 + 100])
    os.symlink("dir/tail", t.at("short"))
    t.finish()


def seeds():
    """The images, made once."""
    text = "".join(Path(m).read_text() for m in (__file__, source.__file__))
    where = images.CACHE / ("zmutate-" + hashlib.sha256(text.encode()).hexdigest()[:12])

    def fill(path):
        path.mkdir()
        seed_tree(path / "tree")
        for name, args in SEEDS.items():
            maker = zimages.debian_mkfs if name in DEBIAN else images.mkfs
            maker(path / f"{name}.img", args, path / "tree")

    images.once(where, fill)
    return [mutate.Seed(name, where / f"{name}.img", None) for name in SEEDS]
