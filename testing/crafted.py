# SPDX-License-Identifier: GPL-2.0-only
"""Compressed files that mkfs.erofs 1.9.4 never writes: two algorithms in one file, and holes. mkfs.erofs makes an image
of the tree; then each file gets pclusters and indexes of its own, as its plan says. What a file holds stays the same."""
import hashlib
import random
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import images
import mutate
import source
import zmutate

BLOCK = 4096
PLAIN, FIRST, NONHEAD, SECOND = range(4)        # types of lclusters
ALGORITHMS = {"lz4": 0, "deflate": 2}
ZSTD, UNKNOWN = 3, 9            # one that the images do not name, and none at all
HOLE = 1 << 14                  # of a full index
COUNTED = 1 << 11               # of a distance: it is a number of blocks
BOTH_BIG = 2 | 4                # of h_advise
SECOND_HEADS = 8                # of feature_incompat

# An image each: the form of indexes, and the largest pcluster in blocks.
CARRIERS = {
    "full-4K": (("-Elegacy-compress", "-C4096"), 1),
    "full-64K": (("-Elegacy-compress", "-C65536"), 16),
    "compact-4K": (("-C4096",), 1),
    "compact-64K": (("-C65536",), 16),
}


@dataclass(frozen=True)
class Extent:
    kind: int                   # PLAIN, FIRST or SECOND
    data: bytes
    hole: str = ""              # by "flag" or by a "count" of 0 blocks


@dataclass(frozen=True)
class Plan:
    heads: tuple                # the algorithms of first and second heads
    extents: tuple
    claims: tuple = ()          # the same, as the map header lies about it

    @property
    def content(self):
        return b"".join(e.data for e in self.extents)

    def holes(self):
        """(begin, end) of each."""
        found, at = [], 0
        for e in self.extents:
            if e.hole and found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + len(e.data))
            elif e.hole:
                found.append((at, at + len(e.data)))
            at += len(e.data)
        return found


# --- what is in the files

def stammer(rng, size):
    """What each of the algorithms halves at least."""
    out = b""
    while len(out) < size:
        out += rng.randbytes(9) * rng.randrange(2, 8)
    return out[:size]


class Planner:
    def __init__(self, big, full):
        self.rng = random.Random(11)
        self.big, self.full = big, full

    def text(self, kind, end=None):
        """An extent that fits into a pcluster, and ends at a multiple of `end` if there is one."""
        length = self.rng.randrange(30_000, 60_000) if self.big else self.rng.randrange(4800, 6500)
        return Extent(kind, stammer(self.rng, length // end * end if end else length))

    def noise(self):
        length = self.rng.randrange(9000, 40_000) if self.big else self.rng.randrange(4097 - 50, 4097)
        return Extent(PLAIN, self.rng.randbytes(length))

    def hole(self, lclusters, how="flag", kind=FIRST, more=0):
        return Extent(kind, bytes(lclusters * BLOCK + more), how)

    def mixed(self, heads, kinds, rounds=12):
        made = [self.noise() if kind == PLAIN else self.text(kind) for _ in range(rounds) for kind in kinds]
        return Plan(heads, (*made, self.text(FIRST)))

    def plans(self):
        alternating = (FIRST, SECOND)
        found = {
            "one-algorithm": self.mixed(("lz4", "lz4"), alternating),
            "lz4-deflate": self.mixed(("lz4", "deflate"), alternating),
            "deflate-lz4": self.mixed(("deflate", "lz4"), (FIRST, SECOND, SECOND)),
            "only-second": self.mixed(("deflate", "lz4"), (SECOND,)),
            "plain-between": self.mixed(("lz4", "deflate"), (FIRST, PLAIN, SECOND, SECOND, PLAIN, FIRST)),
        }
        if self.full:
            found |= self.holes()
        if self.big:
            found |= self.counted()
        return found

    def holes(self):
        """By flag. Each begins where an lcluster does: of what is before it in one, the C driver makes a hole, too,
        or not, as it comes upon it."""
        first, second = self.text(FIRST, BLOCK), self.text(SECOND, BLOCK)
        heads = ("lz4", "deflate")
        return {
            "hole-middle": Plan(heads, (first, self.hole(5), second, self.text(FIRST))),
            "hole-end": Plan(heads, (first, second, self.hole(40, kind=SECOND, more=77))),
            "hole-begin": Plan(heads, (self.hole(3, more=-1500), self.text(SECOND), self.text(FIRST))),
            "hole-odd-end": Plan(heads, (first, self.hole(4, kind=PLAIN, more=123), self.text(SECOND))),
            "hole-single": Plan(heads, (first, self.hole(1), second, self.hole(1), self.text(FIRST))),
            "hole-hole": Plan(heads, (first, self.hole(2), self.hole(7, kind=SECOND), self.text(SECOND))),
            "hole-long": Plan(heads, (first, self.hole(300), second)),
        }

    def counted(self):
        """By a count: they begin anywhere, and there are at least two lclusters."""
        heads = ("deflate", "lz4")
        return {
            "counted-middle": Plan(heads, (self.text(FIRST), self.hole(9, "count"), self.text(SECOND), self.text(FIRST))),
            "counted-end": Plan(heads, (self.text(FIRST), self.text(SECOND), self.hole(21, "count", SECOND, 5))),
            "counted-begin": Plan(heads, (self.hole(17, "count", PLAIN, 9), self.text(SECOND), self.text(FIRST))),
        }

    def refused(self):
        """Second heads of algorithms that cannot be decoded."""
        heads, some = ("lz4", "deflate"), (self.text(FIRST, BLOCK), self.text(SECOND, BLOCK), self.text(FIRST))
        return {"not-in-the-image": Plan(heads, some, (0, ZSTD)), "unknown": Plan(heads, some, (0, UNKNOWN))}


# --- pclusters

def lz4(data):
    """One block of LZ4, found greedily."""
    out, seen, anchor, at = bytearray(), {}, 0, 0

    def length(n):
        return b"" if n < 15 else b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255])

    # The format has no match that begins in the last 12 bytes, or touches the last 5.
    while at < len(data) - 12:
        key = data[at:at + 4]
        back = at - seen.get(key, -1 << 16)
        seen[key] = at
        if back > 0xFFFF:
            at += 1
            continue
        end = at + 4
        while end < len(data) - 5 and data[end] == data[end - back]:
            end += 1
        literals, more = at - anchor, end - at - 4
        out += bytes([min(literals, 15) << 4 | min(more, 15)]) + length(literals) + data[anchor:at]
        out += struct.pack("<H", back) + length(more)
        anchor = at = end
    literals = len(data) - anchor
    return bytes(out) + bytes([min(literals, 15) << 4]) + length(literals) + data[anchor:]


def deflate(data):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush()


ENCODERS = {"lz4": lz4, "deflate": deflate}


def pcluster(plan, extent):
    """What is stored of an extent: whole blocks, compressed data at their end."""
    if extent.hole:
        return b""
    if extent.kind == PLAIN:
        return extent.data + bytes(-len(extent.data) % BLOCK)
    made = ENCODERS[plan.heads[extent.kind == SECOND]](extent.data)
    if not made[0]:
        raise ValueError("the data begins like what it is padded with")
    return bytes(-len(made) % BLOCK) + made


# --- indexes

@dataclass(frozen=True)
class Lcluster:
    extent: Extent
    start: int                  # block of the extent's pcluster
    blocks: int
    offset: int                 # in the lcluster, of a head
    back: int                   # lclusters to its own head, 0 of a head
    ahead: int                  # and to the next one

    @property
    def counts(self):
        """It is where the number of blocks stands."""
        return self.back == 1 and self.extent.hole != "flag"


def lclusters(plan, start, most):
    """All of a file, and its pclusters, which begin at block `start`."""
    heads, stored, at = [], b"", 0
    for e in plan.extents:
        data = pcluster(plan, e)
        blocks = len(data) // BLOCK
        if blocks > most:
            raise ValueError(f"{len(e.data)} bytes take {blocks} blocks")
        heads.append((at, e, start + len(stored) // BLOCK, blocks))
        stored += data
        at += len(e.data)
    made = []
    for (la, e, block, blocks), (end, *_) in zip(heads, [*heads[1:], (-(-at // BLOCK) * BLOCK,)], strict=True):
        lcn, following = la // BLOCK, end // BLOCK
        needed = 2 if blocks > 1 or e.hole == "count" else 1
        if following - lcn < needed:
            raise ValueError(f"no room for an extent in lcluster {lcn}")
        made += [Lcluster(e, block, blocks, la % BLOCK, n - lcn, following - n) for n in range(lcn, following)]
    return made, stored


def full(found, big):
    out = b""
    for c in found:
        if c.back == 0:
            flag = HOLE if c.extent.hole == "flag" else 0
            out += struct.pack("<HHI", c.extent.kind | flag, c.offset, 0xDEADBEEF if flag else c.start)
        else:
            back = COUNTED | c.blocks if big and c.counts else c.back
            out += struct.pack("<HHHH", NONHEAD, 0, back, c.ahead)
    return out


def packs(base, count, sixteens):
    """How many indexes each pack has, of those at `base` in the image."""
    first = (32 - base % 32) // 4 & 7
    middle = max(count - first, 0) // 16 if sixteens else 0
    first = min(first, count) if middle else 0
    pairs = -(-(count - first - middle * 16) // 2)
    return [2] * (first // 2) + [16] * middle + [2] * pairs


def compact(found, big, base, sixteens):
    out, at = b"", 0
    for size in packs(base, len(found), sixteens):
        pack, width = found[at:at + size], 16 if size == 2 else 14
        at += size
        bits = 0
        for n, c in enumerate(pack):
            if c.back == 0:
                value = c.offset | c.extent.kind << 12
            elif big and c.counts:
                value = COUNTED | c.blocks | NONHEAD << 12
            else:
                value = (c.ahead if n == size - 1 else c.back) | NONHEAD << 12
            bits |= value << n * width
        # The blocks of the pack are those that it has a head, or a number of blocks, of.
        blocks = (c.start for c in pack if c.back == 0 or big and c.counts)
        address = next(blocks, 0) - (not big)
        out += bits.to_bytes(size * width // 8, "little") + struct.pack("<I", address & 0xFFFFFFFF)
    return out


# --- images

def craft(carrier, plans, most):
    """The image with the files of `plans` written anew."""
    parsed = zmutate.Parsed(carrier)
    image = bytearray(carrier) + bytes(-len(carrier) % BLOCK)
    inodes = {i.name: i for i in parsed.inodes.values()}
    for name, plan in plans.items():
        inode = inodes[name]
        if inode.layout not in zmutate.COMPRESSED or inode.size != len(plan.content):
            raise ValueError(f"{name}: not compressed by mkfs.erofs")
        big = most > 1
        found, stored = lclusters(plan, len(image) // BLOCK, most)
        image += stored

        head = (inode.tail + 7) & ~7
        advise, = struct.unpack_from("<H", image, head + 4)
        first, second = plan.claims or (ALGORITHMS[a] for a in plan.heads)
        struct.pack_into("<IHBB", image, head, 0, advise & 1 | BOTH_BIG * big, first | second << 4, 0)
        if inode.layout == 1:
            at, table = head + 16, full(found, big)
        else:
            at, table = head + 8, compact(found, big, head + 8, advise & 1)
        image[at:at + len(table)] = table

    fields = {name: (mutate.SUPER + at, width) for name, at, width in mutate.SB}
    for name, value in (("feature_incompat", parsed.sb["feature_incompat"] | SECOND_HEADS),
                        ("blocks_lo", len(image) // BLOCK)):
        at, width = fields[name]
        image[at:at + width] = value.to_bytes(width, "little")
    at, width = fields["checksum"]
    image[at:at + width] = mutate.checksum(image).to_bytes(width, "little")
    return bytes(image)


def plans(name):
    """The files of an image, by name."""
    if name == "refused":
        return Planner(big=False, full=True).refused()
    _, most = CARRIERS[name]
    return Planner(most > 1, name.startswith("full")).plans()


def made():
    """The directory with images and the trees that they are of, made once: NAME.img and NAME."""
    text = "".join(Path(m).read_text() for m in (__file__, mutate.__file__, source.__file__, zmutate.__file__))

    def fill(path):
        path.mkdir()
        for name in (*CARRIERS, "refused"):
            args, most = CARRIERS.get(name, CARRIERS["full-4K"])
            files = plans(name)
            t = source.Tree(path / name, big_ids=False, xattrs=False)
            for file, plan in files.items():
                t.file(file, content=plan.content)
            t.finish()
            carrier = path / f"{name}.carrier"
            images.mkfs(carrier, ("-zlz4hc:deflate", *args), path / name)
            (path / f"{name}.img").write_bytes(craft(carrier.read_bytes(), files, most))
            carrier.unlink()

    return images.once(images.CACHE / ("crafted-" + hashlib.sha256(text.encode()).hexdigest()[:12]), fill)
