# SPDX-License-Identifier: GPL-2.0-only
"""Each image by both drivers, side by side, on both beds: a share of the paths, in
`make test-full` all, by every system call that treecmp knows."""
import functools

import pytest

import images
import lab

# Images with further devices come last: see lab.Run.check_but_for_c().
GRID = {r.name: r for r in sorted(images.grid(), key=lambda r: r.kind in images.WITH_DEVICES)}
THIRD_PARTY = {p.stem: images.Recipe(p.stem, tree=str(p), kind="as-is")
               for p in sorted((lab.SHARED / "testdata" / "samples").glob("*.img"))}


def how_thorough(bed, nth):
    """Each image gets its own share of the paths, so that the grid covers all; on stock each sixth one more of them.
    A system call costs some 100 us in either guest, if it is emulated."""
    return "--per-dir 12" if bed == "stock" and nth % 6 == 0 else f"--sample 4 --every 29 --phase {nth}"


@functools.cache
def grid(bed, thorough=False):
    """All images of the grid in one boot."""
    jobs = lab.scratch(f"differential-{bed}")
    with open(jobs, "w") as f:
        for n, recipe in enumerate((*THIRD_PARTY.values(), *GRID.values())):
            image = images.make(recipe)
            how = recipe.how if thorough else f"{recipe.how} {how_thorough(bed, n)}"
            print(recipe.name, how, "", image.path, *image.devices, sep="|", file=f)
    limit = 20_000 if thorough else 1500
    return lab.Batch(lab.script(bed, "differential.sh", jobs, timeout=limit))


@pytest.mark.parametrize("name", GRID)
@lab.each_bed("grid")
def test_grid(bed, name):
    assert "mismatches 0" in grid(bed).check(name)


@pytest.mark.parametrize("name", THIRD_PARTY or [
    pytest.param("none", marks=pytest.mark.skip("shared/testdata is not there: see Documentation/testing.md"))])
@lab.each_bed("grid")
def test_third_party(bed, name):
    assert "mismatches 0" in grid(bed).check(name)


@lab.each_bed("grid")
def test_grid_leaves_no_trace(bed):
    """No splat, no leak, everything unmounted and unloaded."""
    grid(bed).run.check_but_for_c()


@pytest.mark.full
@pytest.mark.timeout(21_000)
@pytest.mark.parametrize("name", GRID)
@lab.each_bed("thorough")
def test_grid_thorough(bed, name):
    assert "mismatches 0" in grid(bed, thorough=True).check(name)
