# SPDX-License-Identifier: GPL-2.0-only
"""A reader is killed while the file that is mounted keeps it waiting, and another one has joined its read.

    joined.py TYPE IMAGE DIRECTORY SOURCE

Mounts IMAGE, which holds what SOURCE does, at DIRECTORY. Prints `WHAT right`, or what the other one got."""
import ctypes
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time

from fanotify import Watch, libc

PAGE = 4096
AT = 8 * PAGE           # where the other one reads
GETDENTS64 = 217


def entries(fd, at):
    """The names of a directory from position `at` on."""
    os.lseek(fd, at, os.SEEK_SET)
    buffer, names = ctypes.create_string_buffer(65536), []
    while n := libc.syscall(GETDENTS64, fd, buffer, ctypes.c_size_t(len(buffer))):
        if n < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        done = 0
        while done < n:
            length, = struct.unpack_from("H", buffer, done + 16)
            names.append(ctypes.string_at(ctypes.addressof(buffer) + done + 19))
            done += length
    return names


class Directory:
    def __init__(self, directory, source):
        self.fds = [os.open(f"{directory}/names", os.O_RDONLY) for _ in range(2)]
        self.rest = entries(self.fds[1], AT)

    def first(self):
        entries(self.fds[0], 0)

    def other(self):
        return entries(self.fds[1], AT) == self.rest


class Read:
    def __init__(self, directory, source):
        self.fd = os.open(f"{directory}/large", os.O_RDONLY)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)
        with open(f"{source}/large", "rb") as f:
            f.seek(AT)
            self.copy = f.read(PAGE)

    def first(self):
        os.pread(self.fd, 1, 0)

    def other(self):
        return os.pread(self.fd, PAGE, AT) == self.copy


class Mapped(Read):
    def other(self):
        mapped = mmap.mmap(self.fd, 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_RANDOM)
        return mapped[AT:AT + PAGE] == self.copy


class Gate(threading.Thread):
    """Allows each access to the file, but for a read of data by `hold`."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.watch, self.hold, self.held = Watch(path), None, None

    def run(self):
        while True:
            for access in self.watch.accesses():
                if access.pid == self.hold and access.count > PAGE and not self.held:
                    self.held = access
                else:
                    self.watch.allow(access)

    def open(self):
        self.watch.allow(self.held)
        self.hold = self.held = None


def fork(gate, work):
    pid = os.fork()
    if pid:
        return pid
    # Whoever waits goes on when nobody can answer any more.
    os.close(gate.watch.fd)
    try:
        os._exit(0 if work() else 99)
    except OSError as e:
        os._exit(e.errno)


def wait(what, condition):
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: nothing happened")
        time.sleep(0.01)


def inflight(sysfs):
    with open(f"{sysfs}/stats") as f:
        return int(dict(line.split() for line in f)["inflight"])


def trial(gate, sysfs, work):
    for path in ("/proc/sys/vm/drop_caches", f"{sysfs}/drop_caches"):
        with open(path, "w") as f:
            f.write("1")
    before, begin = inflight(sysfs), os.pipe()
    first = fork(gate, lambda: os.read(begin[0], 1) and work.first())
    gate.hold = first
    os.write(begin[1], b"!")
    wait("the first one", lambda: gate.held)
    other = fork(gate, work.other)
    wait("the other one", lambda: inflight(sysfs) > before)
    os.kill(first, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])
    if os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) != -signal.SIGKILL:
        sys.exit("the first one was not killed")
    gate.open()
    return "right" if status == 0 else "wrong" if status == 99 else os.strerror(status) if status > 0 else -status


def main(fs, image, directory, source):
    gate = Gate(image)
    gate.start()
    subprocess.run(["mount", "-i", "-t", fs, "-o", "ro", image, directory], check=True)
    dev = os.stat(directory).st_dev
    sysfs = f"/sys/fs/{fs}/{os.major(dev)}:{os.minor(dev)}"
    # What is read ahead and fails is read again by whoever needs it.
    with open(f"{sysfs}/dir_ra_bytes", "w") as f:
        f.write("0")
    for kind in (Directory, Read, Mapped):
        got = trial(gate, sysfs, kind(directory, source))
        print(kind.__name__.lower(), got, flush=True)


main(*sys.argv[1:])
