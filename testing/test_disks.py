# SPDX-License-Identifier: GPL-2.0-only
"""Disks that fail while there is load: what is read is right, or EIO; and right again when the disk is."""
import functools
import random
import re
import subprocess

import pytest

import images
import lab
import zimages

IMAGES = {"compressed": zimages.cell("lz4hc", "64K", "all"), "plain": zimages.recipe("plain")}


@functools.cache
def batch(bed):
    args, disks = [], []
    for (name, recipe), letter in zip(IMAGES.items(), "bc", strict=True):
        args += [name, zimages.material(), f"/dev/vd{letter}"]
        disks += ["--disk", images.make(recipe).path]
    return lab.Batch(lab.script(bed, "disks.sh", *args, options=disks, timeout=900, cpus=2))


def each(test):
    return lab.each_bed("disks")(pytest.mark.parametrize("image", IMAGES)(test))


@each
def test_flaky_disk(bed, image):
    text = batch(bed).check(f"{image}/flaky")
    totals = [(int(right), int(failed)) for right, failed in re.findall(r"^read (\d+) failed (\d+)$", text, re.M)]
    assert len(totals) == 4 and all(right for right, _ in totals) and any(failed for _, failed in totals), totals
    after = re.findall(r"^\S+ (right|EIO.*)$", text, re.M)
    assert len(after) > 20 and set(after) == {"right"}, text


@each
def test_lost_parts(bed, image):
    """The same files fail as with the C driver, and at the same place."""
    found, of_c = batch(bed).check(f"{image}/parts").split("of C\n")
    found, of_c = (re.findall(r"^(\S+) (right|EIO.*)$", text, re.M) for text in (found, of_c))
    assert {what.partition(" ")[0] for _, what in found} == {"right", "EIO"}, found
    assert found == of_c


@each
def test_unmounted_while_failing(bed, image):
    batch(bed).check(f"{image}/leave")


@lab.each_bed("disks")
def test_leaves_no_trace(bed):
    batch(bed).run.check()


def _apart(path):
    """A file whose middle is another one's: what is read of it lies in three places."""
    path.mkdir()
    rng = random.Random(5)
    shared = zimages.words(rng, 100_000)
    (path / "another").write_bytes(shared)
    (path / "file").write_bytes(zimages.words(rng, 30_000) + shared[20_000:70_000] + zimages.words(rng, 30_000))


def apart():
    """The image, its source, and the extents of the file: begin and end, there and on the disk."""
    source = images.once(images.CACHE / f"source-apart-{images.hashed(_apart)}", _apart)
    image = images.make(images.Recipe("apart", ("-zlz4hc", "-C4096", "-Ededupe"), str(source))).path
    shown = subprocess.run(["dump.erofs", "-e", "--path=/file", image], check=True, capture_output=True, text=True).stdout
    extents = re.findall(r"^ *\d+: *(\d+)\.\. *(\d+) \| *\d+ : *(\d+)\.\. *(\d+) \|", shown, re.M)
    return image, source / "file", [tuple(map(int, e)) for e in extents]


LOST = """
modprobe dm-mod
size=$(blockdev --getsz /dev/vdb) at=$1
dmsetup create -r --noudevsync lost <<END
0 $at linear /dev/vdb 0
$at 8 error
$((at + 8)) $((size - at - 8)) linear /dev/vdb $((at + 8))
END
mount -i -t $peer -o ro /dev/$(dmsetup info -c --noheadings -o blkdevname lost) $b
python3 -ISc "$2" $b/file
umount $b
dmsetup remove --noudevsync --retry lost
"""
# By one readahead; then which pages are there, once the last one is.
AHEAD = """
import ctypes, os, sys, time
file = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(file).st_size
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
at = libc.mmap(None, size, 1, 1, file, 0)
there = ctypes.create_string_buffer(-(-size // 4096))
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
for n in range(100):
    if libc.mincore(at, size, there):
        sys.exit(os.strerror(ctypes.get_errno()))
    if there.raw[-1] & 1:
        break
    time.sleep(0.1)
for n, byte in enumerate(there.raw):
    try:
        print(byte & 1, os.pread(file, 4096, n * 4096).hex())
    except OSError as e:
        print(byte & 1, e.errno)
"""


@pytest.mark.parametrize("bed", lab.BEDS)
def test_lost_block_costs_no_more_than_it_must(bed):
    """Of a readahead that reads in several places, what lies elsewhere is there."""
    image, source, extents = apart()
    begin = extents[0][2]
    found = lab.snippet(bed, LOST, begin // 512, AHEAD, options=("--disk", image)).check().out.splitlines()
    content = source.read_bytes()
    assert len(found) == -(-len(content) // 4096)
    # What may be read in one go with the lost block, and what surely fails.
    run = next(n for n, (a, b) in enumerate(zip(extents, extents[1:], strict=False)) if a[3] != b[2])
    lost, elsewhere = extents[0][1] // 4096, -(-extents[run][1] // 4096)
    assert lost >= 1 and len(found) - elsewhere >= 15, extents
    for n, line in enumerate(found):
        there, _, text = line.partition(" ")
        if n < lost:
            assert line == "0 5"
        elif n >= elsewhere:
            assert there == "1", (n, found, extents)
        if text != "5":
            assert bytes.fromhex(text) == content[n * 4096:(n + 1) * 4096]
