# SPDX-License-Identifier: GPL-2.0-only
"""Files with two algorithms and with holes, which no mkfs.erofs writes: by both drivers, and against what they are made of."""
import errno
import functools
import re

import pytest

import crafted
import lab


@functools.cache
def batch(bed):
    how, load = ("--level quick", "--level reads --every 3") if bed == "uml-debug" else ("", "--level reads")
    return lab.Batch(lab.script(bed, "crafted.sh", how, load, crafted.made(), *crafted.CARRIERS, timeout=900))


def images(*what):
    """Each image, and each of `what` is asked of it."""
    return pytest.mark.parametrize("name, what", [(name, w) for name in crafted.CARRIERS for w in what])


@images("drivers", "load", "source", "source-of-c")
@lab.each_bed("crafted")
def test_same(bed, name, what):
    assert re.search(r"\bmismatches 0$", batch(bed).check(f"{name}/{what}"), re.M)


@pytest.mark.parametrize("name", crafted.CARRIERS)
@lab.each_bed("crafted")
def test_holes(bed, name):
    """They are told of where they are, not only read as zeros."""
    found = batch(bed).check(f"{name}/holes").splitlines()[:-1]
    assert found == [f"{file} {plan.holes()}" for file, plan in sorted(crafted.plans(name).items())]


@lab.each_bed("crafted")
def test_refused(bed):
    """First heads are read; second heads have the error of the C driver."""
    told = {driver: batch(bed).check(f"refused/{driver}") for driver in ("erofs", lab.PEER)}
    assert told["erofs"] == told[lab.PEER]
    errors = {name: set(re.findall(rf"^{name} \d+ (\d+)$", told["erofs"], re.M)) for name in crafted.plans("refused")}
    assert errors == {"not-in-the-image": {"0", str(errno.EUCLEAN)}, "unknown": {str(errno.EOPNOTSUPP)}}


@lab.each_bed("crafted")
def test_leaves_no_trace(bed):
    batch(bed).run.check()
