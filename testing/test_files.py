# SPDX-License-Identifier: GPL-2.0-only
"""What a mount stands on. Images that are mounted as files: what is asked of the filesystem below, what its name is shown as, and readers that are
killed while they read."""
import functools
import hashlib
import random
import re
import shutil
import subprocess
import tempfile

import pytest

import images
import lab
import zimages
from images import Recipe


def _source(path):
    """400 small files, a large one, and a directory of many names."""
    path.mkdir()
    rng = random.Random(8)
    (path / "many").mkdir()
    for n in range(400):
        (path / "many" / f"{n:03}-{'x' * (n % 60)}").write_bytes(zimages.words(rng, rng.randrange(200, 6000)))
    (path / "names").mkdir()
    for n in range(1500):
        (path / "names" / f"{n:04}-{zimages.words(rng, 40).decode().replace(' ', '-')}").touch()
    (path / "large").write_bytes(zimages.words(rng, 3_000_000))


def source():
    return images.once(images.CACHE / f"source-files-{images.hashed(_source)}", _source)


KINDS = {
    "plain": (),
    "lz4": ("-zlz4",),
    "fragments": ("-zlz4hc", "-C65536", "-Efragments,dedupe,ztailpacking"),
    "directories": ("-zlz4hc", "-C65536", "--zD"),
    "metabox": ("-zlz4hc", "-C65536", "-m65536", "-Eall-fragments"),
}


def disk():
    """An ext4 filesystem that has the images, each called by its kind."""
    recipes = {kind: Recipe(f"files-{kind}", args, str(source())) for kind, args in KINDS.items()}

    def fill(path):
        with tempfile.TemporaryDirectory(dir=path.parent) as tree:
            for kind, recipe in recipes.items():
                shutil.copy(images.make(recipe).path, f"{tree}/{kind}")
            subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", tree, path, "64M"], check=True)

    text = "".join(r.key() for r in recipes.values()) + images.hashed(fill)
    return images.once(images.CACHE / f"files-{hashlib.sha256(text.encode()).hexdigest()[:12]}.ext4", fill)


BELOW = """
mkdir -p /mnt/below
modprobe -a dm-mod dm-delay
modprobe -q ext4 || grep -qw ext4 /proc/filesystems
"""

EVENTS = BELOW + """
mount -t ext4 -o ro /dev/vdb /mnt/below
for kind; do
	section $kind python3 -S testing/guest/events.py /mnt/below/$kind erofs $peer
done
"""


@functools.cache
def events(bed):
    return lab.Batch(lab.snippet(bed, EVENTS, *KINDS, options=("--disk", disk()), timeout=300))


STEPS = ("mount", "list", "drop", "list-again", "cat", "small", "umount")


@pytest.mark.parametrize("kind", KINDS)
@lab.each_bed("file-events")
def test_asks_no_more_than_c(bed, kind):
    """Metadata has a page cache, and requests for data are as large as the C driver's."""
    told = events(bed).check(kind)
    counts = {key: int(n) for *key, n in (line.split() for line in told.splitlines()[:-1]) for key in [tuple(key)]}
    assert set(counts) == {(fs, step) for fs in ("erofs", lab.PEER) for step in STEPS}, told
    assert all(counts["erofs", step] for step in ("mount", "list", "cat")), told
    assert all(counts[lab.PEER, step] <= counts["erofs", step] for step in STEPS), told


@lab.each_bed("file-events")
def test_events_leave_no_trace(bed):
    events(bed).run.check()


JOINED = BELOW + """
mount -t ext4 -o ro /dev/vdb /mnt/below
python3 -S testing/guest/joined.py $peer /mnt/below/directories $b "$1"
cat /sys/fs/$peer/0:*/stats
umount $b /mnt/below
"""


@pytest.mark.parametrize("bed", lab.BEDS)
def test_joined_a_killed_reader(bed):
    """What it read for another one is read, nevertheless, and nothing fails."""
    out = lab.snippet(bed, JOINED, source(), options=("--disk", disk())).check().out
    assert re.findall(r"^(directory|read|mapped) (.*)$", out, re.M) == [(k, "right") for k in ("directory", "read", "mapped")]
    assert re.search(r"^failed 0$", out, re.M), out


KILLED = BELOW + """
dmsetup create -r slow --noudevsync --table "0 $(blockdev --getsz /dev/vdb) delay /dev/vdb 0 5"
mount -t ext4 -o ro /dev/$(dmsetup info -c --noheadings -o blkdevname slow) /mnt/below
mount -i -t $peer -o ro /mnt/below/fragments $b
sysfs=/sys/fs/$peer/$(mountpoint -d $b)
python3 -S testing/guest/killed.py /mnt/below/fragments $b "$1" "$2" $sysfs/drop_caches
cat $sysfs/stats
umount $b /mnt/below
"""


@pytest.mark.parametrize("bed", lab.BEDS)
def test_killed_readers(bed):
    """500 of them; who reads the same data beside them gets it."""
    run = lab.snippet(bed, KILLED, source(), 167, options=("--disk", disk()), timeout=600, cpus=2).check()
    found = {name: int(n) for name, n in re.findall(r"^(\w+) (\d+)$", run.out, re.M)}
    # Few may have been done before.
    assert 490 < found["killed"] <= 501 and found["done"] > 100 and found["inflight"], run.out
    assert found["failed"] == 0, run.out


KILLED_MOUNT = """
modprobe -a dm-mod dm-delay
sectors=$(blockdev --getsz /dev/vdb)
dmsetup create -r slow --noudevsync <<END
0 8 linear /dev/vdb 0
8 $((sectors - 8)) delay /dev/vdb 8 500
END
dev=/dev/$(dmsetup info -c --noheadings -o blkdevname slow)
python3 -S testing/guest/killed_mount.py $peer $dev $b 50
"""


@pytest.mark.parametrize("bed", lab.BEDS)
def test_killed_mount(bed):
    """It claims the device until what it reads of an inode of its own is read. (The C driver does not.)"""
    metabox = images.make({r.name: r for r in images.grid()}["metabox"]).path
    out = lab.snippet(bed, KILLED_MOUNT, options=("--disk", metabox)).check().out
    found = {name: int(n) for name, n in re.findall(r"^(\w+) (\d+)$", out, re.M)}
    # Some may have ended by themselves where a guest is slow.
    assert found["gone"] == 0 and found["kept"] >= 25 and found["killed"] >= 25, out
