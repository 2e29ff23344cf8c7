# SPDX-License-Identifier: GPL-2.0-only
"""/sys/fs/erofs_rs beside /sys/fs/erofs: the same nodes, modes and values."""
import cases
from cases import Case

DEV = "cd /sys/fs/$fs/$(basename $dev)"
# The C driver does not count.
SHARED = "| grep -v '^stats '"
Z_SET = f"mnt ro $z_img; {DEV}; for v in"
SET = f"mnt ro; {DEV}; for v in"


@cases.register(
    Case("features", "cd /sys/fs/$fs/features && for f in *; do echo $f $(stat -c %a $f) $(cat $f); done",
         "device_table 444 supported"),
    Case("device-dir", f"mnt ro; {DEV} && for f in *; do echo $f $(stat -c %a $f) $(cat $f 2>&1); done" + SHARED,
         "dir_ra_bytes 644 16384"),
    Case("dir-ra-bytes", f"{SET} 0 4096 65536 -1 x 99999999999 16384; do /usr/bin/echo $v >dir_ra_bytes; cat dir_ra_bytes; "
         "ls $m/many | md5sum; done 2>&1", "Invalid argument"),
    Case("device-dir-compressed", f"mnt ro $z_img; {DEV} && for f in *; do echo $f $(stat -c %a $f); done" + SHARED,
         "drop_caches 200.*sync_decompress 644"),
    Case("sync-decompress", f"{Z_SET} 1 2 3 -1 x '' 99999999999 0; do /usr/bin/echo $v >sync_decompress; cat sync_decompress; "
         "done 2>&1", "Invalid argument"),
    Case("drop-caches", f"{Z_SET} 0 1 2 3 4 -1 x; do md5sum $m/text; /usr/bin/echo $v >drop_caches; done 2>&1; cat drop_caches",
         "Invalid argument"),
    Case("stats", f"mnt ro $z_img; {DEV}; md5sum $m/text; cat stats", r"inflight \d+\nhooked \d+\n.*\nbounce_pages \d+\n", same=False),
    Case("gone-after-umount", "mnt ro; count() { ls /sys/fs/$fs | grep -v features | wc -l; }; count; umount $m; count", "^1\n0\n"),
    Case("module", "ls -d /sys/module/$fs/holders; cat /sys/module/$fs/refcnt; mnt ro; cat /sys/module/$fs/refcnt",
         r"holders\n0\n1\n"),
)
def test_sysfs(bed, name):
    cases.check(bed, name)
