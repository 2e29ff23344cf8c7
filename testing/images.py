# SPDX-License-Identifier: GPL-2.0-only
"""The grid of images: recipes, not blobs. An image is made by mkfs.erofs on
first use and kept in the cache under the hash of its recipe."""
import contextlib
import fcntl
import hashlib
import inspect
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))
import source  # noqa: E402

CACHE = Path(os.environ.get("EROFS_RS_CACHE") or os.path.expanduser("~/.cache/erofs_rs")) / "images"
UUID = "-U5ca1ab1e-0000-4000-8000-00000000e0f5"
BLOCKS = (512, 1024, 2048, 4096)
# Kinds of recipes.
WITH_DEVICES = ("blob", "tar-index", "rebuild")


@dataclass(frozen=True)
class Recipe:
    name: str
    args: tuple = ()            # of mkfs.erofs
    tree: str = "plain"         # what it is made of: see `material`
    kind: str = "dir"           # how: see `make`
    how: str = ""               # further options of treecmp

    def key(self):
        text = repr((self.args, self.tree, self.kind)) + Path(source.__file__).read_text() + _maker_text()
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Image:
    recipe: Recipe
    path: Path
    devices: tuple = ()         # extra devices, in the order of the device table

    @property
    def name(self):
        return self.recipe.name


def _maker_text():
    """The functions below that decide what an image holds."""
    text = Path(__file__).read_text()
    return text[text.index("# --- making"):text.index("# --- the grid")]


# --- making

def mkfs(out, args, *sources):
    cmd = ["mkfs.erofs", "--quiet", UUID, f"-T{source.TIME}", "--mkfs-time", "--preserve-mtime", *args,
           str(out), *map(str, sources)]
    p = subprocess.run(cmd, capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(f"{' '.join(cmd)}: {p.stdout}{p.stderr}")


@contextlib.contextmanager
def locked(path):
    """One process at a time makes `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(path, maker):
    """`maker(path)` unless it is there; never half made."""
    if path.exists():
        return path
    with locked(path):
        if not path.exists():
            part = path.with_name(path.name + ".part")
            if part.is_dir():
                shutil.rmtree(part)
            part.unlink(missing_ok=True)
            maker(part)
            part.rename(path)
    return path


def material(what):
    """The source tree or tar that `what` names."""
    h = hashlib.sha256((Path(source.__file__).read_text() + what).encode()).hexdigest()[:12]
    path = CACHE / f"source-{what}-{h}"
    match what:
        case "plain":
            return once(path, source.tree)
        case "small-ids":
            return once(path, lambda p: source.tree(p, big_ids=False))
        case "wide":
            return once(path, lambda p: source.tree(p, entries=3000))
        case "tar":
            return once(path, lambda p: source.tar(p, material("plain")))
        case "headers":
            return once(path, lambda p: source.tar(p, material("plain"), content=False))
        case "no-xattrs":
            # mkfs.erofs 1.9.4 cannot rebuild from layers with some of the xattrs.
            return once(path, lambda p: source.tree(p, xattrs=False, entries=10))
        case "bare":
            return once(path, _bare_tree)
        case "far-tar":
            return once(path, lambda p: source.sparse_tar(
                p, [("a_big", 3 << 40, None), ("z1", 1000, None), ("z2", 5000, None)]))
        case "far-index":
            return once(path, lambda p: source.sparse_tar(
                p, [("a_big", (2 << 40) + (1 << 30), None), ("z1", 3000, b"far away " * 333 + b"end"),
                    ("z2", 70000, b"0123456" * 10000)]))
        case "long-xattr":
            return once(path, _long_xattr_tar)
    if what.startswith("/"):
        return Path(what)
    raise KeyError(what)


def _bare_tree(path):
    """What a second layer adds and replaces."""
    (path / "sizes").mkdir(parents=True)
    (path / "upper" / "dir").mkdir(parents=True)
    for name, size in (("sizes/f0004096", 777), ("sizes/new", 200_000), ("upper/dir/file", 70_000)):
        (path / name).write_bytes(bytes(i * 7 % 251 for i in range(size)))
        os.utime(path / name, (source.TIME, source.TIME))
    (path / "upper" / "link").symlink_to("dir/file")


def _long_xattr_tar(path):
    """Values that no ordinary filesystem takes."""
    import tarfile
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as t:
        for n in (4000, 5000, 20000, 60000):
            info = tarfile.TarInfo(f"x{n}")
            info.pax_headers = {"SCHILY.xattr.user.long": "v" * n, "SCHILY.xattr.user.z": "after"}
            t.addfile(info)


def device_slots(image):
    """(offset, blocks, uniaddr) of each device slot, and the block size."""
    with open(image, "rb") as f:
        f.seek(1024)
        sb = f.read(144)
        bs = 1 << sb[12]
        count, first = struct.unpack_from("<HH", sb, 86)
        slots = []
        for i in range(count):
            off = (first + i) * 128
            f.seek(off + 64)
            slots.append((off, *struct.unpack("<II", f.read(8))))
    return bs, slots


def flatten(image, blobs, out):
    """One device: each blob at its uniform address. mkfs leaves the addresses
    to whoever concatenates, so they are given here."""
    shutil.copyfile(image, out)
    bs, slots = device_slots(image)
    with open(out, "r+b") as f:
        at = -(-os.path.getsize(image) // bs)
        for (off, _, _), blob in zip(slots, blobs, strict=True):
            f.seek(off + 68)
            f.write(struct.pack("<I", at))
            f.seek(at * bs)
            f.write(Path(blob).read_bytes())
            at = -(-f.tell() // bs)
        f.truncate(at * bs)


def _mkfs_with_blob(out, blob, args, src, flat):
    mkfs(out, [*args, f"--blobdev={blob}"], src)
    if flat:
        flatten(out, [blob], out.with_suffix(".flat"))
        out.with_suffix(".flat").rename(out)
        blob.unlink()
    else:
        # The loop driver works in sectors: the last must be whole.
        os.truncate(blob, -(-blob.stat().st_size // 4096) * 4096)


def hashed(function):
    """A short hash of a function's own text."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:12]


def make(recipe):
    """The image of a recipe, from the cache or new."""
    base = CACHE / f"{recipe.name}-{recipe.key()}"
    img = base.with_suffix(".img")
    src = material(recipe.tree)
    args = list(recipe.args)
    match recipe.kind:
        case "as-is":
            return Image(recipe, src)
        case "dir" | "tar":
            once(img, lambda p: mkfs(p, args, src))
            return Image(recipe, img)
        case "tar-index":
            once(img, lambda p: mkfs(p, args, src))
            return Image(recipe, img, (src,))
        case "blob" | "flat":
            blob = base.with_suffix(".blob")
            once(img, lambda p: _mkfs_with_blob(p, blob, args, src, recipe.kind == "flat"))
            return Image(recipe, img, (blob,) if recipe.kind == "blob" else ())
        case "rebuild":
            layers = [make(r) for r in LAYERS]
            paths = [i.path for i in layers]
            once(img, lambda p: mkfs(p, args, *paths))
            return Image(recipe, img, tuple(paths))
    raise KeyError(recipe.kind)


LAYERS = [Recipe("layer-a", ("--chunksize=4096",), "no-xattrs"),
          Recipe("layer-b", ("--chunksize=65536",), "bare")]


# --- the grid

def grid():
    """Every uncompressed form that mkfs.erofs 1.9.4 writes."""
    r = []
    for bs in BLOCKS:
        b = f"-b{bs}"
        r += [
            Recipe(f"b{bs}-default", (b,)),
            Recipe(f"b{bs}-noinline", (b, "-E^inline_data")),
            Recipe(f"b{bs}-extended", (b, "-Eforce-inode-extended")),
            Recipe(f"b{bs}-chunk4k", (b, "--chunksize=4096")),
            Recipe(f"b{bs}-chunk-indexes", (b, "--chunksize=65536", "-Eforce-chunk-indexes")),
            Recipe(f"b{bs}-48bit", (b, "-E48bit")),
            Recipe(f"b{bs}-dot-omitted", (b, "-Edot-omitted")),
            Recipe(f"b{bs}-blob", (b, "--chunksize=8192"), kind="blob"),
        ]
    r += [
        Recipe("compact", ("-Eforce-inode-compact",), "small-ids"),
        Recipe("compact-48bit", ("-Eforce-inode-compact,48bit",), "small-ids"),
        Recipe("b512-compact", ("-b512", "-Eforce-inode-compact"), "small-ids"),
        Recipe("ignore-mtime", ("--ignore-mtime",), "small-ids"),
        Recipe("wide", (), "wide"),
        Recipe("b512-wide", ("-b512",), "wide"),
        Recipe("wide-dot-omitted", ("-Edot-omitted",), "wide"),
        Recipe("chunk64k", ("--chunksize=65536",)),
        Recipe("chunk1m", ("--chunksize=1048576",)),
        Recipe("chunk1g", ("--chunksize=1073741824",)),
        Recipe("chunk-indexes-48bit", ("--chunksize=16384", "-Eforce-chunk-indexes,48bit")),
        Recipe("blockmap", ("-Eforce-inode-blockmap",)),
        Recipe("blockmap-chunk", ("--chunksize=32768", "-Eforce-inode-blockmap")),
        Recipe("xattr-none", ("-x-1",)),
        Recipe("xattr-inline", ("-x0",)),
        Recipe("xattr-x1", ("-x1",)),
        Recipe("xattr-x100", ("-x100",)),
        Recipe("b512-xattr-inline", ("-b512", "-x0")),
        Recipe("xattr-nofilter", ("-E^xattr-name-filter",)),
        Recipe("xattr-prefix", ("--xattr-prefix=trusted.overlay.", "--xattr-prefix=user.n")),
        Recipe("xattr-prefix-plain", ("-Eplain-xattr-prefixes", "--xattr-prefix=trusted.overlay.",
                                      "--xattr-prefix=user.", "--xattr-prefix=security.lab")),
        Recipe("xattr-long", ("--tar=f",), "long-xattr", "tar"),
        Recipe("root-xattr-isize", ("--root-xattr-isize=200",)),
        Recipe("nosbcrc", ("-Enosbcrc",)),
        Recipe("label", ("-Lfifteen bytes l",)),
        Recipe("null-uuid", ("-U00000000-0000-0000-0000-000000000000",)),
        Recipe("all-root", ("--all-root",)),
        Recipe("uid-offset", ("--uid-offset=100000", "--gid-offset=200000"), "small-ids"),
        Recipe("hard-dereference", ("--hard-dereference",)),
        Recipe("dsunit", ("--dsunit=16",)),
        Recipe("metazone", ("--MZ",)),
        Recipe("metabox", ("-m4096",)),
        Recipe("b512-metabox", ("-b512", "-m512")),
        Recipe("ishare-digest", ("--xattr-inode-digest=trusted.erofs.fingerprint",)),
        Recipe("tar-full", ("--tar=f",), "tar", "tar"),
        Recipe("tar-full-chunk", ("--tar=f", "--chunksize=4096"), "tar", "tar"),
        Recipe("tar-index", ("--tar=i", "-b512"), "tar", "tar-index"),
        Recipe("tar-headerball", ("--tar=headerball",), "headers", "tar"),
        Recipe("rebuild", (), "bare", "rebuild"),
        Recipe("flatdev", ("--chunksize=4096",), kind="flat"),
        Recipe("flatdev-chunk64k", ("-b1024", "--chunksize=65536",), kind="flat"),
        Recipe("nlink-1", ("-b512", "-E48bit,^inline_data", "--tar=f", "--clean=rvsp"), "far-tar", "tar", how="--limit 1000000"),
        Recipe("chunk-48bit", ("-b512", "--tar=i"), "far-index", "tar-index", how="--limit 1000000"),
    ]
    return r


def main():
    """Makes the whole grid; for those who want to look at it."""
    for recipe in grid():
        try:
            image = make(recipe)
            size = os.stat(image.path)
            print(f"{recipe.name:22} {size.st_size:>14} {size.st_blocks * 512:>10} devices {len(image.devices)}")
        except RuntimeError as e:
            print(f"{recipe.name:22} FAILED {e}")


if __name__ == "__main__":
    main()
