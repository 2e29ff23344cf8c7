#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who pays for the memory of compressed data, as one driver keeps it. Prints one JSON object.

    memory.py cgroup FS DEVICE LIMIT             a page of each pcluster of a file, in a cgroup of LIMIT bytes
    memory.py pressure FS DEVICE MOUNTS          many mounts, then a process that takes memory
    memory.py flags FS DEVICE STRIDE             the allocations of a reader, as traced
"""
import fcntl
import json
import mmap
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

PAGE = mmap.PAGESIZE
CGROUPS = Path("/sys/fs/cgroup")
MNT = Path("/run/memory")


def meminfo():
    """In bytes."""
    return {k: int(v) * 1024 for k, v in re.findall(r"^(\S+): +(\d+) kB", Path("/proc/meminfo").read_text(), re.M)}


def fields(path):
    return {k: int(v) for k, v in (line.split() for line in path.read_text().splitlines())}


def used():
    """All but what is free, of which each CPU has some in lists of its own."""
    m = meminfo()
    listed = sum(map(int, re.findall(r"^ +count: +(\d+)", Path("/proc/zoneinfo").read_text(), re.M)))
    return m["MemTotal"] - m["MemFree"] - listed * PAGE


def settle():
    """What per-CPU lists and RCU have is given back first."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    Path("/proc/sys/vm/compact_memory").write_text("1")
    time.sleep(1)


def mount(fs, device, where):
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-i", "-t", fs, "-o", "ro", device, where], check=True)


def cgroup(name, limit):
    if not (CGROUPS / "cgroup.controllers").exists():
        subprocess.run(["mount", "-t", "cgroup2", "none", CGROUPS], check=True)
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    path = CGROUPS / name
    path.mkdir()
    if limit:
        (path / "memory.max").write_text(str(limit))
    return path


def in_child(work, group=None):
    """The wait status of a process that does `work`, in a cgroup."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if group:
                (group / "cgroup.procs").write_text(str(os.getpid()))
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def sparse_read(path, stride):
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for at in range(0, os.fstat(fd).st_size, stride):
        assert len(os.pread(fd, PAGE, at)) > 0
    os.close(fd)


def extents(fd):
    """Positions of a file's extents, which are those of its pclusters (FIEMAP)."""
    found, at, end = [], 0, os.fstat(fd).st_size
    while at < end:
        buf = bytearray(struct.pack("=QQIIII", at, end - at, 0, 0, 512, 0) + bytes(512 * 56))
        fcntl.ioctl(fd, 0xC020660B, buf)
        count, = struct.unpack_from("=I", buf, 20)
        if not count:
            break
        for n in range(count):
            logical, _, length = struct.unpack_from("=QQQ", buf, 32 + n * 56)
            found.append(logical)
        at = logical + length
    return found


def read_first_pages(path, positions):
    """The first page that is wholly in each extent: nothing else is read with it."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for at in positions:
        assert len(os.pread(fd, PAGE, -(-at // PAGE) * PAGE)) > 0
    os.close(fd)


def run_cgroup(fs, device, limit):
    mount(fs, device, MNT)
    big = MNT / "big"
    fd = os.open(big, os.O_RDONLY)
    positions = extents(fd)
    os.close(fd)
    # The code that everybody shares.
    in_child(lambda: read_first_pages(big, positions[:1]))
    group = cgroup("reader", int(limit))
    in_child(lambda: None, group)
    settle()
    before, charged, info = used(), int((group / "memory.current").read_text()), meminfo()
    status = in_child(lambda: read_first_pages(big, positions), group)
    time.sleep(1)
    after, now = meminfo(), int((group / "memory.current").read_text())
    stat = fields(group / "memory.stat")
    return {
        "status": status,
        "pclusters": len(positions),
        "charged": now - charged,
        "used": used() - before,
        "reclaimable": after["KReclaimable"] - info["KReclaimable"],
        "file": stat["file"], "kernel": stat["kernel"], "anon": stat["anon"],
        "outside": {k: v - info[k] for k, v in after.items() if abs(v - info[k]) > 1 << 19},
        "oom_kill": fields(group / "memory.events")["oom_kill"],
    }


def kept():
    """Compressed pages that erofs_rs keeps: reclaimable, but in no slab."""
    m = meminfo()
    return m["KReclaimable"] - m["SReclaimable"]


def run_pressure(fs, device, mounts):
    mounts = int(mounts)
    for n in range(mounts):
        loop = subprocess.run(["losetup", "-r", "-f", "--direct-io=on", "--show", device], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.strip()
        mount(fs, loop, MNT / str(n))
    settle()
    # The hot page cache: read again and again below.
    hot = os.open(MNT / "0" / "hot", os.O_RDONLY)
    size = os.fstat(hot).st_size
    mapped = mmap.mmap(hot, size, prot=mmap.PROT_READ)

    def touch():
        return sum(mapped[at] for at in range(0, size, PAGE))

    for _ in range(5):
        want = touch()
    keeps = kept()
    for n in range(mounts):
        sparse_read(MNT / str(n) / "cold", 128 << 10)
    cold = kept() - keeps
    for _ in range(3):
        touch()
    before, start = fields(Path("/proc/vmstat")), meminfo()
    # All that is free, and three quarters of what the cold reads left.
    take = start["MemFree"] + 3 * (start["Cached"] + start["Buffers"] + max(kept(), 0) - size) // 4
    taken = mmap.mmap(-1, take)
    for at in range(0, take, PAGE):
        taken[at] = 1
        if at % (4 << 20) == 0:
            assert touch() == want
    after = fields(Path("/proc/vmstat"))
    return {
        "took": take, "hot": size, "kept": cold, "left": max(kept() - keeps, 0),
        "refaults": after["workingset_refault_file"] - before["workingset_refault_file"],
        "reclaimed": after["pgsteal_kswapd"] + after["pgsteal_direct"] - before["pgsteal_kswapd"] - before["pgsteal_direct"],
    }


def run_flags(fs, device, stride):
    """How pages were asked for by code of the driver, by the flags of each allocation."""
    mount(fs, device, MNT)
    tracing = Path("/sys/kernel/tracing")
    if not (tracing / "events").exists():
        subprocess.run(["mount", "-t", "tracefs", "none", tracing], check=True)
    event = tracing / "events/kmem/mm_page_alloc"
    (tracing / "buffer_size_kb").write_text("32768")
    (tracing / "options/stacktrace").write_text("1")
    (event / "enable").write_text("1")
    in_child(lambda: sparse_read(MNT / "big", int(stride)))
    (event / "enable").write_text("0")
    # The frame that asked the page allocator, with the flags of the event above it.
    flags, asked, frame = {}, None, ""
    for line in (tracing / "trace").read_text().splitlines():
        if m := re.search(r"mm_page_alloc: .*gfp_flags=(\S+)", line):
            asked = m[1]
        elif line.startswith(" => "):
            caller, frame = frame, line[4:]
            if asked and caller == "alloc_pages_noprof" and re.match(r"_R\w*(3vfs|8erofs_rs)", frame):
                flags[asked] = flags.get(asked, 0) + 1
                asked = None
    return {"flags": flags}


def main():
    what, *args = sys.argv[1:]
    print(json.dumps({"cgroup": run_cgroup, "pressure": run_pressure, "flags": run_flags}[what](*args)))


if __name__ == "__main__":
    main()
