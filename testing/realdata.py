# SPDX-License-Identifier: GPL-2.0-only
"""Images of real data, made once: a Debian root, the kernel's source as a tree
and as one tar, a browser's libraries, and a very large directory."""
import hashlib
import os
import subprocess

import images
import lab

ENTRIES = 100_000
# Those of `make run`.
COMPRESSED = "-zlz4hc -C65536 -Efragments,dedupe,ztailpacking"


def debian(options=""):
    """The image of `make run` with these options, which makes it where it is missing."""
    path = images.CACHE / f"debian-root-{hashlib.sha256(f'{options}\n'.encode()).hexdigest()[:8]}.erofs"
    if not path.exists():
        p = subprocess.run(["tools/run", "check"], cwd=lab.TOP, env={**os.environ, "MKFS_OPTIONS": options},
                           capture_output=True, text=True)
        assert path.exists(), lab.tail(p.stdout + p.stderr)
    return path


def linux_tree(kind="plain"):
    tree = subprocess.run(["tools/kernel", "source"], cwd=lab.TOP, check=True, text=True, stdout=subprocess.PIPE)
    tree = tree.stdout.strip()
    name = tree.rsplit("/", 1)[1]
    args, suffix = {"plain": ([], ""), "compressed": (COMPRESSED.split(), "-compressed")}[kind]
    return images.once(images.CACHE / f"{name}{suffix}.img", lambda p: images.mkfs(p, ["-x-1", *args], tree))


def _tar_dir(path):
    path.mkdir()
    packed, = (lab.Path("/usr/src")).glob("linux-source-*.tar.xz")
    with open(path / "linux.tar", "wb") as out:
        subprocess.run(["xz", "-dcT0", packed], stdout=out, check=True)


def linux_tar(kind):
    tree = images.once(images.CACHE / "linux-tar", _tar_dir)
    args = {"plain": [], "chunked": ["--chunksize=65536"], "compressed": ["-zlz4", "-C65536"]}[kind]
    return images.once(images.CACHE / f"linux-tar-{kind}.img", lambda p: images.mkfs(p, args, tree))


def _browser_tree(path):
    path.mkdir()
    subprocess.run(["apt-get", "-q", "download", "firefox-esr"], cwd=path, check=True, capture_output=True)
    package, = path.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, path], check=True)
    package.unlink()


def browser():
    """Large libraries."""
    tree = images.once(images.CACHE / "firefox-esr", _browser_tree)
    return images.once(tree.with_suffix(".img"), lambda p: images.mkfs(p, COMPRESSED.split(), tree))


def _crowd_tree(path):
    (path / "crowd").mkdir(parents=True)
    for i in range(ENTRIES):
        (path / "crowd" / f"{i * 7919 % 1_000_003:07}-{'n' * (i % 30)}").touch()


def crowd():
    """From a directory: from a tar, mkfs.erofs takes minutes for it."""
    tree = images.once(images.CACHE / f"crowd-{images.hashed(_crowd_tree)}", _crowd_tree)
    return images.once(tree.with_suffix(".img"), lambda p: images.mkfs(p, [], tree))


# name: image, treecmp options in `make test-full`, in `make test` if it is not too expensive for that
SETS = {
    "debian-root": (debian, "--jobs 2", "--every 100 --jobs 2"),
    "debian-root-compressed": (lambda: debian(COMPRESSED), "--jobs 2", "--every 100 --jobs 2"),
    "linux-tree": (linux_tree, "--every 10 --jobs 2", "--every 1000 --jobs 2"),
    "linux-tree-compressed": (lambda: linux_tree("compressed"), "--every 10 --jobs 2", None),
    "linux-tar-plain": (lambda: linux_tar("plain"), "--readers 2", "--level quick --limit 500000000"),
    "linux-tar-chunked": (lambda: linux_tar("chunked"), "--readers 2", "--level quick --limit 500000000"),
    "linux-tar-compressed": (lambda: linux_tar("compressed"), "--level quick", None),
    "firefox-esr": (browser, "--jobs 2", None),
    "crowd": (crowd, "--every 100 --jobs 2", "--every 5000 --jobs 2"),
}
QUICK = {name: (make, how) for name, (make, _, how) in SETS.items() if how}
THOROUGH = {name: (make, how) for name, (make, how, _) in SETS.items()}
