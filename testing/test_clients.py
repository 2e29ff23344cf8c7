# SPDX-License-Identifier: GPL-2.0-only
"""Who reads by other ways than system calls on a mount: io_uring, mappings with huge pages, and NFS clients, by both
drivers on the same image."""
import functools
import random
import re

import pytest

import images
import lab
import zimages

PLAIN = next(r for r in images.grid() if r.name == "label")
COMPRESSED = zimages.cell("lz4hc", "64K", "all")
IMAGES = {"plain": PLAIN, "compressed": COMPRESSED}


def census(text):
    """How often the C driver gave each answer to each question of treecmp."""
    found = {}
    for what, answer, times in re.findall(r"^census (\S+) (.*) (\d+)$", text, re.M):
        found.setdefault(what, {})[answer] = int(times)
    return found


# --- io_uring

URING = """
uring() {
	mount_both "" "$1" && "$treecmp" --level uring --per-dir $2 $a $b
}
"""
# Of each directory the first files only: one costs more than 100 reads.
PER_DIR = 4
BUFFERED = ("read", "read-warm", "readv", "fixed", "fixed-file", "async", "linked")
DIRECT = ("direct", "direct-readv", "direct-fixed", "direct-fixed-file", "direct-async")


@functools.cache
def uring(bed):
    text = "".join(f"section {name} uring {images.make(r).path} {PER_DIR}\nunmount_all\n" for name, r in IMAGES.items())
    return lab.Batch(lab.snippet(bed, URING + text, timeout=600))


@pytest.mark.parametrize("name", IMAGES)
@lab.each_bed("uring")
def test_uring(bed, name):
    text = uring(bed).check(name)
    assert "mismatches 0" in text
    answers = census(text)
    for way in BUFFERED:
        # A short read ends a chain.
        assert set(answers[way]) <= {"bytes", "ECANCELED" if way == "linked" else "nothing"}, answers[way]
        assert answers[way]["bytes"] >= 10, answers[way]
    for way in DIRECT:
        if name == "plain":
            assert answers[way]["bytes"] >= 20, answers[way]
        else:
            assert "EINVAL" in answers[way] and "bytes" not in answers[way], answers[way]


@lab.each_bed("uring")
def test_uring_leaves_no_trace(bed):
    uring(bed).run.check()


# --- huge pages

SIZE = (5 << 20) + 1234


def _library(path):
    """A file with two huge pages and a tail: a third of it repeats itself."""
    path.mkdir()
    rng = random.Random(11)
    content = b"".join(zimages.words(rng, 2 << 16) + rng.randbytes(1 << 16) for _ in range(SIZE // (3 << 16) + 1))
    (path / "library").write_bytes(content[:SIZE])
    (path / "library").chmod(0o755)
    (path / "small").write_bytes(content[:5000])


LAYOUTS = {
    "plain": (),
    "chunks": ("--chunksize=65536",),
    "lz4hc": ("-zlz4hc", "-C65536", "-Efragments,ztailpacking"),
    "zstd": ("-zzstd", "-C1048576"),
}
HUGE = """
thp=/sys/kernel/mm/transparent_hugepage
echo always >$thp/enabled
for knob in scan alloc; do
	echo 20 >$thp/khugepaged/${knob}_sleep_millisecs
done
echo 100000 >$thp/khugepaged/pages_to_scan
huge() {
	mount_both "" "$1" && "$treecmp" --level huge $a $b
}
"""


@functools.cache
def huge():
    tree = images.once(images.CACHE / f"source-library-{SIZE}-{images.hashed(_library)}", _library)
    made = {name: images.make(images.Recipe(f"library-{name}", args, str(tree))).path for name, args in LAYOUTS.items()}
    text = "".join(f"section {name} huge {image}\nunmount_all\n" for name, image in made.items())
    return lab.Batch(lab.snippet("stock", HUGE + text, timeout=900))


@pytest.mark.parametrize("layout", LAYOUTS)
@lab.shared_boot("huge")
def test_huge_pages(layout):
    """Each way leads to huge pages, as with the C driver; and the bytes are the same."""
    text = huge().check(layout)
    assert "mismatches 0" in text
    answers = census(text)
    for kind in ("shared", "exec"):
        assert answers[f"{kind}/bytes"] == {"bytes": 4} and answers[f"{kind}/aligned"] == {"1": 4}, answers
        for way in ("collapse-cold", "collapse-warm", "advised", "khugepaged"):
            assert answers[f"{kind}/{way}/mapped"] == {str(SIZE >> 21 << 11): 1}, answers


@lab.shared_boot("huge")
def test_huge_pages_leave_no_trace():
    huge().run.check()


# --- NFS

# What is asked of each; a directory whose files' attributes are compared; another one, and a file in it.
SERVED = {
    "plain": (next(r for r in images.grid() if r.name == "wide"), "--level reads --sample 30", "xattrs", "sizes", "f0300001"),
    "compressed": (COMPRESSED, "--level reads --per-dir 3 --every 2", "tiny", "tiny", "07"),
}
# An image whose inodes lie elsewhere.
OTHER = next(r for r in images.grid() if r.name == "b512-compact")


@functools.cache
def nfs():
    args = [images.make(OTHER).path]
    for name, (recipe, *how) in SERVED.items():
        args += [name, *how, images.make(recipe).path]
    return lab.Batch(lab.script("stock", "nfs.sh", *args, timeout=600))


@pytest.mark.parametrize("version", ["3", "4.2"])
@pytest.mark.parametrize("name", SERVED)
@lab.shared_boot("nfs")
def test_nfs(name, version):
    text = nfs().check(f"{name}/walk-{version}")
    assert text.count("mismatches 0") == 2


@pytest.mark.parametrize("name", SERVED)
@lab.shared_boot("nfs")
def test_nfs_handles(name):
    """They hold for as long as the image is the same."""
    told = {driver: re.sub(r"\[\d+\]", "", nfs().check(f"{name}/handles-{driver}")) for driver in ("erofs", lab.PEER)}
    print(told["erofs"])
    assert told["erofs"] == told[lab.PEER]
    parts = re.split(r"^(dropped|again|other|back)$", told["erofs"].removeprefix("first"), flags=re.M)
    first, looks = parts[0], dict(zip(parts[1::2], parts[2::2], strict=True))
    assert len(first.split()) >= 12
    assert looks["dropped"] == looks["again"] == first and looks["other"] != first


@lab.shared_boot("nfs")
def test_nfs_leaves_no_trace():
    nfs().run.check()
