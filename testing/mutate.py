# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of small images: one or two fields of the on-disk structures changed,
or the end cut off. The same seed gives the same mutants."""
import hashlib
import os
import random
import struct
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path

import images
import source

SUPER = 1024
CSUM_SEED = 0x5045B54A          # crc32c of the magic and of a zero checksum
METABOX_NID = 1 << 63
DT_DIR, DT_LNK = 2, 7           # file types of directory entries

Field = namedtuple("Field", "group name offset width")
Place = namedtuple("Place", "base offset")  # base: None on the device, or the inode whose data it is


@dataclass(frozen=True)
class Mutant:
    name: str
    group: str
    size: int                   # what is left of the image, in bytes
    patches: tuple              # (offset, bytes) each

    def line(self):
        """As `treecmp hostile` reads it."""
        return f"{self.name}\t{self.size}\t" + ",".join(f"{o}:{b.hex()}" for o, b in self.patches)

    def apply(self, image):
        image = bytearray(image)
        for off, new in self.patches:
            image[off:off + len(new)] = new
        return bytes(image[:self.size])


def _crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


CRC = _crc_table()


def crc32c(crc, data):
    for b in data:
        crc = CRC[(crc ^ b) & 0xFF] ^ crc >> 8
    return crc


def checksum(image):
    """What the superblock's checksum should be."""
    block = 1 << min(image[SUPER + 12], 12)
    length = block - SUPER if block > SUPER else block
    return crc32c(CSUM_SEED, image[SUPER + 8:SUPER + length])


# --- where the structures are

SB = [("magic", 0, 4), ("checksum", 4, 4), ("feature_compat", 8, 4), ("blkszbits", 12, 1), ("sb_extslots", 13, 1),
      ("rootnid", 14, 2), ("inos", 16, 8), ("epoch", 24, 8), ("fixed_nsec", 32, 4), ("blocks_lo", 36, 4),
      ("meta_blkaddr", 40, 4), ("xattr_blkaddr", 44, 4), ("feature_incompat", 80, 4), ("compression", 84, 2),
      ("extra_devices", 86, 2), ("devt_slotoff", 88, 2), ("dirblkbits", 90, 1), ("xattr_prefix_count", 91, 1),
      ("xattr_prefix_start", 92, 4), ("packed_nid", 96, 8), ("xattr_filter_reserved", 104, 1),
      ("ishare_xattr_prefix_id", 105, 1), ("build_time", 108, 4), ("rootnid_8b", 112, 8), ("metabox_nid", 128, 8)]
COMPACT = [("format", 0, 2), ("xattr_icount", 2, 2), ("mode", 4, 2), ("nb", 6, 2), ("size", 8, 4), ("mtime", 12, 4),
           ("u", 16, 4), ("ino", 20, 4), ("uid", 24, 2), ("gid", 26, 2), ("reserved", 28, 4)]
EXTENDED = [("format", 0, 2), ("xattr_icount", 2, 2), ("mode", 4, 2), ("nb", 6, 2), ("size", 8, 8), ("u", 16, 4),
            ("ino", 20, 4), ("uid", 24, 4), ("gid", 28, 4), ("mtime", 32, 8), ("mtime_nsec", 40, 4), ("nlink", 44, 4)]
SLOT = [("tag", 0, 1), ("blocks_lo", 64, 4), ("uniaddr_lo", 68, 4), ("blocks_hi", 72, 2), ("uniaddr_hi", 74, 2)]


@dataclass
class Inode:
    nid: int
    name: str
    offset: int
    record: int                 # length of the record
    xattr: int                  # length of the xattr area
    layout: int
    size: int
    u: int
    start: int                  # first block, of a flat one

    @property
    def tail(self):
        return self.offset + self.record + self.xattr


@dataclass
class Parsed:
    """The fields of an image, found by reading it as a driver would."""
    data: bytes
    fields: list = field(default_factory=list)
    inodes: dict = field(default_factory=dict)

    def __post_init__(self):
        sb = {name: int.from_bytes(self.data[SUPER + off:SUPER + off + width], "little") for name, off, width in SB}
        self.sb, self.bs = sb, 1 << sb["blkszbits"]
        self.metabox = self.inode(sb["metabox_nid"], "metabox") if sb["feature_incompat"] & 0x100 else None
        # Without its flag the field is not there.
        self.add("super", "sb", SUPER, [f for f in SB if f[0] != "metabox_nid" or self.metabox])
        self.packed = self.inode(sb["packed_nid"], "packed") if sb["packed_nid"] else None
        self.walk()
        self.prefixes()
        for n in range(sb["extra_devices"] if sb["feature_incompat"] & 8 else 0):
            self.add("device", f"slot{n}", (sb["devt_slotoff"] + n) * 128, SLOT)

    def add(self, group, name, base, layout):
        self.fields += [Field(group, f"{name}.{f}", base + off, width) for f, off, width in layout]

    def get(self, off, form):
        return struct.unpack_from("<" + form, self.data, off)

    def position(self, inode, pos):
        """Where byte `pos` of a flat file is on the device."""
        whole = inode.size // self.bs * self.bs
        if inode.layout == 2 and pos >= whole:
            return inode.tail + pos - whole
        return inode.start * self.bs + pos

    def content(self, inode):
        return b"".join(self.data[self.position(inode, p):][:min(self.bs, inode.size - p)]
                        for p in range(0, inode.size, self.bs))

    def inode(self, nid, name):
        pos = (nid & ~METABOX_NID) * 32
        offset = self.position(self.metabox, pos) if nid & METABOX_NID else self.sb["meta_blkaddr"] * self.bs + pos
        fmt, icount, mode, nb = self.get(offset, "4H")
        size, = self.get(offset + 8, "Q" if fmt & 1 else "I")
        u, = self.get(offset + 16, "I")
        # A compact inode has its link count there, unless it says that it has none.
        high = self.sb["feature_incompat"] & 0x80 and (fmt & 1 or fmt & 0x10 and mode >> 12 != 4)
        found = Inode(nid, name, offset, 64 if fmt & 1 else 32, 12 + (icount - 1) * 4 if icount else 0,
                      fmt >> 1 & 7, size, u, u | nb << 32 if high else u)
        self.inodes[nid] = found
        self.add("inode", name, offset, EXTENDED if fmt & 1 else COMPACT)
        self.xattrs(found)
        if found.layout == 4:
            self.chunks(found)
        return found

    def walk(self):
        root = self.sb["rootnid_8b"] if self.sb["feature_incompat"] & 0x80 else 0
        todo = [self.inode(root or self.sb["rootnid"], "root")]
        for top in todo:
            for nid, name, kind in self.entries(top):
                if nid not in self.inodes and name not in (b".", b".."):
                    inode = self.inode(nid, name.decode("ascii", "replace")[:16])
                    if kind == DT_DIR:
                        todo.append(inode)
                    elif kind == DT_LNK:
                        at = self.position(inode, 0)
                        self.fields.append(Field("symlink", f"{inode.name}.target", at, 1))

    def entries(self, top):
        """The entries of a directory; their fields on the way."""
        for pos in range(0, top.size, self.bs):
            base = self.position(top, pos)
            length = min(self.bs, top.size - pos)
            count = self.get(base + 8, "H")[0] // 12
            heads = [self.get(base + n * 12, "QHB") for n in range(count)]
            ends = [h[1] for h in heads[1:]] + [length]
            for n, ((nid, start, kind), end) in enumerate(zip(heads, ends, strict=True)):
                name = f"{top.name}[{pos // self.bs}:{n}]"
                self.add("dirent", name, base + n * 12, [("nid", 0, 8), ("nameoff", 8, 2), ("type", 10, 1)])
                self.add("dirent", name, base + start, [("name", 0, 1)])
                yield nid, self.data[base + start:base + end].rstrip(b"\0"), kind

    def xattrs(self, inode):
        if not inode.xattr:
            return
        base = inode.offset + inode.record
        shared = self.data[base + 4]
        self.add("xattr", inode.name, base, [("filter", 0, 4), ("shared_count", 4, 1), ("reserved", 5, 1)])
        for n in range(shared):
            self.add("xattr", inode.name, base + 12 + n * 4, [(f"shared[{n}]", 0, 4)])
            ident, = self.get(base + 12 + n * 4, "I")
            self.entry(f"shared{ident}", self.sb["xattr_blkaddr"] * self.bs + ident * 4)
        at = base + 12 + shared * 4
        for n in range(4):
            if at + 4 > base + inode.xattr or self.get(at, "I") == (0,):
                break
            at = self.entry(f"{inode.name}.x{n}", at)

    def entry(self, name, at):
        length, _, value = self.get(at, "BBH")
        self.add("xattr", name, at, [("name_len", 0, 1), ("index", 1, 1), ("value_size", 2, 2), ("name", 4, 1),
                                     ("value", 4 + length, min(4, value))][:4 + bool(value)])
        return (at + 4 + length + value + 3) & ~3

    def chunks(self, inode):
        self.add("chunk", inode.name, inode.offset + 16, [("format", 0, 2)])
        fmt = inode.u & 0xFFFF
        count = -(-inode.size // (self.bs << (fmt & 31)))
        at = (inode.tail + 7) & ~7 if fmt & 0x20 else inode.tail
        for n in range(min(count, 4)):
            if fmt & 0x20:
                self.add("chunk", f"{inode.name}[{n}]", at + n * 8, [("hi", 0, 2), ("device", 2, 2), ("lo", 4, 4)])
            else:
                self.add("chunk", f"{inode.name}[{n}]", at + n * 4, [("block", 0, 4)])

    def prefixes(self):
        """The table is on the device, or in the metabox's or the packed inode's data."""
        pos = self.sb["xattr_prefix_start"] * 4
        inode = None if self.sb["feature_compat"] & 0x10 else self.metabox or self.packed
        for n in range(self.sb["xattr_prefix_count"]):
            at = self.position(inode, pos) if inode else pos
            length, = self.get(at, "H")
            self.add("prefix", f"prefix{n}", at, [("size", 0, 2), ("base", 2, 1), ("infix", 3, 1)])
            pos += (2 + length + 3) & ~3


# --- what becomes of them

DULL = (".uid", ".gid", ".mtime", ".mtime_nsec", ".ino", ".reserved", ".build_time", ".epoch", ".inos", ".nlink")


def values(rng, name, old, width, others):
    """What a field may turn into; `others` are values of the same width elsewhere."""
    top = (1 << width * 8) - 1
    if name.endswith(DULL):
        yield from [("max", top), ("sign", top // 2 + 1)]
        return
    if name.endswith(".mode"):
        yield from ((f"type{t}", old & 0xFFF | t << 12) for t in (0, 1, 2, 4, 6, 8, 10, 12))
    if name.endswith(".format"):
        yield from ((f"{n:#x}", n) for n in range(1 << 5))
    bit = 1 << rng.randrange(width * 8)
    small = rng.randrange(256)
    yield from [("0", 0), ("1", 1), ("max", top), ("sign", top // 2 + 1), ("half", top // 2), ("+1", old + 1 & top),
                ("-1", old - 1 & top), (f"^{bit:#x}", old ^ bit), (f"small{small}", small & top)]
    n = rng.randrange(top + 1)
    yield f"random{n:#x}", n
    for other, value in rng.sample(others, min(2, len(others))):
        yield f"as-{other}", value


class Mutator:
    parser = Parsed

    def __init__(self, image, seed):
        self.image = Path(image).read_bytes()
        self.parsed = self.parser(self.image)
        self.rng = random.Random(seed)
        self.has_checksum = self.parsed.sb["feature_compat"] & 1
        if self.has_checksum and self.parsed.sb["checksum"] != checksum(self.image):
            raise ValueError("the checksum of the image is not what it is thought to be")

    def read(self, f):
        return int.from_bytes(self.image[f.offset:f.offset + f.width], "little")

    def changes(self, f):
        others = [(o.name, self.read(o)) for o in self.parsed.fields
                  if o.width == f.width and o.group == f.group and o.offset != f.offset]
        if f.name.endswith(".nid"):
            others = [(i.name, i.nid) for i in self.parsed.inodes.values()]
        old = self.read(f)
        return [(how, (f.offset, new.to_bytes(f.width, "little")))
                for how, new in values(self.rng, f.name, old, f.width, others) if new != old]

    def mutant(self, name, group, patches, size=None):
        size = len(self.image) if size is None else size
        new = bytearray(Mutant("", "", len(self.image), tuple(patches)).apply(self.image))
        named = any(off <= SUPER + 4 < off + len(b) for off, b in patches)
        if not named and any(off < SUPER + 4096 for off, _ in patches) and self.has_checksum:
            patches = [*patches, (SUPER + 4, checksum(new).to_bytes(4, "little"))]
        return Mutant(name, group, size, tuple(patches))

    def fields(self, group, count):
        """`count` changes of one field each, spread over all fields."""
        fields = [f for f in self.parsed.fields if f.group == group]
        pool = [(f, c) for f in fields for c in self.changes(f)]
        for f, (how, patch) in self.rng.sample(pool, min(count, len(pool))):
            yield self.mutant(f"{f.name}={how}", group, [patch])

    def pairs(self, count):
        for _ in range(count):
            two = self.rng.sample(self.parsed.fields, 2)
            (a, x), (b, y) = (self.rng.choice(self.changes(f)) for f in two)
            yield self.mutant(f"{two[0].name}={a}+{two[1].name}={b}", "pair", [x, y])

    def cuts(self, count):
        # A block device ends at a sector.
        ends = {n * 512 for n in range(len(self.image) // 512)}
        for n in self.rng.sample(sorted(ends), min(count, len(ends))):
            yield self.mutant(f"cut@{n}", "cut", [], n)

    def noise(self, count):
        """Bytes anywhere, a few at a time."""
        for _ in range(count):
            spots = self.rng.sample(range(SUPER, len(self.image)), 4)
            yield self.mutant("noise@" + "-".join(map(str, spots)), "noise",
                              [(o, self.rng.randbytes(1)) for o in spots])

    def all(self, counts):
        made = [m for group, n in counts.items() if group in GROUPS for m in self.fields(group, n)]
        made += [*self.pairs(counts["pair"]), *self.cuts(counts["cut"]), *self.noise(counts["noise"])]
        return [Mutant(f"{n:03}:{m.name}", m.group, m.size, m.patches) for n, m in enumerate(made)]


GROUPS = ("super", "inode", "dirent", "symlink", "chunk", "xattr", "prefix", "device")


# --- what is mutated

PREFIXES = ("--xattr-prefix=trusted.overlay.", "--xattr-prefix=user.n")
SEEDS = {
    "default": (),
    "b512": ("-b512",),
    "b1024-noinline": ("-b1024", "-E^inline_data"),
    "extended": ("-Eforce-inode-extended", "-x0"),
    "48bit": ("-b512", "-E48bit,dot-omitted"),
    "blockmap": ("-b1024", "--chunksize=2048", "-Eforce-inode-blockmap"),
    "indexes": ("-b512", "--chunksize=1024", "-Eforce-chunk-indexes"),
    "blob": ("-b1024", "--chunksize=4096"),
    "flat": ("-b1024", "--chunksize=4096"),
    "prefix": ("-b512", "-Eplain-xattr-prefixes", *PREFIXES),
    "prefix-packed": PREFIXES,
    "metabox": ("-b512", "-m512", *PREFIXES),
}
COUNTS = {"super": 40, "inode": 52, "dirent": 20, "symlink": 4, "chunk": 20, "xattr": 20, "prefix": 14, "device": 14,
          "pair": 12, "cut": 6, "noise": 8}


def seed_tree(path):
    """One of each kind, and as little as there can be: each is asked about in
    each mutant."""
    t = source.Tree(path, big_ids=False)
    t.file("inline", content=b"inline data " * 8)
    t.file("tail", size=4096 + 100)
    t.file("blocks", size=8192)
    with open(t.file("hole", size=3000), "r+b") as f:
        f.truncate(20_000)
    t.dir("dir")
    for n in range(40):
        os.link(t.at("inline"), t.at("dir", f"name-{n:02}-{'x' * (n % 20)}"))
    os.symlink("dir/name", t.at("short"))
    os.symlink("long/" * 120, t.at("long"))
    os.mkfifo(t.at("fifo"), 0o600)
    os.mknod(t.at("null"), 0o020640, os.makedev(1, 3))
    for name in ("x1", "x2"):
        path = t.file(name, content=name.encode())
        for key, value in (("user.shared", b"the same in both"), ("trusted.overlay.opaque", b"y"),
                           (f"user.n{name}", b"own"), ("system.posix_acl_access", source.ACL)):
            os.setxattr(path, key, value)
    t.finish()


@dataclass(frozen=True)
class Seed:
    name: str
    image: Path
    device: Path | None


def seeds():
    """The images, made once."""
    text = Path(__file__).read_text() + Path(source.__file__).read_text()
    where = images.CACHE / ("mutate-" + hashlib.sha256(text.encode()).hexdigest()[:12])

    def fill(path):
        path.mkdir()
        seed_tree(path / "tree")
        for name, args in SEEDS.items():
            image, blob = path / f"{name}.img", path / f"{name}.blob"
            if name in ("blob", "flat"):
                images.mkfs(image, [*args, f"--blobdev={blob}"], path / "tree")
                os.truncate(blob, -(-blob.stat().st_size // 4096) * 4096)
            else:
                images.mkfs(image, args, path / "tree")
            if name == "flat":
                images.flatten(image, [blob], path / "flattened")
                (path / "flattened").rename(image)
                blob.unlink()

    images.once(where, fill)
    for name in SEEDS:
        blob = where / f"{name}.blob"
        yield Seed(name, where / f"{name}.img", blob if blob.exists() else None)
