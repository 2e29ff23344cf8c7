# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of small images, by structure: what is changed is a field of the
superblock, of an inode, of a dirent, of an xattr, of a chunk index or of a
device slot; what it becomes is a value that hurts. The checksum is made right
again, so that the damage is reached. The same seed gives the same mutants."""
import random
import struct
from dataclasses import dataclass

SB = 1024
# name, offset, width
SUPERBLOCK = [
    ("magic", 0, 4), ("feature_compat", 8, 4), ("blkszbits", 12, 1), ("sb_extslots", 13, 1), ("rootnid", 14, 2),
    ("inos", 16, 8), ("epoch", 24, 8), ("fixed_nsec", 32, 4), ("blocks", 36, 4), ("meta_blkaddr", 40, 4),
    ("xattr_blkaddr", 44, 4), ("volume_name", 64, 8), ("feature_incompat", 80, 4), ("algs", 84, 2),
    ("extra_devices", 86, 2), ("devt_slotoff", 88, 2), ("dirblkbits", 90, 1), ("xattr_prefix_count", 91, 1),
    ("xattr_prefix_start", 92, 4), ("packed_nid", 96, 8), ("xattr_filter_reserved", 104, 1),
    ("ishare_prefix", 105, 1), ("build_time", 108, 4), ("rootnid_8b", 112, 8), ("reserved", 120, 8),
]
METABOX_NID = ("metabox_nid", 128, 8)
COMPACT = [("format", 0, 2), ("xattr_icount", 2, 2), ("mode", 4, 2), ("nb", 6, 2), ("size", 8, 4), ("u", 16, 4),
           ("ino", 20, 4), ("uid", 24, 2)]
EXTENDED = [("format", 0, 2), ("xattr_icount", 2, 2), ("mode", 4, 2), ("nb", 6, 2), ("size", 8, 8), ("u", 16, 4),
            ("ino", 20, 4), ("mtime", 32, 8), ("nsec", 40, 4), ("nlink", 44, 4)]
XATTR_HEADER = [("filter", 0, 4), ("shared_count", 4, 1), ("reserved", 5, 4)]
DIRENT = [("nid", 0, 8), ("nameoff", 8, 2), ("type", 10, 1), ("reserved", 11, 1)]
CHUNK = [("hi", 0, 2), ("device", 2, 2), ("lo", 4, 4)]
DEVICE = [("tag", 0, 8), ("blocks", 64, 4), ("uniaddr", 68, 4), ("hi", 72, 4)]

CRC = []
for _i in range(256):
    for _ in range(8):
        _i = _i >> 1 ^ (0x82F63B78 if _i & 1 else 0)
    CRC.append(_i)


def crc32c(data, crc):
    for byte in data:
        crc = crc >> 8 ^ CRC[(crc ^ byte) & 0xFF]
    return crc


@dataclass(frozen=True)
class Field:
    name: str
    off: int
    width: int


class Layout:
    """Where the structures of an image are."""

    def __init__(self, image):
        self.image = image
        self.fields = []
        self.bs = 1 << image[SB + 12]
        self.meta = self.u32(SB + 40) * self.bs
        self.seen = set()
        self.add("sb", SB, SUPERBLOCK)
        incompat = self.u32(SB + 80)
        if incompat & 0x100:
            self.add("sb", SB, [METABOX_NID])
            # What is inside the metabox has addresses of its own: by the byte.
            for off in range(self.bs, min(len(image), 3 * self.bs), 13):
                self.fields.append(Field("metabox byte", off, 1))
            return
        if incompat & 0x8:
            for i in range(self.u16(SB + 86)):
                self.add(f"device{i}", (self.u16(SB + 88) + i) * 128, DEVICE)
        if incompat & 0x40:
            start = self.u32(SB + 92) * 4
            self.fields += [Field("prefix", start + i, 1) for i in range(0, 24)]
        root = self.u64(SB + 112) if incompat & 0x80 else 0
        self.inode(root or self.u16(SB + 14), "/")

    def u16(self, off):
        return struct.unpack_from("<H", self.image, off)[0]

    def u32(self, off):
        return struct.unpack_from("<I", self.image, off)[0]

    def u64(self, off):
        return struct.unpack_from("<Q", self.image, off)[0]

    def add(self, name, base, fields):
        self.fields += [Field(f"{name}.{n}", base + o, w) for n, o, w in fields if base + o + w <= len(self.image)]

    def inode(self, nid, name):
        off = self.meta + nid * 32
        if nid in self.seen or off + 64 > len(self.image):
            return
        self.seen.add(nid)
        form = self.u16(off)
        extended, layout = form & 1, form >> 1 & 7
        self.add(name, off, EXTENDED if extended else COMPACT)
        size = self.u64(off + 8) if extended else self.u32(off + 8)
        at = off + (64 if extended else 32)
        if count := self.u16(off + 2):
            self.xattrs(name, at, 12 + (count - 1) * 4)
            at += 12 + (count - 1) * 4
        if layout == 4:
            self.add(f"{name} chunk", (at + 7) // 8 * 8, CHUNK)
        if self.u16(off + 4) & 0o170000 == 0o040000 and layout in (0, 2):
            self.directory(name, off, at, size, layout)

    def xattrs(self, name, at, size):
        self.add(f"{name} xattr", at, XATTR_HEADER)
        end, shared = at + size, self.image[at + 4]
        for i in range(min(shared, 4)):
            self.fields.append(Field(f"{name} shared id", at + 12 + 4 * i, 4))
        at += 12 + 4 * shared
        while at + 4 <= end:
            self.fields += [Field(f"{name} xattr e_name_len", at, 1), Field(f"{name} xattr e_index", at + 1, 1),
                            Field(f"{name} xattr e_value_size", at + 2, 2), Field(f"{name} xattr byte", at + 4, 1)]
            at += (4 + self.image[at] + self.u16(at + 2) + 3) // 4 * 4

    def directory(self, name, off, inline, size, layout):
        start = self.u32(off + 16) * self.bs
        done = 0
        while done < size:
            tail = layout == 2 and size - done <= size % self.bs
            block = inline if tail else start + done
            first = self.u16(block + 8)
            for i in range(first // 12):
                self.add(f"{name} dirent{i}", block + i * 12, DIRENT)
                self.fields.append(Field(f"{name} name", block + self.u16(block + i * 12 + 8), 1))
                nid = self.u64(block + i * 12)
                if nid < 1 << 32:
                    self.inode(nid, f"{name}{nid}")
            done += self.bs


def values(rng, field, old, layout):
    """What a field may become."""
    top = 1 << 8 * field.width
    other = rng.choice(layout.fields)
    taken = int.from_bytes(layout.image[other.off:other.off + other.width], "little")
    return [0, 1, top - 1, top >> 1, (top >> 1) - 1, old + 1, old - 1, old ^ 1 << rng.randrange(8 * field.width),
            taken, rng.randrange(top), layout.bs, layout.bs - 1, len(layout.image) // layout.bs]


def checksum(image):
    bs = 1 << min(image[SB + 12], 16)
    if image[SB + 8] & 1:
        length = bs - SB if bs > SB else bs
        crc = crc32c(image[SB + 8:SB + length], 0x5045B54A)
        struct.pack_into("<I", image, SB + 4, crc)


def patches(old, new):
    """Runs of bytes that changed, as OFFSET:HEX."""
    out, i = [], 0
    while i < len(old):
        if old[i] != new[i]:
            j = i
            while j < len(old) and old[j] != new[j]:
                j += 1
            out.append(f"{i}:{bytes(new[i:j]).hex()}")
            i = j
        i += 1
    return ",".join(out)


def mutants(image, count, seed):
    """COUNT distinct lines `ID SIZE PATCHES` of what `treecmp hostile` reads."""
    rng = random.Random(seed)
    layout = Layout(image)
    found = {}
    # Each field in turn, so that none is left out; then pairs of fields.
    order = []
    while len(found) < count:
        if not order:
            order = layout.fields[:]
            rng.shuffle(order)
        new, size = bytearray(image), len(image)
        if rng.random() < 0.05:
            size = rng.choice([rng.randrange(len(image)), rng.randrange(len(image)) // layout.bs * layout.bs, 1024, 512, 0])
            name = f"truncated-{size}"
        else:
            picked = [order.pop()] + ([rng.choice(layout.fields)] if rng.random() < 0.25 else [])
            for field in picked:
                old = int.from_bytes(new[field.off:field.off + field.width], "little")
                value = rng.choice(values(rng, field, old, layout)) % (1 << 8 * field.width)
                new[field.off:field.off + field.width] = value.to_bytes(field.width, "little")
            name = "+".join(f"{f.name}@{f.off}".replace(" ", "_") for f in picked)
            if rng.random() < 0.97:
                checksum(new)
        text = f"{size}\t{patches(image, new)}"
        if new != image or size != len(image):
            found.setdefault(text, f"{len(found)}:{name}")
    return [f"{name}\t{text}" for text, name in found.items()]
