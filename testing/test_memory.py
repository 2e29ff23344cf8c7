# SPDX-License-Identifier: GPL-2.0-only
"""The memory of compressed data that is kept: charged to who reads it, and reclaimed before page cache that is
in use. Beside the C driver, which keeps it in a page cache, on Debian's kernel."""
import functools
import json
import random
import re

import pytest

import images
import lab
import zimages

MIB = 1 << 20
DRIVERS = ("erofs", "erofs_rs")
# One pcluster of 64 KiB holds 128 KiB of this: half of each page is noise.
STRIDE = 128 << 10


def half_noise(path, size):
    noise = random.Random(size)
    with open(path, "wb") as f:
        for _ in range(size // STRIDE):
            f.write(b"".join(noise.randbytes(2000) + bytes(2096) for _ in range(STRIDE // 4096)))


def _one(path, size):
    tree = path.with_suffix(".tree")
    tree.mkdir(exist_ok=True)
    half_noise(tree / "big", size)
    images.mkfs(path, ["-zlz4hc,1", "-C65536"], tree)


def _small(path):
    tree = path.with_suffix(".tree")
    tree.mkdir(exist_ok=True)
    half_noise(tree / "hot", 24 * MIB)
    half_noise(tree / "cold", MIB)
    images.mkfs(path, ["-zlz4hc,1", "-C65536"], tree)


def big(size):
    name = f"memory-{size // MIB}M-{images.hashed(half_noise)}-{images.hashed(_one)}.img"
    return images.once(images.CACHE / name, lambda p: _one(p, size))


def small():
    name = f"memory-small-{images.hashed(half_noise)}-{images.hashed(_small)}.img"
    return images.once(images.CACHE / name, _small)


@functools.cache
def measured(fs, what, image, *args, mem="1G", timeout=1500):
    run = lab.vm("stock", lab.GUEST / "memory.py", what, fs, "/dev/vdb", *args, fs=fs, timeout=timeout,
                 options=("--disk", image, "--mem", mem)).check()
    found = json.loads(run.out.strip().splitlines()[-1])
    print(fs, found)
    return found


@pytest.mark.parametrize("size", [256 * MIB, pytest.param(2048 * MIB, marks=pytest.mark.full)])
def test_charged_to_the_reader(size):
    """A reader in a cgroup of 64 MiB takes a page of each pcluster of an image that is larger: it lives, its charge is
    what is kept for it, and nothing else grows."""
    c, ours = (measured(fs, "cgroup", big(size), 64 * MIB) for fs in DRIVERS)
    for found in (c, ours):
        assert found["status"] == 0 and found["oom_kill"] == 0, found
        assert found["pclusters"] > size // STRIDE * 9 // 10 and found["charged"] <= 64 * MIB
    # The C driver's are page cache, ours are the kernel's.
    assert c["file"] > 32 * MIB
    assert ours["reclaimable"] > 24 * MIB, ours
    assert ours["reclaimable"] <= ours["kernel"] + MIB, ours
    assert ours["used"] - ours["charged"] <= 4 * MIB, ours


def test_reclaimed_before_hot_page_cache():
    """Of 200 mounts that were read a little, what is kept goes before page cache that is in use."""
    c, ours = (measured(fs, "pressure", small(), 200, mem="640M") for fs in DRIVERS)
    assert c["reclaimed"] > 0
    assert ours["kept"] > 64 * MIB, ours
    assert ours["left"] < ours["kept"] // 2, ours
    assert ours["refaults"] <= 1.1 * c["refaults"] + 64, (c, ours)


def test_not_from_the_reserves():
    """No page that the driver can do without may come from the reserves, which a reader has that was killed for want
    of memory."""
    flags = measured("erofs_rs", "flags", big(256 * MIB), 16 * STRIDE)["flags"]
    optional = {f: n for f, n in flags.items() if "__GFP_DIRECT_RECLAIM" not in f and "GFP_KERNEL" not in f and "GFP_NOIO" not in f}
    assert sum(optional.values()) > 100, flags
    assert all("__GFP_NOMEMALLOC" in f for f in optional), flags


GOING = """
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || mountpoint -q /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
for n in $(seq 6); do
	[ -d /sys/module/$peer ] || insmod "$1"
	mount_one $peer $b "" "$2"
	[ "$(head -c 70000 $b/large | wc -c)" = 70000 ]
	want=$(head -c 70000 $b/large | md5sum)
	for limit in max 6M 4M; do
		group=/sys/fs/cgroup/g$n-$limit
		mkdir $group
		echo $limit >$group/memory.max
		for reader in 1 2; do
			sh -c "echo \\$\\$ >$group/cgroup.procs; for f in $b/large $b/text $b/mixed; do
				for at in 0 7 30 90 200; do dd if=\\$f of=/dev/null bs=4096 skip=\\$at count=1 2>/dev/null; done; done" &
		done
		[ $limit != 6M ] || echo 2 >/proc/sys/vm/drop_caches
		wait
		[ $limit != max ] || awk '/^KRec/ { k = $2 } /^SRec/ { print "kept", k - $2 }' /proc/meminfo
		rmdir $group
	done
	[ $((n % 3)) = 0 ] || echo $((1 + n % 3)) >/proc/sys/vm/drop_caches
	[ "$(head -c 70000 $b/large | md5sum)" = "$want" ]
	umount $b
	losetup -D
	[ $((n % 2)) = 0 ] || rmmod $peer
	echo gone
done
"""


def test_cgroups_come_and_go():
    """What is kept for a cgroup that goes moves to its parent; then the caches, the mount and the module go."""
    image = images.make(zimages.cell("lz4hc", "64K", "default")).path
    module = lab.BUILD / "uml-debug" / "erofs_rs.ko"
    run = lab.snippet("uml-debug", GOING, module, image, timeout=900)
    assert run.check().out.count("gone") == 6
    kept = [int(n) for n in re.findall(r"^kept (\d+)$", run.out, re.M)]
    assert len(kept) == 6 and all(n > 0 for n in kept), run.out
