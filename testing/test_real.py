# SPDX-License-Identifier: GPL-2.0-only
"""Real data on the stock bed, over virtio disks."""
import functools

import pytest

import lab
import realdata


@functools.cache
def batch(sets, timeout):
    args, disks = [], []
    for letter, (name, (make, how)) in zip("bdfhjlnpr", getattr(realdata, sets).items(), strict=False):
        image = make()
        disks += ["--disk", image, "--disk", image]
        args += [name, how, letter]
    return lab.Batch(lab.script("stock", "real.sh", *args, options=disks, timeout=timeout, cpus=2))


@lab.shared_boot("real")
@pytest.mark.parametrize("name", realdata.QUICK)
def test_real(name):
    assert "mismatches 0" in batch("QUICK", 1500).check(name)


@lab.shared_boot("real")
def test_real_leaves_no_trace():
    batch("QUICK", 1500).run.check()


@pytest.mark.full
@lab.shared_boot("real-thorough")
@pytest.mark.timeout(21_000)
@pytest.mark.parametrize("name", realdata.THOROUGH)
def test_real_thorough(name):
    assert "mismatches 0" in batch("THOROUGH", 20_000).check(name)
