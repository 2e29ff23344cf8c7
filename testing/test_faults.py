# SPDX-License-Identifier: GPL-2.0-only
"""Every allocation, every request to the disk and every copy to user space that an
operation makes fails once, in the kernel with every check on: the operation gives
an error that says so or the right answer, and the right answer when it is tried
again. What is left behind, tools/vm finds."""
import functools
import re

import pytest

import images
import lab
import zmutate

# Of each path, the operations that it has.
ANY = {"statfs", "statx", "xattrs"}
OPENED = ANY | {"open", "fiemap"}
FILE = OPENED | {"read", "mmap", "direct"}
PATHS = {
    "block": {"xattrs/one": FILE, "sizes/f0004097": FILE, "xattrs": OPENED | {"getdents"}, "links/good": ANY | {"readlink"}},
    "file": {"xattrs/one": FILE - {"direct"}, "xattrs": OPENED | {"getdents"}},
    "z-block": {"text": FILE - {"direct"}, "shifted": FILE - {"direct"}, "dir/tail": FILE - {"direct"}},
    "z-file": {"mixed": FILE - {"direct"}, "dir/tail": FILE - {"direct"}},
}


def image(source):
    """Of the small compressed ones, that with fragments, deduplication and inline data."""
    if source.startswith("z-"):
        return next(s.image for s in zmutate.seeds() if s.name == "z-lz4hc-all")
    return images.make(next(r for r in images.grid() if r.name == "xattr-prefix")).path


@functools.cache
def swept(source):
    """What treecmp says; the path and the operation of each sweep with its counts."""
    disk = image(source)
    what = disk if source.endswith("file") else "/dev/vdb"
    run = lab.script("uml-debug", "faults.sh", what, "/dev/vdb", *PATHS[source], options=("--disk", disk))
    found = re.findall(r"^(\w+) (?:/mnt/b/(\S+) )?faults (\d+) failed (\d+)$", run.out, re.M)
    return run, {(path, op): (int(faults), int(failed)) for op, path, faults, failed in found}


@pytest.mark.parametrize("source", PATHS)
def test_sweeps(source):
    """No splat, no leak, no wrong answer, and nothing was swept without a fault."""
    run, sweeps = swept(source)
    run.check()
    assert set(sweeps) == {("", "mount")} | {(path, op) for path, ops in PATHS[source].items() for op in ops}, run.out
    assert [what for what, (faults, failed) in sweeps.items() if faults < failed or failed == 0] == [], run.out
