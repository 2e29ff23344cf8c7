# SPDX-License-Identifier: GPL-2.0-only
"""Compressed images by both drivers, side by side, on both beds."""
import functools
import re

import pytest

import images
import lab
import zimages

GRID = {r.name: r for r in zimages.grid()}
# On the stock bed a third: it is rare that the stock kernel shows what uml-debug does not.
SAMPLE = {"uml-debug": [r.name for r in zimages.sample()], "stock": [r.name for r in zimages.sample()[::3]]}


@functools.cache
def compared(bed, names, how):
    """All of these in one boot."""
    jobs = lab.scratch(f"compressed-{bed}-{len(names)}-{names[0]}")
    with open(jobs, "w") as f:
        for n, name in enumerate(names):
            print(name, how.format(n=n), "", images.make(GRID[name]).path, sep="|", file=f)
    return lab.Batch(lab.script(bed, "differential.sh", jobs, timeout=3000))


# All files but for some of the many small and empty ones, by all orders of reads. The debug kernel would
# take long for that: there each fourth one, which are others from image to image, and the rest by one read. So it is
# done for the sample on both.
READS = "--level reads --per-dir 25"
SHARED_OUT = READS + " --every 4 --phase {n}"
HOW = {"stock": READS, "uml-debug": SHARED_OUT}


def sample(bed):
    return compared(bed, tuple(SAMPLE[bed]), SHARED_OUT)


@pytest.mark.parametrize("bed, name", [
    pytest.param(bed, name, marks=lab.shared_boot(f"compressed-{bed}")) for bed in lab.BEDS for name in SAMPLE[bed]])
def test_sample(bed, name):
    assert "mismatches 0" in sample(bed).check(name)


@lab.each_bed("compressed")
def test_sample_leaves_no_trace(bed):
    sample(bed).run.check()


def boots():
    """The grid: a boot for each layout, and for each 64 values of --zfeature-bits."""
    found = {}
    for name in GRID:
        if bits := re.match(r"z-bits-(\d+)", name):
            boot = f"bits-{int(bits[1]) // 64}"
        else:
            cell = re.match(rf"z-(?:{'|'.join(zimages.ALGORITHMS)})-(?:{'|'.join(zimages.SIZES)})(?:-(.+))?$", name)
            boot = cell[1] or "default" if cell and (cell[1] or "default") in zimages.LAYOUTS else "others"
        found.setdefault(boot, []).append(name)
    return {boot: tuple(names) for boot, names in found.items()}


BOOTS = boots()


def thorough(bed, boot):
    return compared(bed, BOOTS[boot], HOW[bed])


@pytest.mark.full
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("bed, boot, name", [
    pytest.param(bed, boot, name, marks=lab.shared_boot(f"grid-{bed}-{boot}"), id=f"{bed}-{name}")
    for boot in BOOTS for bed in lab.BEDS for name in BOOTS[boot]])
def test_grid(bed, boot, name):
    assert "mismatches 0" in thorough(bed, boot).check(name)


@pytest.mark.full
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("bed, boot", [
    pytest.param(bed, boot, marks=lab.shared_boot(f"grid-{bed}-{boot}")) for boot in BOOTS for bed in lab.BEDS])
def test_grid_leaves_no_trace(bed, boot):
    thorough(bed, boot).run.check()


def test_hints_with_algorithms(tmp_path):
    """Not in the grid, as mkfs.erofs cannot; a cell is missing when it can."""
    (tmp_path / "hints").write_text("4096 1 text\n")
    try:
        images.mkfs(tmp_path / "image", ["-zlz4:zstd", f"--compress-hints={tmp_path}/hints"], zimages.material())
    except RuntimeError:
        pytest.skip("mkfs.erofs 1.9.4 crashes on --compress-hints that name an algorithm")
    raise AssertionError("mkfs.erofs takes hints with algorithms now: they belong to zimages.further()")
