# SPDX-License-Identifier: GPL-2.0-only
"""The trees that images are made of: every type, mode and size that matters,
the same each time."""
import os
import random
import socket
import stat
import struct
import tarfile
import io

TIME = 1_700_000_000


def sizes(bs=4096):
    """File sizes at which a layout changes."""
    around = [n + d for n in (512, 1024, 2048, 4096, 8192, 65536) for d in (-1, 0, 1)]
    return sorted({0, 1, 2, 31, 100, *around, 4096 * 3 + 1777, 100_000, 300_001, (1 << 20) + 3})


def data(rng, size):
    """Bytes that repeat no block: a wrong block is a wrong byte."""
    return rng.randbytes(size)


def acl(*entries):
    """The xattr form of a POSIX ACL: (tag, perm, id) each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 0x10, 0x20
NOBODY = 0xFFFFFFFF
ACL = acl((USER_OBJ, 7, NOBODY), (USER, 5, 1000), (USER, 6, 70000), (GROUP_OBJ, 5, NOBODY),
          (GROUP, 4, 100), (MASK, 7, NOBODY), (OTHER, 1, NOBODY))


class Tree:
    """Makes one tree at `root`. The owners of every path are set last, so that
    the times stay."""

    def __init__(self, root, big_ids=True, entries=300, xattrs=True):
        self.root = os.fsencode(root)
        self.rng = random.Random(7)
        self.big_ids = big_ids
        self.entries = entries
        self.with_xattrs = xattrs
        os.makedirs(self.root)

    def at(self, *parts):
        return os.path.join(self.root, *(p if isinstance(p, bytes) else p.encode() for p in parts))

    def file(self, *parts, size=None, content=None, mode=0o644):
        path = self.at(*parts)
        with open(path, "wb") as f:
            f.write(data(self.rng, size) if content is None else content)
        os.chmod(path, mode)
        return path

    def dir(self, *parts, mode=0o755):
        path = self.at(*parts)
        os.makedirs(path)
        os.chmod(path, mode)
        return path

    def build(self):
        self.regular()
        self.names()
        self.links()
        self.special()
        if self.with_xattrs:
            self.xattrs()
        self.finish()

    def regular(self):
        self.dir("sizes")
        for n in sizes():
            self.file("sizes", f"f{n:07}", size=n)
        self.dir("sparse")
        for name, length, chunks in (
                ("hole", 300_000, []), ("head", 1 << 18, [0]), ("middle", 3 << 18, [1 << 18]),
                ("tail", (1 << 19) + 5, [(1 << 19) - 100]), ("comb", 1 << 19, range(0, 1 << 19, 32768))):
            path = self.file("sparse", name, size=0)
            with open(path, "r+b") as f:
                f.truncate(length)
                for off in chunks:
                    f.seek(off)
                    f.write(data(self.rng, min(5000, length - off)))
        # The same content twice, for chunks that are shared.
        twice = data(self.rng, 200_000)
        self.file("sparse", "twin1", content=twice)
        self.file("sparse", "twin2", content=twice)

    def names(self):
        self.dir("names")
        for n in (1, 2, 3, 14, 100, 254, 255):
            self.file("names", b"n" * n, content=b"%d\n" % n)
        for name in (b"\xff\xfe not utf-8 \x80", b" leading", b"trailing ", b"new\nline", b"-dash", b"\x01", b"~",
                     "Grüße".encode(), b"back\\slash", b"A", b"a", b"aa", b"a.", b"..."):
            self.file("names", name, content=name)
        self.dir("many")
        for i in range(self.entries):
            self.file("many", f"entry-{i * 7919 % 100_003:06}-{'x' * (i % 40)}", content=b"")
        for n in (1, 2, 5, 20, 60):
            self.dir(f"dir{n}")
            for i in range(n):
                self.file(f"dir{n}", f"{i}", size=i)
        self.dir("empty")
        deep = [b"deep"] + [b"%02d-%s" % (i, b"d" * (i * 12 % 200)) for i in range(20)]
        self.dir(*deep)
        self.file(*deep, "bottom", content=b"bottom\n")

    def links(self):
        self.dir("links")
        for n in (1, 10, 59, 60, 61, 500, 1023, 4095):
            os.symlink(b"t" * n if n < 256 else (b"d/" * 2048)[:n], self.at("links", f"sym{n}"))
        os.symlink("../sizes/f0004096", self.at("links", "good"))
        os.symlink("loop", self.at("links", "loop"))
        first = self.file("links", "hard1", size=5000)
        for i in range(2, 6):
            os.link(first, self.at("links", f"hard{i}"))
        os.link(first, self.at("hard6"))

    def special(self):
        self.dir("special")
        for name, kind, dev in (("null", stat.S_IFCHR, (1, 3)), ("big-dev", stat.S_IFCHR, (4095, 1048575)),
                                ("block", stat.S_IFBLK, (8, 1)), ("whiteout", stat.S_IFCHR, (0, 0))):
            os.mknod(self.at("special", name), kind | 0o640, os.makedev(*dev))
        os.mkfifo(self.at("special", "fifo"), 0o600)
        here = os.open(".", os.O_RDONLY)
        os.chdir(self.at("special"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind("socket")
        os.fchdir(here)
        os.close(here)
        self.dir("modes")
        for mode in (0, 0o111, 0o444, 0o600, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777):
            self.file("modes", f"{mode:04o}", content=b"m", mode=mode)
        self.dir("modes", "sticky", mode=0o1777)
        self.dir("modes", "setgid", mode=0o2775)

    def xattrs(self):
        self.dir("xattrs")

        def make(name, **attrs):
            path = self.file("xattrs", name, content=name.encode())
            for key, value in attrs.items():
                os.setxattr(path, key.replace("__", "."), value)
            return path

        make("one", user__a=b"1")
        make("empty", user__empty=b"")
        make("binary", user__bin=bytes(range(256)))
        make("large", user__large=data(self.rng, 3000))
        make("kinds", user__k=b"u", trusted__k=b"t", security__k=b"s")
        make("overlay", trusted__overlay__opaque=b"y", trusted__overlay__redirect=b"/elsewhere",
             trusted__overlay__origin=data(self.rng, 29))
        many = make("many")
        for i in range(40):
            os.setxattr(many, f"user.{'n' * (i % 30)}{i:02}", b"v" * i)
        # Shared xattrs: the same pair on many inodes.
        for i in range(12):
            make(f"shared{i}", user__shared=b"the same value in each", security__label=b"system_u:object_r:etc_t:s0",
                 **{f"user__own{i % 3}": b"%d" % i})
        for name in ("acl", "acl-sparse"):
            os.setxattr(make(name), "system.posix_acl_access", ACL)
        path = self.dir("xattrs", "dir")
        os.setxattr(path, "system.posix_acl_default", ACL)
        os.setxattr(path, "system.posix_acl_access", ACL)
        os.setxattr(path, "user.on-a-directory", b"yes")
        os.setxattr(self.root, "user.on-the-root", b"yes")
        os.symlink("one", self.at("xattrs", "sym"))
        os.setxattr(self.at("xattrs", "sym"), "trusted.on-a-link", b"yes", follow_symlinks=False)
        for name in ("block-edge", "block-edge2"):
            os.setxattr(make(name), "user.edge", data(self.rng, 2040))

    def finish(self):
        ids = [0, 1, 1000, 65534, 65535]
        if self.big_ids:
            ids += [65536, 100_000, 0xFFFFFFFE]
        for i, (top, dirs, files) in enumerate(sorted(os.walk(self.root, topdown=False))):
            for j, name in enumerate(sorted(files + dirs)):
                path = os.path.join(top, name)
                mode = os.lstat(path).st_mode
                os.chown(path, ids[(i + j) % len(ids)], ids[j % len(ids)], follow_symlinks=False)
                if not stat.S_ISLNK(mode):
                    os.chmod(path, stat.S_IMODE(mode))  # chown takes suid away
        # Times last, children before their directories.
        for top, dirs, files in os.walk(self.root, topdown=False):
            for j, name in enumerate(sorted(files + dirs)):
                when = (TIME - j * 86_400) * 10**9 + j * 1001 % 10**9
                os.utime(os.path.join(top, name), ns=(when, when), follow_symlinks=False)
        os.utime(self.root, (TIME, TIME))


def tree(root, **kw):
    Tree(root, **kw).build()


def tar(path, tree_dir, content=True):
    """The tree as a tar with PAX xattrs, in the order of the names. Without
    content it is a "headerball": what a data-less image is made from."""
    def meta(info, full):
        info.pax_headers["mtime"] = f"{info.mtime:.9f}"
        for name in os.listxattr(full, follow_symlinks=False):
            value = os.getxattr(full, name, follow_symlinks=False)
            info.pax_headers[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")

    form = {"format": tarfile.PAX_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}
    with open(path, "wb") as out, tarfile.open(fileobj=out, mode="w", **form) as t:
        for top, dirs, files in os.walk(tree_dir):
            dirs.sort()
            for name in sorted(dirs + files):
                full = os.path.join(top, name)
                info = t.gettarinfo(full, os.path.relpath(full, tree_dir))
                if info is None:
                    continue  # a socket has no place in a tar
                meta(info, full)
                if info.isreg() and content:
                    with open(full, "rb") as f:
                        t.addfile(info, f)
                elif info.isreg():
                    out.write(info.tobuf(t.format, t.encoding, t.errors))
                    t.offset = out.tell()
                else:
                    t.addfile(info)


def sparse_tar(path, members):
    """A tar whose large members take no room: (name, size, content or None)."""
    with open(path, "wb") as f:
        for name, size, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = size, 0o644, TIME
            f.write(info.tobuf(tarfile.GNU_FORMAT))
            here = f.tell()
            if content is not None:
                f.write(content)
            f.truncate(here + (size + 511) // 512 * 512)
            f.seek(0, io.SEEK_END)
        f.truncate(f.tell() + 1024)
