# SPDX-License-Identifier: GPL-2.0-only
"""Compressed files of which a small read wants very much: more memory than there is, more parts than a list
takes, or data where no file can be. Their extent records are written here; the rest is mkfs.erofs's."""
import errno
import functools
import hashlib
import re
import struct
from pathlib import Path

import pytest

import images
import lab
import mutate
import source
import zmutate

BLOCK = 4096
EXTENTS, BY_16, FRAGMENT = 1, 2 << 1, 1 << 5    # of h_advise
REGULAR, FULL = 0o100644, 1 << 1                # of an inode: its mode, and its layout with the bit for 64 bytes
PCLUSTERS = 4096                                # a page of which each byte has a pcluster of its own
PCLUSTER = 1 << 20
PARTS = 128 << 10                               # bytes that all have the same one


TEXT = b"words, and more of them\n" * 1000


def files():
    """Size, advise and records (plen, position, place in the file) of each."""
    return {
        "far": (100, FRAGMENT, [(0xFFFFF000, 0xFFFFFFFF, 0)]),
        "memory": (PCLUSTERS, 0, [(PCLUSTER, n * BLOCK, n) for n in range(PCLUSTERS)]),
        "parts": (PARTS, 0, [(BLOCK, BLOCK, n) for n in range(PARTS)]),
    }


def inode(size, advise, records):
    """It and what belongs to it, as it stands on the device."""
    head = struct.pack("<4HQ4IQ2I16x", 1 | FULL, 0, REGULAR, 0, size, 1, 99, 0, 0, 0, 0, 1)
    head += struct.pack("<IHH", len(records), EXTENTS | BY_16 | advise, 0)
    head += bytes(-len(head) % 16)
    return head + b"".join(struct.pack("<4I", plen, pa & 0xFFFFFFFF, pa >> 32, la) for plen, pa, la in records)


def flood(carrier):
    """The image with the files written anew, behind it."""
    parsed = zmutate.Parsed(carrier)
    image = bytearray(carrier) + bytes(PCLUSTERS * BLOCK + PCLUSTER - len(carrier))
    at = {f.name: f.offset for f in parsed.fields}
    root = next(i for i in parsed.inodes.values() if i.name == "root")
    names = [name.decode() for _, name, _ in parsed.entries(root)]
    for name, what in files().items():
        made = inode(*what)
        nid = (len(image) - parsed.sb["meta_blkaddr"] * BLOCK) // 32
        struct.pack_into("<Q", image, at[f"root[0:{names.index(name)}].nid"], nid)
        image += made + bytes(-len(made) % BLOCK)
    struct.pack_into("<I", image, mutate.SUPER + 36, len(image) // BLOCK)
    struct.pack_into("<I", image, mutate.SUPER + 4, mutate.checksum(image))
    return bytes(image)


@functools.cache
def made():
    text = "".join(m.read_text() for m in map(Path, (__file__, mutate.__file__, source.__file__, zmutate.__file__)))

    def fill(path):
        tree = source.Tree(path.with_suffix(".tree"), big_ids=False, xattrs=False)
        for name in files():
            tree.file(name, content=b"to be replaced")
        tree.file("text", content=TEXT)
        tree.finish()
        images.mkfs(path, ("-zlz4", "-E48bit,fragments"), path.with_suffix(".tree"))
        path.write_bytes(flood(path.read_bytes()))

    return images.once(images.CACHE / f"floods-{hashlib.sha256(text.encode()).hexdigest()[:12]}.img", fill)


READ = """
[ $peer = erofs ] || insmod "$1"
mount_one $peer $b "" "$2"
for file in $4; do
	section $file timeout 300 python3 -ISc "$3" $b/$file
done
section text md5sum <$b/text
"""
TWICE = """
import hashlib, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(2):
    try:
        print(0, hashlib.sha256(os.pread(file, 1 << 20, 0)).hexdigest())
    except OSError as e:
        print(e.errno)
"""


@functools.cache
def batch(bed):
    """In a guest with less memory than the image wants."""
    module = lab.scratch(f"floods-{bed}.ko")
    lab.strip(bed, module)
    run = lab.snippet(bed, READ, module, made(), TWICE, " ".join(files()), fs="erofs", options=("--mem", "256M"), timeout=900)
    return lab.Batch(run)


def wanted():
    image = made().read_bytes()
    return {"memory": bytes(image[n * BLOCK] for n in range(PCLUSTERS)), "parts": image[BLOCK:BLOCK + 1] * PARTS}


@pytest.mark.parametrize("name", files())
@lab.each_bed("floods")
def test_flood(bed, name):
    """All bytes, or an error, and again; no complaint of the kernel."""
    text = batch(bed).check(name)
    answers = re.findall(r"^(\d+)(?: (\w+))?$", text, re.M)
    if name == "far":
        assert answers == [(str(errno.EUCLEAN), "")] * 2
    else:
        assert answers == [("0", hashlib.sha256(wanted()[name]).hexdigest())] * 2


@lab.each_bed("floods")
def test_leaves_no_trace(bed):
    assert hashlib.md5(TEXT).hexdigest() in batch(bed).check("text")
    batch(bed).run.check()
