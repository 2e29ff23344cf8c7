# SPDX-License-Identifier: GPL-2.0-only
"""Attempts to write: refused, with the C driver's words. (That treecmp asks
for every errno is in test_differential.py: of a share of the paths, in `make test-full` of each.)"""
import cases
from cases import Case

ATTEMPTS = """
touch $m/new
echo x >$m/hard6
echo x >>$m/hard6
rm -f $m/hard6
rmdir $m/empty
mkdir $m/new
mknod $m/new c 1 3
ln -s x $m/new
ln $m/hard6 $m/new
mv $m/hard6 $m/new
mv $m/hard6 $m/names/A
chmod 777 $m/hard6
chown 1:1 $m/hard6
truncate -s 1 $m/hard6
touch -d @1 $m/hard6
setfattr -n user.x -v 1 $m/hard6
setfattr -x user.a $m/xattrs/one
setfacl -m u:1:r $m/hard6
fallocate -l 1M $m/hard6
"""
REFUSED = len(ATTEMPTS.split("\n")) - 2


@cases.register(
    Case("writes", "mnt rw; md5sum $m/hard6; try() { eval \"$1\" && echo \"done: $1\"; }\n" +
         "\n".join(f"try '{c}'" for c in ATTEMPTS.strip().splitlines()) + "\nmd5sum $m/hard6; ls $m",
         "Read-only file system"),
)
def test_write(bed, name):
    got = cases.check(bed, name)
    assert "done:" not in got
    assert got.count("Read-only file system") == REFUSED
