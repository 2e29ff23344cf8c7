# SPDX-License-Identifier: GPL-2.0-only
"""/sys/fs/erofs_rs beside /sys/fs/erofs: the same nodes, modes and values."""
import cases
from cases import Case

DEV = "cd /sys/fs/$fs/$(basename $dev)"
# Nodes of compression come with compression: issue 2/2.
LATER = "| grep -vE '^(big_pcluster|compr_cfgs|compr_head2|dedupe|fragments|ztailpacking|drop_caches|sync_decompress) '"
SET = f"mnt ro; {DEV}; for v in"


@cases.register(
    Case("features", "cd /sys/fs/$fs/features && for f in *; do echo $f $(stat -c %a $f) $(cat $f); done" + LATER,
         "device_table 444 supported"),
    Case("device-dir", f"mnt ro; {DEV} && for f in *; do echo $f $(stat -c %a $f) $(cat $f 2>&1); done" + LATER,
         "dir_ra_bytes 644 16384"),
    Case("dir-ra-bytes", f"{SET} 0 4096 65536 -1 x 99999999999 16384; do /usr/bin/echo $v >dir_ra_bytes; cat dir_ra_bytes; "
         "ls $m/many | md5sum; done 2>&1", "Invalid argument"),
    Case("gone-after-umount", "mnt ro; umount $m; ls /sys/fs/$fs | grep -v features | wc -l", "^0"),
    Case("module", "ls -d /sys/module/$fs/holders; cat /sys/module/$fs/refcnt; mnt ro; cat /sys/module/$fs/refcnt",
         "holders"),
)
def test_sysfs(bed, name):
    cases.check(bed, name)
