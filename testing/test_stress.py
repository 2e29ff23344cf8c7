# SPDX-License-Identifier: GPL-2.0-only
"""The stress program of Debian's source package erofs-utils: random reads, scans
and listings by four processes, compared with the directory that the image was made of."""
import functools
import os
import re
import subprocess

import pytest

import images
import lab
import zimages

# Each image has so many; `make stress` gives more. And so many at a time.
SECONDS = int(os.environ.get("EROFS_RS_STRESS", "20"))
TOGETHER = 4
CELLS = {f"{a}-{how}": ([f"-z{z}", "-C65536"] if z else []) + more
         for a, z in {"none": None, **zimages.ALGORITHMS}.items()
         for how, more in {"plain": [], "all": list(zimages.LAYOUTS["all"])}.items() if z or not more}

# With package lists of its own: the toolbox has none of sources.
FETCH = """
mkdir -p lists/partial cache/archives/partial
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >sources.list
set -- -qq -o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$PWD/lists \
	-o Dir::Cache=$PWD/cache -o APT::Sandbox::User=root
apt-get "$@" update
apt-get "$@" source --download-only erofs-utils
tar -xf erofs-utils_*.orig.tar.*
cd erofs-utils-*
cc -O2 -DHAVE_LINUX_TYPES_H -Iinclude -o ../stress contrib/stress.c
"""


def program():
    def make(path):
        path.mkdir()
        p = subprocess.run(["sh", "-ec", FETCH], cwd=path, capture_output=True, text=True)
        assert p.returncode == 0, lab.tail(p.stdout + p.stderr)
    return images.once(images.CACHE.parent / f"stress-{images.hashed(program)}", make) / "stress"


@functools.cache
def batch():
    golden = zimages.material()
    args = [x for name, how in CELLS.items()
            for x in (name, images.make(images.Recipe(f"stress-{name}", tuple(how), str(golden))).path)]
    limit = -(-len(CELLS) // TOGETHER) * (SECONDS + 60) + 120
    return lab.Batch(lab.script("stock", "stress.sh", SECONDS, TOGETHER, program(), golden, *args, timeout=limit, cpus=2))


@pytest.mark.timeout(20_000)
@pytest.mark.parametrize("name", CELLS)
@lab.shared_boot("stress")
def test_stress(name):
    done = re.search(r"^operations (\d+)$", batch().check(name), re.M)
    assert int(done[1]) > SECONDS, "hardly anything was done"


@lab.shared_boot("stress")
def test_stress_leaves_no_trace():
    batch().run.check()
