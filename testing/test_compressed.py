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
        for n, name in enumerate(names):
            print(name, how.format(n=n), "", images.make(GRID[name]).path, sep="|", file=f)
    return lab.Batch(lab.script(bed, "differential.sh", jobs, timeout=20_000 if len(names) > 100 else 1200))


# All files but for some of the many small and empty ones, by all orders of reads. The debug kernel would
# take hours: there each fourth one, which are others from image to image, and the rest by one read.
READS = "--level reads --per-dir 25"
HOW = {"stock": READS, "uml-debug": READS + " --every 4 --phase {n}"}


def sample(bed):
    return compared(bed, tuple(SAMPLE[bed]), HOW[bed])


def cells(names):
    """Each name on its bed; those of a bed share a boot."""
    return pytest.mark.parametrize("bed, name", [
        pytest.param(bed, name, marks=lab.shared_boot(f"compressed-{bed}")) for bed in lab.BEDS for name in names[bed]])


@cells(SAMPLE)
def test_sample(bed, name):
    assert "mismatches 0" in sample(bed).check(name)


@lab.each_bed("compressed")
def test_sample_leaves_no_trace(bed):
    sample(bed).run.check()


def thorough(bed):
    return compared(bed, tuple(GRID), HOW[bed])


@pytest.mark.full
@pytest.mark.timeout(21_000)
@cells({bed: GRID for bed in lab.BEDS})
def test_grid(bed, name):
    assert "mismatches 0" in thorough(bed).check(name)


@pytest.mark.full
@pytest.mark.timeout(21_000)
@lab.each_bed("compressed")
def test_grid_leaves_no_trace(bed):
    thorough(bed).run.check()


def test_hints_with_algorithms(tmp_path):
    """Not in the grid, as mkfs.erofs cannot; a cell is missing when it can."""
    (tmp_path / "hints").write_text("4096 1 text\n")
    try:
        images.mkfs(tmp_path / "image", ["-zlz4:zstd", f"--compress-hints={tmp_path}/hints"], zimages.material())
    except RuntimeError:
        pytest.skip("mkfs.erofs 1.9.4 crashes on --compress-hints that name an algorithm")
    raise AssertionError("mkfs.erofs takes hints with algorithms now: they belong to zimages.further()")
