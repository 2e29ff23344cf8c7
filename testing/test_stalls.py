# SPDX-License-Identifier: GPL-2.0-only
"""What a task that waits for a read is seen to wait for: the device, and memory that it had and lost. On a disk
that takes its time, so that waiting is all there is."""
import functools
import random
import re

import pytest

import images
import lab
import zimages

DELAY = 0.3
SLOW = """
modprobe -a dm-mod dm-delay
dmsetup create -r --noudevsync slow <<END
0 $(blockdev --getsz /dev/vdb) delay /dev/vdb 0 $1
END
dev=/dev/$(dmsetup info -c --noheadings -o blkdevname slow)
down() { umount $b && dmsetup remove --noudevsync --retry slow; }
"""
WAIT = SLOW + """
echo 1 >/proc/sys/kernel/task_delayacct
for fs in erofs $peer; do
	mount -i -t $fs -o ro $dev $b
	for way in read fault; do
		section $fs-$way python3 -ISc "$2" $b/large $way
	done
	umount $b
done
"""
# One page, by readahead of no more than that or by none; how long that took, and how much of it was for block I/O
# (delayacct_blkio_ticks). What the page before it had read of the metadata is not read again.
ONE_PAGE = """
import mmap, os, sys, time
path, way = sys.argv[1:]
file = os.open(path, os.O_RDONLY)
pages = os.fstat(file).st_size // 4096
def ticks():
    with open("/proc/self/stat") as f:
        return int(f.read().rpartition(")")[2].split()[39])
if way == "read":
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    touch = lambda page: os.pread(file, 1, page * 4096)
    at = pages // 2
else:
    mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    touch = lambda page: mapped[page * 4096]
    at = pages // 4
touch(at + 64)
begin, before = time.monotonic(), ticks()
touch(at)
print("took", time.monotonic() - begin, "blocked", (ticks() - before) / os.sysconf("SC_CLK_TCK"))
"""


@functools.cache
def waits(bed):
    image = images.make(zimages.cell("lz4hc", "64K", "all")).path
    return lab.Batch(lab.snippet(bed, WAIT, int(DELAY * 1000), ONE_PAGE, options=("--disk", image)))


@lab.each_bed("waits")
@pytest.mark.parametrize("way", ["read", "fault"])
@pytest.mark.parametrize("fs", ["erofs", lab.PEER])
def test_waits_for_io(bed, way, fs):
    """A task that waits for compressed data waits for block I/O: iowait, delays and cpufreq follow from that."""
    took, blocked = map(float, re.search(r"took (\S+) blocked (\S+)", waits(bed).check(f"{fs}-{way}")).groups())
    assert took >= DELAY, "it was there already"
    assert blocked >= DELAY * 0.9, (took, blocked)


@lab.each_bed("waits")
def test_waits_leave_no_trace(bed):
    waits(bed).run.check()


def _evicted(path):
    """A file larger than the memory of who reads it."""
    path.mkdir()
    (path / "file").write_bytes(zimages.halves(random.Random(7), SIZE))


SIZE, LIMIT, PER_READ, READS = 6 << 20, 4 << 20, 20, 400
STALL = SLOW + """
mkdir -p /run/cgroup && mount -t cgroup2 none /run/cgroup && echo +memory >/run/cgroup/cgroup.subtree_control
# The pages that come back are counted by the classic lists of reclaim.
[ ! -e /sys/kernel/mm/lru_gen/enabled ] || echo n >/sys/kernel/mm/lru_gen/enabled
for fs in erofs $peer; do
	mkdir /run/cgroup/$fs && echo $3 >/run/cgroup/$fs/memory.max
	mount -i -t $fs -o ro,cache_strategy=disabled $dev $b
	section $fs python3 -ISc "$2" $b/file /run/cgroup/$fs $4
	umount $b
done
"""
# Reads pages here and there, each twice, in the cgroup; what the program itself is made of was there before.
THRASH = """
import os, random, re, sys, time
path, group, reads = sys.argv[1:]
file, rng = os.open(path, os.O_RDONLY), random.Random(9)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
pages = os.fstat(file).st_size // 4096
def said(name):
    with open(group + "/" + name) as f:
        return f.read()
def total():
    return int(re.search("some.* total=([0-9]+)", said("memory.pressure"))[1]) / 1e6
with open(group + "/cgroup.procs", "w") as f:
    f.write(str(os.getpid()))
begin, before = time.monotonic(), total()
for n in range(int(reads)):
    a, b = rng.randrange(pages), rng.randrange(pages)
    for at in (a, b, a, b):
        os.pread(file, 1, at * 4096)
print("took", time.monotonic() - begin, "stalled", total() - before)
print(*(line for line in said("memory.stat").splitlines() if re.match("workingset_.*_file", line)), sep="\\n")
"""


@functools.cache
def stalls(bed):
    tree = images.once(images.CACHE / f"source-evicted-{images.hashed(_evicted)}", _evicted)
    image = images.make(images.Recipe("evicted", ("-zlz4hc", "-C65536"), str(tree))).path
    return lab.Batch(lab.snippet(bed, STALL, PER_READ, THRASH, LIMIT, READS, options=("--disk", image)))


@lab.each_bed("stalls")
def test_stalls_for_memory(bed):
    """What is read again for want of memory is told to be: as much of it as by the C driver, and no more."""
    told = {}
    for fs in dict.fromkeys(("erofs", lab.PEER)):
        text = stalls(bed).check(fs)
        stalled = float(re.search(r"stalled (\S+)", text)[1])
        restored = int(re.search(r"workingset_restore_file (\d+)", text)[1])
        assert restored >= 50 and stalled >= 0.05, text
        told[fs] = stalled / restored
    assert told["erofs"] / 3 <= told[lab.PEER] <= told["erofs"] * 3, told


@lab.each_bed("stalls")
def test_stalls_leave_no_trace(bed):
    stalls(bed).run.check()
