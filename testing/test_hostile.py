# SPDX-License-Identifier: GPL-2.0-only
"""Images that lie, by structure, in the kernel with every check on: no splat, no
hang, and each answer that of the C driver. On the stock kernel, where a system
call costs a hundredth, the same mutants are looked at in more ways."""
import functools
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import lab
import mutate

SEED = 20
SEEDS = {s.name: s for s in mutate.seeds()}

# Differences that are meant: of which mutants, what is said of them, and why.
TOLERATED = (
    (r".*", r"stricter mount: 0 \| (EUCLEAN|EINVAL|EOPNOTSUPP|EIO)$",
     "an image may be refused before the C driver finds what is wrong with it"),
    (r".*", r"compressed ", "compressed inodes are listed, not read"),
    (r".*size=", r"value statx \S+: blocks=0xffc0000000000000  \| blocks=0x40000000000000 $",
     "the C driver's count of the blocks of 2^63-1 bytes overflows"),
    (r".*nid=", r"stricter (statx|getdents|lookup) \S+: (a statx|0) \| EUCLEAN$",
     "of a nid from 2^59 on, the C driver loses bits, and finds another inode"),
    (r".*:dir\.format=", r"errno lookup \S+: ENOENT \| (EUCLEAN|EIO)$",
     "the C driver keeps a directory's last block in an int: of 2^31 blocks and more it may see none"),
)
# What the C driver does not get through; the kernel does not see these.
C_FAILS = {("48bit", "061:tail.format=0x9"): "does not come back to user space for a minute"}


@functools.cache
def mutants(name):
    return mutate.Mutator(SEEDS[name].image, SEED).all(mutate.COUNTS)


def run(bed, name):
    seed = SEEDS[name]
    todo = lab.scratch(f"hostile/{bed}-{name}")
    todo.write_text("".join(m.line() + "\n" for m in mutants(name) if (name, m.name) not in C_FAILS))
    log = todo.with_suffix(".log")
    how = ["--quick"] * (bed == "uml-debug") + ["--device", seed.device] * bool(seed.device)
    return lab.vm(bed, lab.treecmp(), "hostile", todo, "--base", seed.image, "--types", "erofs", lab.PEER, *how,
                  timeout=1200, log=log), log


@functools.cache
def runs(bed):
    """The guests use one CPU each: as many at a time as there are CPUs."""
    pool = ThreadPoolExecutor(os.cpu_count())
    return {name: pool.submit(run, bed, name) for name in SEEDS}


def blame(log):
    """The mutant and the driver before each complaint of the kernel."""
    who, found = "none", []
    for line in log.read_text(errors="replace").splitlines():
        if m := re.search(r"hostile: (.*)", line):
            who = m[1]
        elif re.search(r"BUG: |WARNING: |KASAN: |UBSAN: |Oops|panic|possible|refcount_t: ", line):
            found.append(f"{who}: {line}")
    return found


def keep(name, ids):
    """The images themselves, to look at; where they are."""
    image = SEEDS[name].image.read_bytes()
    for m in mutants(name):
        if m.name in ids:
            path = lab.scratch(f"hostile/{name}-{m.name[:3]}.img")
            path.write_bytes(m.apply(image))
            yield f"{path.relative_to(lab.TOP)}: {m.name}"


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("bed", ["uml-debug", pytest.param("stock", marks=pytest.mark.full)])
def test_mutants(bed, name):
    result, log = runs(bed)[name].result()
    asked = re.findall(r"^asked (.*)$", result.out, re.M)
    differ = re.findall(r"^differs (\S+) (.*)$", result.out, re.M)
    bad = [(i, what) for i, what in differ if not any(re.match(m, i) and re.match(w, what) for m, w, _ in TOLERATED)]
    kept = "\n".join(keep(name, [i for i, _ in bad][:10]))
    assert result.status == 0, f"status {result.status} after {asked[-1:]}\n" + "\n".join(blame(log)[:10])
    assert "complete" in result.out.splitlines(), f"stopped at {asked[-1:]}\n{lab.tail(result.err)}"
    assert asked == [m.name for m in mutants(name) if (name, m.name) not in C_FAILS]
    assert not bad, f"{len(bad)} of {len(asked)} differ (C | {lab.PEER})\n" + "\n".join(
        f"{i} {what}" for i, what in bad[:40]) + f"\n{kept}"


def test_there_are_enough():
    assert sum(len(mutants(name)) for name in SEEDS) >= 2000


@pytest.mark.parametrize("name, mutant", C_FAILS)
def test_left_out(name, mutant):
    assert mutant in [m.name for m in mutants(name)], "it is no mutant any more"
    pytest.skip(f"the C driver {C_FAILS[name, mutant]}")
