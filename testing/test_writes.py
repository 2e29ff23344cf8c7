# SPDX-License-Identifier: GPL-2.0-only
"""Attempts to write: refused, with the C driver's words. (That treecmp asks
for every errno on every path of the grid is in test_differential.py.)"""
import cases
from cases import Case

ATTEMPTS = {
    "create": "touch $m/new", "overwrite": "echo x >$m/hard6", "append": "echo x >>$m/hard6", "unlink": "rm -f $m/hard6",
    "rmdir": "rmdir $m/empty", "mkdir": "mkdir $m/new", "mknod": "mknod $m/new c 1 3", "fifo": "mkfifo $m/new",
    "symlink": "ln -s x $m/new", "link": "ln $m/hard6 $m/new", "rename": "mv $m/hard6 $m/new",
    "rename-over": "mv $m/hard6 $m/names/A", "chmod": "chmod 777 $m/hard6", "chown": "chown 1:1 $m/hard6",
    "truncate": "truncate -s 1 $m/hard6", "utimes": "touch -d @1 $m/hard6", "setxattr": "setfattr -n user.x -v 1 $m/hard6",
    "removexattr": "setfattr -x user.a $m/xattrs/one", "setacl": "setfacl -m u:1:r $m/hard6",
    "fallocate": "fallocate -l 1M $m/hard6", "dd": "dd if=/dev/zero of=$m/hard6 count=1 conv=notrunc status=none",
}


@cases.register(*(Case(f"write-{n}", f"mnt rw; {c}; s=$?; cat $m/hard6 | md5sum; return $s", "Read-only file system")
                  for n, c in ATTEMPTS.items()))
def test_write(bed, name):
    cases.check(bed, name)
