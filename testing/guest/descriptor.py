# SPDX-License-Identifier: GPL-2.0-only
"""Mounts a file that is given by a descriptor, or by its name (fsopen, fsconfig, fsmount), and prints what the source is shown
as; or which step failed, and how.

    descriptor.py TYPE FILE DIRECTORY read|write|path|name"""
import ctypes
import errno
import os
import sys

FSOPEN, FSCONFIG, FSMOUNT, MOVE_MOUNT = 430, 431, 432, 429
SET_STRING, SET_FD, CREATE = 1, 5, 6
ATTR_RDONLY, EMPTY_PATH, AT_FDCWD = 1, 4, -100
FLAGS = {"read": os.O_RDONLY, "write": os.O_WRONLY, "path": os.O_PATH}

libc = ctypes.CDLL(None, use_errno=True)


def call(what, number, *args):
    # Not all arguments are ints of C.
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        print(what, errno.errorcode[ctypes.get_errno()])
        sys.exit(1)
    return result


def main(fs, path, directory, how):
    fc = call("open", FSOPEN, ctypes.c_char_p(fs.encode()), 0)
    key = ctypes.c_char_p(b"source")
    if how == "name":
        call("source", FSCONFIG, fc, SET_STRING, key, ctypes.c_char_p(os.fsencode(path)), 0)
    else:
        call("source", FSCONFIG, fc, SET_FD, key, None, os.open(path, FLAGS[how]))
    call("create", FSCONFIG, fc, CREATE, None, None, 0)
    mnt = call("mount", FSMOUNT, fc, 0, ATTR_RDONLY)
    call("move", MOVE_MOUNT, mnt, ctypes.c_char_p(b""), AT_FDCWD, ctypes.c_char_p(os.fsencode(directory)), EMPTY_PATH)
    with open("/proc/self/mounts", "rb") as f:
        print([line.split()[0] for line in f if line.split()[1] == os.fsencode(directory)])
    with open("/proc/self/mountinfo", "rb") as f:
        print([line.split()[-2] for line in f if line.split()[4] == os.fsencode(directory)])


main(*sys.argv[1:])
