# SPDX-License-Identifier: GPL-2.0-only
"""How often each driver reads a file that it has mounted. Prints `TYPE STEP COUNT`.

    events.py IMAGE TYPE..."""
import mmap
import os
import struct
import subprocess
import sys

from fanotify import Watch

POINT = "/mnt/events"


def daemon(watch, counter):
    while True:
        for access in watch.accesses():
            count, = struct.unpack_from("Q", counter)
            struct.pack_into("Q", counter, 0, count + 1)
            watch.allow(access)


def steps(fs, image):
    yield "mount", ["mount", "-i", "-t", fs, "-o", "ro", image, POINT]
    yield "list", ["ls", "-lR", POINT]
    yield "drop", ["sh", "-c", "echo 2 >/proc/sys/vm/drop_caches"]
    yield "list-again", ["ls", "-lR", POINT]
    yield "cat", ["cat", f"{POINT}/large"]
    yield "small", ["sh", "-c", f"cat {POINT}/many/*"]
    yield "umount", ["umount", POINT]


def main(image, *types):
    os.makedirs(POINT, exist_ok=True)
    watch, counter = Watch(image), mmap.mmap(-1, 4096)
    pid = os.fork()
    if pid == 0:
        daemon(watch, counter)
    for fs in types:
        # Both find as little in the page caches.
        subprocess.run(["sh", "-c", "echo 3 >/proc/sys/vm/drop_caches"], check=True)
        for name, command in steps(fs, image):
            before, = struct.unpack_from("Q", counter)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after, = struct.unpack_from("Q", counter)
            print(fs, name, after - before, flush=True)
    if os.waitpid(pid, os.WNOHANG) != (0, 0):
        sys.exit("the daemon has ended")
    os.kill(pid, 9)


main(*sys.argv[1:])
