# SPDX-License-Identifier: GPL-2.0-only
"""Loaded and unloaded, mounted and unmounted, and read while the caches go: nothing splats, and nothing is left behind. After each
guest tools/vm unmounts, unloads and, on the debug kernel, looks for leaks."""
import dataclasses
import hashlib
import random

import pytest

import images
import lab
import mutate
from mutate import Mutant

GRID = {r.name: r for r in images.grid()}
MODULE = lab.BUILD / "uml-debug" / "erofs_rs.ko"


def image(name):
    return images.make(GRID[name])


def guest(bed, shell, *args, disks=(), **kw):
    """A snippet with the functions of lib.sh, which ends at the first failure."""
    disks = [a for d in disks for a in ("--disk", d)]
    return lab.snippet(bed, shell, *args, options=disks, cpus=2, **kw).check().out


def sum_of(pattern):
    """What md5sum says of the files of the tree that the images are made of, one after the other."""
    files = sorted(images.material("plain").glob(pattern))
    assert files
    return hashlib.md5(b"".join(f.read_bytes() for f in files)).hexdigest() + "  -"


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
    names = len(list((images.material("plain") / "many").iterdir()))
    assert lines == [str(names), *[sum_of("sizes/f00*")] * 2] * 10


READERS = """
mount_both "" "$1"
"$treecmp" --readers 8 --drop-caches $2 $a $b
"""


@pytest.mark.parametrize("bed, how", [("stock", "--every 8"), ("uml-debug", "--level quick --per-dir 4")])
def test_readers_while_caches_drop(bed, how):
    assert "mismatches 0" in guest(bed, READERS, image("b1024-default").path, how)


BUSY = """
dmsetup create slow --noudevsync --table "0 $(blockdev --getsz /dev/vdb) delay /dev/vdb 0 50"
cold() {
	echo 3 >/proc/sys/vm/drop_caches
}
progress() {
	for n in 1 2 3 4; do
		cold
		wc -l </run/read$n
	done | sort -n | head -n 1
}
ahead='import os, sys; [os.posix_fadvise(os.open(f, os.O_RDONLY), 0, 0, os.POSIX_FADV_WILLNEED) for f in sys.argv[1:]]'

mount -i -t $peer -o ro /dev/dm-0 $b
cat $b/sizes/f0[0-2]* | md5sum
: >/run/go
for n in 1 2 3 4; do
	: >/run/read$n
	(
		cd $b/sizes
		while [ -e /run/go ]; do
			cat f0[0-2]* | md5sum >>/run/read$n
		done
	) &
done

tries=0
while [ $tries -lt 4 ] || [ "$(progress)" -lt 2 ]; do
	tries=$((tries + 1))
	if umount $b 2>/run/why; then
		echo "unmounted under its readers"
	fi
	cat /run/why
done
umount -l $b
ls $b | wc -l
before=$(progress) tries=0
while [ $tries -lt 4 ] || [ "$(progress)" -lt $((before + 2)) ]; do
	tries=$((tries + 1))
	if rmmod $peer 2>/dev/null; then
		echo "unloaded under its readers"
	fi
done
rm /run/go
wait
cat /run/read?
rmmod $peer

insmod "$1"
for n in 1 2 3 4 5; do
	mount -i -t $peer -o ro /dev/dm-0 $b
	python3 -ISc "$ahead" $b/sizes/f[01]*
	umount $b
done
"""


def test_umount_under_readers():
    """Refused while there are readers, lazy after that, and the module stays until the last has left. At
    the end there is only readahead under way, which the slow disk makes last until after the umount."""
    first, *lines = guest("uml-debug", BUSY, MODULE, disks=[image("b1024-default").path], timeout=300).splitlines()
    want = sum_of("sizes/f0[0-2]*")
    assert first == want
    end = next(n for n, line in enumerate(lines) if "busy" not in line)
    assert end >= 4, lines
    names, *sums = lines[end:]
    assert names == "0", lines
    assert len(sums) >= 16 and set(sums) == {want}, lines


def refusals(seed):
    """Mutants of which none can be mounted, 20 of each kind."""
    image, rng, mutator = seed.image.read_bytes(), random.Random(20), mutate.Mutator(seed.image, 20)
    one = image[mutate.SUPER]
    kinds = {
        "magic": lambda n: Mutant("", "", len(image), ((mutate.SUPER, bytes([one ^ n + 1])),)),
        "checksum": lambda n: Mutant("", "", len(image), ((mutate.SUPER + 4, rng.randbytes(4)),)),
        "uuid": lambda n: Mutant("", "", len(image), ((mutate.SUPER + 48, rng.randbytes(16)),)),
        "cut": lambda n: Mutant("", "", 512 * (n % 4), ()),
        "root": lambda n: mutator.mutant("", "", [(mutate.SUPER + 14, (0xFFFF - n).to_bytes(2, "little"))]),
    }
    return [dataclasses.replace(make(n), name=f"{kind}{n}") for kind, make in kinds.items() for n in range(20)]


REFUSED = """
for how in "" "--files --file $6"; do
	"$treecmp" hostile $how --refused --types erofs $peer --base "$1" --device "$2" "$3"
	"$treecmp" hostile $how --refused --types erofs $peer --base "$4" --device "$2" "$5"
	for n in 1 2 3 4 5; do
		mount -i -t $peer -o ro,device=$b/none "$1" $a || echo "no device: $?"
	done
done
"""


def test_refused_mounts():
    """More than 200, block devices and files: none is mounted, for the C driver's reason, and none leaves anything behind."""
    seeds = {s.name: s for s in mutate.seeds()}
    blob, alone = seeds["blob"], seeds["default"]
    one_too_many = [Mutant(f"device{n}", "", alone.image.stat().st_size, ()) for n in range(20)]
    args, asked = [], []
    for seed, mutants in ((blob, refusals(blob)), (alone, one_too_many)):
        todo = lab.scratch(f"refused-{seed.name}")
        todo.write_text("".join(m.line() + "\n" for m in mutants))
        args += [seed.image, *([seed.device] if seed.device else []), todo]
        asked += [*(f"asked {m.name}" for m in mutants), "complete"]
    asked += ["no device: 32"] * 5
    args.append(lab.scratch("refused.img"))
    assert guest("uml-debug", REFUSED, *args).splitlines() == asked * 2
