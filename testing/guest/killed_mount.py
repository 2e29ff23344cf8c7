# SPDX-License-Identifier: GPL-2.0-only
"""Mounts that are killed while the disk is slow to answer: until it has, nobody else can claim it.

    killed_mount.py TYPE DEVICE DIRECTORY ROUNDS

All that a mount reads of DEVICE comes late but the first page: what the page cache of the device itself reads is not seen
here. Prints how many were `killed`, how many `kept` the device while they waited for it, and how many had given it up."""
import ctypes
import errno
import os
import random
import signal
import sys
import time

MS_RDONLY = 1
libc = ctypes.CDLL(None, use_errno=True)


def mount(fs, device, directory):
    pid = os.fork()
    if pid == 0:
        args = (ctypes.c_char_p(os.fsencode(s)) for s in (device, directory, fs))
        os._exit(ctypes.get_errno() if libc.mount(*args, ctypes.c_ulong(MS_RDONLY), None) else 0)
    return pid


def is_claimed(device):
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as e:
        if e.errno != errno.EBUSY:
            raise
        return True
    return False


def main(fs, device, directory, rounds):
    rng, killed, kept, gone = random.Random(2), 0, 0, 0
    begin = time.monotonic()
    if status := os.waitpid(mount(fs, device, directory), 0)[1]:
        sys.exit("not mounted: " + os.strerror(os.waitstatus_to_exitcode(status)))
    span = time.monotonic() - begin
    libc.umount2(os.fsencode(directory), 0)
    for _ in range(int(rounds)):
        pid = mount(fs, device, directory)
        # It is in its first slow read, and does not meet who tries to claim the device.
        time.sleep(rng.uniform(span / 4, span / 2))
        os.kill(pid, signal.SIGKILL)
        # Time to see the signal.
        time.sleep(0.05)
        claimed = is_claimed(device)
        if not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            kept += claimed
            gone += not claimed
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        if os.path.ismount(directory):
            libc.umount2(os.fsencode(directory), 0)
    print("killed", killed)
    print("kept", kept)
    print("gone", gone)


main(*sys.argv[1:])
