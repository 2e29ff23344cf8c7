# SPDX-License-Identifier: GPL-2.0-only
"""Loaded and unloaded, mounted and unmounted, and read while the caches go: nothing splats, and nothing is left behind. After each
guest tools/vm unmounts, unloads and, on the debug kernel, looks for leaks."""
import pytest

import images
import lab

GRID = {r.name: r for r in images.grid()}
MODULE = lab.BUILD / "uml-debug" / "erofs_rs.ko"


def image(name):
    return images.make(GRID[name])


def guest(bed, shell, *args, disks=(), **kw):
    """A snippet with the functions of lib.sh, which ends at the first failure."""
    disks = [a for d in disks for a in ("--disk", d)]
    run = lab.vm(bed, "sh", "-ec", f". {lab.GUEST}/lib.sh\ntrap - EXIT\n{shell}", "sh", *args, options=disks, **kw).check()
    return run.out


ROUNDS = """
for n in 1 2 3 4 5 6 7 8 9 10; do
	[ -d /sys/module/$peer ] || insmod "$1"
	mount -i -t $peer -o ro /dev/vdb $a
	mount -i -t $peer -o ro "$2" $b
	ls $a/many | wc -l
	cat $a/sizes/f00* | md5sum
	cat $b/sizes/f00* | md5sum
	umount $a
	umount $b
	rmmod $peer
done
"""


def test_rounds():
    """Block and file, all the way from insmod to rmmod. The C driver stays: it brings the libraries."""
    img = image("label").path
    lines = guest("uml-debug", ROUNDS, MODULE, img, disks=[img]).splitlines()
    assert len(lines) == 30 and len(set(lines)) == 2, lines


READERS = """
mount_both "" "$1"
"$treecmp" --readers 8 --drop-caches $2 $a $b
"""


@pytest.mark.parametrize("bed, how", [("stock", "--every 8"), ("uml-debug", "--level quick --per-dir 4")])
def test_readers_while_caches_drop(bed, how):
    assert "mismatches 0" in guest(bed, READERS, image("b1024-default").path, how)
