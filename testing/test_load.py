# SPDX-License-Identifier: GPL-2.0-only
"""Compressed files under load: several readers, little memory, caches that go,
mounts that end while they are read ahead of."""
import functools
import hashlib
import re

import pytest

import images
import lab
import zimages

EVENTS = ("inflight", "hooked", "followed_noinplace", "followed", "inplace_io", "inplace_io_refused",
          "inplace_decompress", "inplace_decompress_refused", "cache_hits", "bypass", "bounce_pages", "decoded")


def image(*cell):
    return images.make(zimages.cell(*cell)).path


@functools.cache
def loaded(bed):
    """Readers of the same few files; deduplicated pclusters have more of them. On uml-debug, with its one
    CPU and its checks, once is what there is time for; on stock until all has been seen."""
    if bed == "uml-debug":
        return lab.script(bed, "load.sh", "hooked", 1, 8, image("lz4hc", "64K", "all"), timeout=1200)
    some = [image("lz4hc", "64K", "all"), image("lz4", "16K", "dedupe")]
    return lab.script(bed, "load.sh", " ".join(EVENTS), 6, 8, *some, timeout=1500, cpus=2)


@lab.each_bed("load")
def test_readers_agree(bed):
    run = loaded(bed).check()
    assert "mismatches 0" in run.out and not re.search(r"mismatches [1-9]", run.out)


@lab.shared_boot("load-stock")
@pytest.mark.parametrize("event", EVENTS)
def test_counted(event):
    """Each counter of /sys/fs/erofs_rs/DEVICE/stats that says by which way something was read grows."""
    counted = dict(re.findall(r"^counted (\w+) (\d+)$", loaded("stock").out, re.M))
    assert int(counted[event]) > 0, counted


# The names of a file each that is read in each way below.
FILES = "large text mixed shifted-777 twin"

REREAD = """
mount_one $peer $b "" "$1"
dev=$(findmnt -n -o SOURCE $b)
cd $b
for n in $(seq 30); do
	echo 3 >/proc/sys/vm/drop_caches
	echo 3 >/sys/fs/$peer/${dev##*/}/drop_caches
	for reader in 1 2 3 4; do
		cat $2 | md5sum &
	done
	wait
done
cd /
"""


@pytest.mark.parametrize("algorithm", ["lz4hc", "zstd"])
@lab.each_bed("load")
def test_reread(bed, algorithm):
    """The same bytes, 120 times."""
    sums = lab.snippet(bed, REREAD, image(algorithm, "64K", "all"), FILES, cpus=2).check().out.split("\n")
    want = hashlib.md5(b"".join((zimages.material() / name).read_bytes() for name in FILES.split())).hexdigest()
    sums = [s.split()[0] for s in sums if s]
    assert len(sums) == 120 and set(sums) == {want}, sorted(set(sums))


STRATEGIES = """
compare() {
	mount_both "cache_strategy=$1" "$3" || return
	dev=$(findmnt -n -o SOURCE $b)
	echo "$2" >"/sys/fs/$peer/${dev##*/}/sync_decompress" && "$treecmp" --level reads --per-dir 25 --every $4 $a $b
}
for strategy in disabled readahead readaround; do
	for sync in 0 1 2; do
		section $strategy-$sync compare $strategy $sync "$1" "$2"
		unmount_all
	done
done
"""


@functools.cache
def strategies(bed, every):
    return lab.Batch(lab.snippet(bed, STRATEGIES, image("lz4hc", "64K", "all"), every, timeout=1500))


each_strategy = pytest.mark.parametrize("strategy, sync", [
    (strategy, sync) for strategy in ("disabled", "readahead", "readaround") for sync in (0, 1, 2)])


@each_strategy
@lab.each_bed("strategies")
def test_strategies(bed, strategy, sync):
    """A third of the files by all orders of reads, the others by one."""
    assert "mismatches 0" in strategies(bed, 3).check(f"{strategy}-{sync}")


@lab.each_bed("strategies")
def test_strategies_leave_no_trace(bed):
    strategies(bed, 3).run.check()


@pytest.mark.full
@pytest.mark.timeout(1600)
@each_strategy
@lab.each_bed("strategies-all")
def test_strategies_thorough(bed, strategy, sync):
    """Each file by all orders of reads."""
    assert "mismatches 0" in strategies(bed, 1).check(f"{strategy}-{sync}")


LEAVE = """
for n in $(seq 10); do
	[ -d /sys/module/$peer ] || insmod "$1"
	mount_one $peer $b "cache_strategy=$3" "$2"
	dev=$(findmnt -n -o SOURCE $b)
	echo 2 >/sys/fs/$peer/${dev##*/}/sync_decompress
	for file in $4; do
		head -c 1 $b/$file >/run/byte
	done
	umount $b
	losetup -D
	rmmod $peer
	echo left
done
"""


@pytest.mark.parametrize("strategy", ["disabled", "readaround"])
@lab.each_bed("leave")
def test_unmounted_while_reading_ahead(bed, strategy):
    """What nobody waits for is decoded by workers: the mount, then the module, go away under it."""
    module = lab.BUILD / bed / "erofs_rs.ko"
    run = lab.snippet(bed, LEAVE, module, image("zstd", "256K", "default"), strategy, FILES, cpus=2)
    assert run.check().out.count("left") == 10


PRESSED = """
[ $peer = erofs ] || insmod "$1"
mount -i -t $peer -o ro /dev/vdb $b
for reader in 1 2 3; do
	md5sum <$b/file &
done
wait
grep MemTotal /proc/meminfo
"""
# With less than this, readers of the C driver are killed, too: 16 MiB are buffers of the consoles that stock
# guests talk through, and the debug kernel takes 78 MiB for itself.
LITTLE = {"stock": ("--append", "mem=112M"), "uml-debug": ("--mem", "112M")}


@pytest.mark.parametrize("bed", LITTLE)
def test_little_memory(bed):
    """A file larger than the memory, by three readers, on two CPUs of the stock kernel."""
    img, src = zimages.pressed()
    module = lab.scratch(f"stripped-{bed}.ko")
    lab.strip(bed, module)
    run = lab.snippet(bed, PRESSED, module, fs="erofs", options=("--disk", img, *LITTLE[bed]), cpus=2)
    out = run.check_but_for(lab.VIRTIOFS_COMPLAINTS).out
    with open(src, "rb") as f:
        want = hashlib.file_digest(f, "md5").hexdigest()
    assert re.findall(r"^(\w{32}) ", out, re.M) == [want] * 3, out
    assert int(re.search(r"MemTotal: +(\d+)", out)[1]) < 96 << 10
