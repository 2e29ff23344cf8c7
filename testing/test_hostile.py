# SPDX-License-Identifier: GPL-2.0-only
"""Images that lie: 2,000 mutants by structure, in the kernel with every check
on. No splat, no hang; and each error that of the C driver, or an earlier one."""
import functools
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import images
import lab
import mutate
import source

SEED = 20
COUNT = 2000

BASES = {
    "default": ("-x1",),
    "b512": ("-b512", "-x1"),
    "extended": ("-Eforce-inode-extended", "-b1024", "-x1"),
    "chunked": ("-b512", "--chunksize=512", "-Eforce-chunk-indexes"),
    "blockmap": ("-b512", "--chunksize=1024", "-Eforce-inode-blockmap"),
    "48bit": ("-b512", "-E48bit,dot-omitted", "-x1"),
    "prefixes": ("-b1024", "-x1", "-Eplain-xattr-prefixes", "--xattr-prefix=user.lo"),
    "metabox": ("-b512", "-m512"),
    "devices": ("-b512", "--chunksize=512"),
}


def tiny_tree(path):
    """A dozen inodes with one of everything."""
    (path / "dir").mkdir(parents=True)
    (path / "a").write_bytes(b"inline\n")
    (path / "b").write_bytes(bytes(i * 31 % 256 for i in range(5000)))
    (path / "dir" / "c").write_bytes(bytes(700))
    for i in range(4):
        (path / "dir" / f"{'n' * 150}{i}").write_bytes(b"")
    (path / "link").symlink_to("dir/c")
    (path / "slow").symlink_to("s/" * 700)
    os.mkfifo(path / "pipe")
    os.setxattr(path / "a", "user.a", b"value")
    os.setxattr(path / "b", "user.long-name", b"v" * 70)
    for name in ("a", "b", "dir"):
        os.setxattr(path / name, "user.shared", b"the same in each of them")
    os.setxattr(path / "a", "system.posix_acl_access", source.ACL)
    for p in (*path.rglob("*"), path):
        os.utime(p, (source.TIME, source.TIME), follow_symlinks=False)


def base_image(name):
    tree = images.once(images.CACHE / f"tiny-{images.hashed(tiny_tree)}", tiny_tree)
    recipe = images.Recipe(f"tiny-{name}", BASES[name], str(tree), "flat" if name == "devices" else "dir")
    return images.make(recipe).path


def hostile(name):
    image = base_image(name)
    count = -(-COUNT // len(BASES))
    lines = mutate.mutants(image.read_bytes(), count, SEED)
    todo = lab.scratch(f"mutants-{name}")
    todo.write_text("\n".join(lines) + "\n")
    run = lab.vm("uml-debug", lab.treecmp(), "hostile", todo, "--base", image, "--types", "erofs", lab.PEER, timeout=900)
    return lines, run


@functools.cache
def all_runs():
    """The guests have one CPU each: as many at a time as there are CPUs."""
    pool = ThreadPoolExecutor(os.cpu_count())
    return {name: pool.submit(hostile, name) for name in BASES}


@pytest.mark.parametrize("name", BASES)
def test_mutants(name):
    lines, run = all_runs()[name].result()
    ids = [line.split("\t")[0] for line in lines]
    seen = [line for line in run.out.splitlines() if not line.startswith("differs ")]
    differ = re.findall(r"^differs (\S+) (.*)$", run.out, re.M)
    # At mount, an error where the C driver finds none is as good.
    bad = [f"{i} {what}" for i, what in differ if not what.startswith("stricter mount:")]
    assert run.status == 0, f"status {run.status} at {seen[-1:]}\n{lab.tail(run.err)}"
    assert seen == ids, f"stopped at {seen[-1:]}"
    assert not bad, f"{len(bad)} of {len(ids)} differ\n" + "\n".join(bad[:40])
