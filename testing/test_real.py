# SPDX-License-Identifier: GPL-2.0-only
"""Real data on the stock bed, over virtio disks."""
import functools

import pytest

import lab
import realdata


@functools.cache
def batch(thorough=False):
    args, disks = [], []
    for n, (name, (make, how, thorough_how)) in enumerate(realdata.SETS.items()):
        image = make()
        disks += ["--disk", image, "--disk", image]
        args += [name, thorough_how if thorough else how, "bdfhjlnp"[n]]
    return lab.Batch(lab.script("stock", "real.sh", *args, options=disks, timeout=20_000 if thorough else 1500))


@lab.shared_boot("real")
@pytest.mark.parametrize("name", realdata.SETS)
def test_real(name):
    assert "mismatches 0" in batch().check(name)


@lab.shared_boot("real")
def test_real_leaves_no_trace():
    batch().run.check()


@pytest.mark.full
@lab.shared_boot("real-thorough")
@pytest.mark.timeout(21_000)
@pytest.mark.parametrize("name", realdata.SETS)
def test_real_thorough(name):
    assert "mismatches 0" in batch(thorough=True).check(name)
