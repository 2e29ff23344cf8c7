# SPDX-License-Identifier: GPL-2.0-only
"""What the suites share: the guest, the referee program and their output."""
import functools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
GUEST = TOP / "testing" / "guest"
BUILD = TOP / "build"
CACHE = Path(os.environ["EROFS_RS_CACHE"])
SHARED = Path(os.environ.get("EROFS_RS_SHARED") or TOP.parent / "shared")
BEDS = ("stock", "uml-debug")


def shared_boot(name):
    """The mark of tests that look at one boot, or one run: one worker of pytest-xdist does them all."""
    return pytest.mark.xdist_group(name)


def each_bed(name):
    """The beds, as parameters of tests that share a boot in each."""
    return pytest.mark.parametrize("bed", [pytest.param(bed, marks=shared_boot(f"{name}-{bed}")) for bed in BEDS])


# The driver under test. With `erofs` the suites compare the C driver with
# itself: how the suites themselves are tested.
PEER = os.environ.get("EROFS_RS_PEER", "erofs_rs")
FS = "both" if PEER == "erofs_rs" else "erofs"


@functools.cache
def treecmp():
    """The comparing program, built once."""
    target = BUILD / "treecmp"
    subprocess.run(["cargo", "build", "--release", "--locked", "-q", "--target-dir", target],
                   cwd=TOP / "testing" / "treecmp", check=True)
    return target / "release" / "treecmp"


# What the C driver makes the kernel complain of, and what else is in the log then: of the lock of its device
# table, which it takes around opening a device (a loop device that sysfs knows) and under page faults; and
# of an extent that ends before the byte that it was looked up for.
C_COMPLAINTS = {
    r"WARNING: possible circular locking dependency detected": r"\berofs_init_device\b",
    r"WARNING: fs/iomap/iter\.c:\d+ at iomap_iter\b": r"\[erofs\]",
}


# What the kernel complains of, with little memory: virtiofs, which the guest's root is on, asks for memory that must be
# there where reclaim lets go of its inodes.
VIRTIOFS_COMPLAINTS = {r"WARNING: mm/page_alloc\.c:\d+ at __alloc_pages_slowpath\b": r"\bvirtio_fs_send_forget\b"}


@dataclass
class Run:
    status: int
    out: str
    err: str

    def check(self):
        assert self.status == 0, f"status {self.status}\n{tail(self.out)}\n{tail(self.err)}"
        return self

    def check_but_for_c(self):
        """As check(), but for what the C driver is known for."""
        return self.check_but_for(C_COMPLAINTS)

    def check_but_for(self, tolerated):
        """As check(), but for what others are known for; each is said once."""
        if self.status != 126:
            return self.check()
        log = Path(re.search(r"the guest's log: (\S+)", self.err)[1]).read_text(errors="replace")
        complaints = re.findall(
            r"(?:WARNING|BUG|INFO|KASAN|UBSAN|Oops): .*|kernel BUG at .*|Kernel panic.*|unreferenced object.*", log)
        known = [words for c in complaints for words in tolerated if re.match(words, c)]
        assert len(known) == len(complaints) == len(set(known)) > 0, tail("\n".join(complaints))
        assert all(re.search(tolerated[words], log) for words in known) and "[erofs_rs]" not in log, tail(log)
        return self


def tail(text, lines=40):
    return "\n".join(text.splitlines()[-lines:])


def vm(bed, *command, fs=FS, timeout=600, log=None, options=(), cpus=1):
    """COMMAND in a guest; its status and what it wrote. Two emulated CPUs cost a third more than one for the same
    work: `cpus=2` is for what is to run on both, on the stock bed."""
    cmd = [TOP / "tools" / "vm", "--bed", bed, "--fs", fs, "--timeout", timeout, *options]
    cmd += ["--cpus", cpus if bed == "stock" else 1]
    if log:
        cmd += ["--log", log]
    env = dict(os.environ, EROFS_RS_PEER=PEER, EROFS_RS_TREECMP=str(treecmp()))
    p = subprocess.run([*map(str, cmd), "--", *map(str, command)], cwd=TOP, env=env, capture_output=True,
                       text=True, errors="backslashreplace", stdin=subprocess.DEVNULL)
    return Run(p.returncode, p.stdout, p.stderr)


def script(bed, name, *args, **kw):
    """A script of testing/guest in a guest."""
    return vm(bed, "sh", GUEST / name, *args, **kw)


def snippet(bed, shell, *args, **kw):
    """Shell text in a guest, with the functions of lib.sh; it ends at the first failure."""
    return vm(bed, "sh", "-ec", f". {GUEST}/lib.sh\ntrap - EXIT\n{shell}", "sh", *args, **kw)


def strip(bed, path):
    """The module without debugging information, for guests with little memory: it is in there while it is loaded."""
    subprocess.run(["strip", "-g", BUILD / bed / "erofs_rs.ko", "-o", path], check=True)


def scratch(name):
    """A place for what a suite hands to a guest."""
    path = BUILD / "test" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sections(out):
    """What a guest script printed between `=== NAME` and `--- NAME STATUS`."""
    found = {}
    for m in re.finditer(r"^=== (\S+)\n(.*?)\n--- \1 (\d+)$", out, re.M | re.S):
        found[m[1]] = (int(m[3]), m[2])
    return found


class Batch:
    """Many checks in one boot, one result each."""

    def __init__(self, run):
        self.run = run
        self.results = sections(run.out)

    def output(self, name):
        """What a section printed, its status last."""
        assert name in self.results, (
            f"{name} did not run: status {self.run.status}\n{tail(self.run.out)}\n{tail(self.run.err)}")
        status, text = self.results[name]
        return f"{text}status {status}\n"

    def check(self, name):
        """The same of a section that must succeed."""
        text = self.output(name)
        assert text.endswith("status 0\n"), text
        return text
