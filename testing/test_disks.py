# SPDX-License-Identifier: GPL-2.0-only
"""Disks that fail while there is load: what is read is right, or EIO; and right again when the disk is."""
import functools
import re

import pytest

import images
import lab
import zimages

IMAGES = {"compressed": zimages.cell("lz4hc", "64K", "all"), "plain": zimages.recipe("plain")}


@functools.cache
def batch(bed):
    args, disks = [], []
    for (name, recipe), letter in zip(IMAGES.items(), "bc", strict=True):
        args += [name, zimages.material(), f"/dev/vd{letter}"]
        disks += ["--disk", images.make(recipe).path]
    return lab.Batch(lab.script(bed, "disks.sh", *args, options=disks, timeout=900))


def each(test):
    return lab.each_bed("disks")(pytest.mark.parametrize("image", IMAGES)(test))


@each
def test_flaky_disk(bed, image):
    text = batch(bed).check(f"{image}/flaky")
    totals = [(int(right), int(failed)) for right, failed in re.findall(r"^read (\d+) failed (\d+)$", text, re.M)]
    assert len(totals) == 4 and all(right for right, _ in totals) and any(failed for _, failed in totals), totals
    after = re.findall(r"^\S+ (right|EIO.*)$", text, re.M)
    assert len(after) > 20 and set(after) == {"right"}, text


@each
def test_lost_parts(bed, image):
    """The same files fail as with the C driver, and at the same place."""
    found, of_c = batch(bed).check(f"{image}/parts").split("of C\n")
    found, of_c = (re.findall(r"^(\S+) (right|EIO.*)$", text, re.M) for text in (found, of_c))
    assert {what.partition(" ")[0] for _, what in found} == {"right", "EIO"}, found
    assert found == of_c


@each
def test_unmounted_while_failing(bed, image):
    batch(bed).check(f"{image}/leave")


@lab.each_bed("disks")
def test_leaves_no_trace(bed):
    batch(bed).run.check()
