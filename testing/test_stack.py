# SPDX-License-Identifier: GPL-2.0-only
"""How deep the kernel stack gets where reads nest: a file's data is in the packed inode, its map in the metabox, that
one's data in the packed inode, and all of it in a file on another filesystem. Beside the C driver, and within a budget."""
import functools
import hashlib
import re
import struct
import subprocess
from pathlib import Path

import pytest

import images
import lab
import mutate
import zimages
import zmutate

# A boot of ten minutes and more on stock, and not all of it holds yet: see Documentation/compression.md, 3.
pytestmark = pytest.mark.full

BUDGET = 8 << 10                # of 16 KiB, in bytes
STACK = 16 << 10
BLOCK = 4096
EXTENTS, BY_16, PACKED = 1, 2 << 1, 1 << 63     # of the map header
REGULAR, FULL = 0o100644, 1 << 1                # of an inode: its mode, and its layout with the bit for 64 bytes
MOST = 1 << 20                                  # of a pcluster

ALL = ("-zlz4", "-C16384", "-Ededupe,fragments,ztailpacking")
DEEP = ("-zlz4hc", "-C65536", "-m4096", "-Eall-fragments,dedupe")


def content(image, nid):
    return subprocess.run(["dump.erofs", f"--nid={nid}", "--cat", image], check=True, capture_output=True).stdout


def inode(size, header):
    head = struct.pack("<4HQ4IQ2I16x", 1 | FULL, 0, REGULAR, 0, size, 1, 99, 0, 0, 0, 0, 1)
    return head + header


def nested(carrier):
    """The image with its metabox as a fragment of another packed inode, which has what was in the old one, too: then a
    look-up in the metabox is a read within a read within a read."""
    parsed = zmutate.Parsed(carrier.read_bytes())
    image = bytearray(carrier.read_bytes())
    image += bytes(-len(image) % BLOCK)
    at = {f.name: f.offset for f in parsed.fields}
    packed, metabox = (content(carrier, parsed.sb[name]) for name in ("packed_nid", "metabox_nid"))
    packed += bytes(-len(packed) % BLOCK)
    where, data = len(packed), packed + metabox + bytes(-len(metabox) % BLOCK)
    records = [(min(MOST, len(data) - la), len(image) + la, la) for la in range(0, len(data), MOST)]
    image += data
    text = struct.pack("<IHH", len(records), EXTENTS | BY_16, 0)
    text += bytes(-len(text) % 16) + b"".join(struct.pack("<4I", n, pa, 0, la) for n, pa, la in records)
    inodes = {"packed_nid": inode(len(data), text), "metabox_nid": inode(len(metabox), struct.pack("<Q", PACKED | where))}
    for name, made in inodes.items():
        nid = (len(image) - parsed.sb["meta_blkaddr"] * BLOCK) // 32
        struct.pack_into("<Q", image, at[f"sb.{name}"], nid)
        image += made + bytes(-len(made) % BLOCK)
    struct.pack_into("<I", image, mutate.SUPER + 36, len(image) // BLOCK)
    struct.pack_into("<I", image, mutate.SUPER + 4, mutate.checksum(image))
    return bytes(image)


def on_xfs(path, names):
    """An xfs with the images, as mkfs.xfs makes it of a list."""
    listed = path.with_suffix(".list")
    files = "".join(f"{name} ---644 0 0 {image}\n" for name, image in names.items())
    listed.write_text(f"/\n0 0\nd--755 0 0\n{files}$\n")
    with open(path, "wb") as f:
        f.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-p", listed, path], check=True)
    listed.unlink()


@functools.cache
def disks():
    """Images of the grid's tree, and an xfs that has them as files."""
    text = Path(__file__).read_text() + Path(zmutate.__file__).read_text() + str(zimages.material())
    where = images.CACHE / f"stack-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def fill(path):
        path.mkdir()
        images.mkfs(path / "all", ALL, zimages.material())
        images.mkfs(path / "deep", DEEP, zimages.material())
        (path / "nested").write_bytes(nested(path / "deep"))
        on_xfs(path / "xfs", {name: path / name for name in ("all", "deep", "nested")})

    images.once(where, fill)
    return [where / name for name in ("all", "deep", "nested", "xfs")]


# Of the grid's tree: of one extent and of many, with tails and fragments, and in the packed inode as a whole.
FILES = ("text", "mixed", "shifted-777", "noise-and-tail", "text-20000", "noise-9000", "tiny/07", "tiny/31")
# On what, and which image.
MOUNTS = ("device-all", "device-deep", "device-nested", "xfs-deep", "xfs-nested", "overlay-all", "overlay-nested")
CASES = [f"{mount}-{way}" for mount in MOUNTS for way in ("read", "faults")]
MEASURE = """
how=$1 drivers=$2
shift 2
mkdir -p /mnt/x /mnt/lower /mnt/empty
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || [ -e /sys/kernel/tracing/trace ]
modprobe -a xfs overlay 2>/dev/null || grep -q xfs /proc/filesystems
mount -t xfs -o ro,norecovery /dev/vde /mnt/x
measure() {
	mounted=$1 driver=$2 top=$3
	shift 3
	for way in read faults; do
		section $mounted-$way-$driver python3 -IS testing/guest/stack.py $how $driver $top $way "$@"
	done
}
for driver in $drivers; do
	for case in all:vdb deep:vdc nested:vdd; do
		mount -r -t $driver /dev/${case#*:} $b
		measure device-${case%:*} $driver $b "$@"
		umount $b
	done
	for case in all deep nested; do
		mount -r -t $driver /mnt/x/$case /mnt/lower
		[ $case = all ] || measure xfs-$case $driver /mnt/lower "$@"
		mount -t overlay -o lowerdir=/mnt/lower:/mnt/empty overlay $b
		[ $case = deep ] || measure overlay-$case $driver $b "$@"
		umount $b /mnt/lower
	done
done
"""


@functools.cache
def batch(bed):
    """System calls do not begin at an address by chance here."""
    options = [word for disk in disks() for word in ("--disk", disk)] + ["--append", "randomize_kstack_offset=off"]
    # Of the kernel with KASAN only the most of all tasks is told.
    how = {"stock": ("tracer", f"erofs {lab.PEER}"), "uml-debug": ("usage", lab.PEER)}[bed]
    return lab.Batch(lab.snippet(bed, MEASURE, *how, *FILES, options=options, timeout=1500))


@lab.shared_boot("stack-stock")
@pytest.mark.parametrize("case", CASES)
def test_traced(case):
    """At most what the C driver takes, and within the budget."""
    deepest = {}
    for driver in ("erofs", lab.PEER):
        text = batch("stock").check(f"{case}-{driver}")
        found, measured, files = map(int, re.search(r"^deepest (\d+) measured (\d+) files (\d+)$", text, re.M).groups())
        assert measured > files // 2 and files == len(FILES), text
        # The trace is the driver's, down to where a file is read for it.
        assert f"[{driver}]" in text and re.search(r"ksys_read|handle_mm_fault|do_sys_openat2", text), text
        deepest[driver] = found, text
    (c, c_text), (ours, text) = deepest["erofs"], deepest[lab.PEER]
    assert ours <= c, f"{ours} to {c}\n{text}\n{c_text}"
    assert ours <= BUDGET, text


@lab.shared_boot("stack-uml-debug")
@pytest.mark.parametrize("case", CASES)
def test_used(case):
    """With frames of KASAN and lockdep, which are larger, a fourth of the stack is never touched by any task."""
    text = batch("uml-debug").check(f"{case}-{lab.PEER}")
    left, files = map(int, re.search(r"^left (\d+) files (\d+)$", text, re.M).groups())
    assert files == len(FILES) and STACK // 4 <= left < STACK, text


@lab.each_bed("stack")
def test_leaves_no_trace(bed):
    batch(bed).run.check()
