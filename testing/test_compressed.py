# SPDX-License-Identifier: GPL-2.0-only
"""Compressed images by both drivers, side by side, on both beds."""
import functools

import pytest

import images
import lab
import zimages

GRID = {r.name: r for r in zimages.grid()}
# On the stock bed a third: what its kernel does not show on uml-debug is rare.
SAMPLE = {"uml-debug": [r.name for r in zimages.sample()], "stock": [r.name for r in zimages.sample()[::3]]}


@functools.cache
def compared(bed, names, how):
    """All of these in one boot."""
    jobs = lab.scratch(f"compressed-{bed}-{len(names)}")
    with open(jobs, "w") as f:
        for name in names:
            print(name, how, "", images.make(GRID[name]).path, sep="|", file=f)
    return lab.Batch(lab.script(bed, "differential.sh", jobs, timeout=20_000 if len(names) > 100 else 1200))


def sample(bed):
    return compared(bed, tuple(SAMPLE[bed]), "--level reads")


@pytest.mark.parametrize("bed, name", [(bed, name) for bed in lab.BEDS for name in SAMPLE[bed]])
def test_sample(bed, name):
    assert "mismatches 0" in sample(bed).check(name)


@pytest.mark.parametrize("bed", lab.BEDS)
def test_sample_leaves_no_trace(bed):
    sample(bed).run.check()
