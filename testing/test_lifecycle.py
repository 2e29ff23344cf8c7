# SPDX-License-Identifier: GPL-2.0-only
"""Loaded and unloaded, mounted and unmounted, read while the caches go and while it
is unmounted, and refused: nothing splats, and nothing is left behind. After each
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


# Where umount is refused a reader is at work: it must have been refused, and must
# work in the end. A lazy one takes the name away; the reader gets all, from its cwd.
READAHEAD = """
busy=0
for n in 1 2 3 4; do
	mount -i -t $peer -o ro $([ $((n % 2)) = 0 ] && echo "$1" || echo /dev/vdb) $a
	cat $a/sparse/* $a/sizes/* >/dev/null &
	while ! umount $a 2>/dev/null; do
		busy=$((busy + 1))
		[ $busy -lt 5000 ] || exit 1
	done
	wait || :
	echo 3 >/proc/sys/vm/drop_caches
done
for n in 1 2 3; do
	mount -i -t $peer -o ro /dev/vdb $a
	cd $a
	cat sparse/* sizes/* >/run/out &
	cd /
	umount -l $a
	wait $!
	md5sum </run/out
done
echo busy $busy
rmmod $peer
"""


@pytest.mark.parametrize("bed", lab.BEDS)
def test_umount_under_readers(bed):
    img = image("label").path
    *sums, busy = guest(bed, READAHEAD, img, disks=[img]).splitlines()
    assert int(busy.removeprefix("busy ")) > 0
    assert len(sums) == 3 and len(set(sums)) == 1, sums


REFUSED = """
while [ $# -gt 0 ]; do
	for n in $(seq 20); do
		[ $n != 11 ] || set -- "$1" $(attach "$2") "$@"
		if mount -i -t $peer -o $1 "$2" $a 2>/dev/null; then
			echo "mounted: $2"
			exit 1
		fi
	done
	shift 2
	losetup -D
	echo "refused"
	shift 2
done
rmmod $peer
"""


def test_refused_mounts():
    """Twenty times each, as a file and as a device: no superblock, one whose root is beyond the end, and one whose device is not there."""
    good, blob = image("label").path, image("b4096-blob").path
    zero, short = (lab.scratch(f"lifecycle-{what}") for what in ("zero", "short"))
    zero.write_bytes(bytes(1 << 20))
    short.write_bytes(good.read_bytes()[:1536])
    assert guest("uml-debug", REFUSED, "ro", zero, "ro", short, "ro,device=/dev/nothing", blob) == "refused\n" * 3
