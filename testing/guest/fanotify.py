# SPDX-License-Identifier: GPL-2.0-only
"""To be asked before a file is read (FAN_PRE_ACCESS), on filesystems that ask (ext4, xfs, btrfs)."""
import ctypes
import os
import struct
from dataclasses import dataclass

FAN_CLOEXEC, FAN_CLASS_PRE_CONTENT, FAN_MARK_ADD, FAN_PRE_ACCESS, FAN_ALLOW = 1, 8, 1, 0x100000, 1
INFO_RANGE = 6
AT_FDCWD = -100
EVENT, INFO, RANGE = struct.Struct("IBBHQii"), struct.Struct("BBH"), struct.Struct("IIQQ")

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


@dataclass
class Access:
    fd: int
    pid: int
    count: int      # bytes


class Watch:
    """Whoever reads the file at `path`, opened from now on, waits to be allowed."""

    def __init__(self, path):
        self.fd = checked(libc.fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC, os.O_RDONLY))
        path = ctypes.c_char_p(os.fsencode(path))
        checked(libc.fanotify_mark(self.fd, FAN_MARK_ADD, ctypes.c_uint64(FAN_PRE_ACCESS), AT_FDCWD, path))

    def accesses(self):
        """Those that wait; waits for one."""
        events = os.read(self.fd, 4096)
        while events:
            length, _, _, head, mask, fd, pid = EVENT.unpack_from(events)
            if not mask & FAN_PRE_ACCESS or fd < 0:
                raise RuntimeError("not what was asked for")
            kind, _, _ = INFO.unpack_from(events, head)
            _, _, _, count = RANGE.unpack_from(events, head) if kind == INFO_RANGE else (0, 0, 0, 0)
            yield Access(fd, pid, count)
            events = events[length:]

    def allow(self, access):
        """Of no effect if the task does not wait any more."""
        try:
            os.write(self.fd, struct.pack("iI", access.fd, FAN_ALLOW))
        except FileNotFoundError:
            pass
        os.close(access.fd)
