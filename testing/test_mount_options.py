# SPDX-License-Identifier: GPL-2.0-only
"""Mount options, shown and acted on, right and wrong."""
import cases
from cases import Case

XATTR = "getfattr --absolute-names -d -m - $m/xattrs/one $m/xattrs/kinds; getfattr -n user.a $m/xattrs/one"
ACL = "getfacl -pn $m/xattrs/acl; setpriv --reuid 70000 --regid 9 --clear-groups cat $m/xattrs/acl"


@cases.register(
    Case("default", "mnt ro; show", "user_xattr,acl"),
    Case("rw", "mnt rw; show; touch $m/x", "ro.*Read-only"),
    Case("noacl", f"mnt noacl; show; {ACL}", "user_xattr,noacl"),
    Case("acl", f"mnt acl; show; {ACL}", "user:70000:rw-.*xattrs|acl"),
    Case("nouser-xattr", f"mnt nouser_xattr; show; {XATTR}", "nouser_xattr"),
    Case("user-xattr", f"mnt user_xattr; show; {XATTR}", 'user.a="1"'),
    Case("both-of", f"mnt noacl,nouser_xattr; show; {XATTR}; {ACL}", "nouser_xattr,noacl"),
    Case("last-wins", "mnt noacl,acl,user_xattr,nouser_xattr; show", "nouser_xattr,acl"),
    Case("flags", "mnt nosuid,nodev,noexec,noatime,nodiratime; show", "nosuid"),
    Case("unknown", "mnt bogus", "bogus"),
    Case("unknown-value", "mnt bogus=1", "bogus"),
    Case("flag-with-value", "mnt acl=1", "acl"),
    Case("gone-fsid", "mnt fsid=x", "fsid"),
    Case("no-source", "mount -i -t $fs none $m", "status 32"),
    Case("bad-source", "mount -i -t $fs /dev/null $m", "status 32"),
    Case("no-image", "truncate -s 1M /run/zero; mnt ro /run/zero", "wrong fs type|status 32"),
    Case("empty", ": >/run/empty; mnt ro /run/empty", "status 32"),
)
def test_option(bed, name):
    cases.check(bed, name)


@cases.register(
    Case("remount-noacl", f"mnt acl; mount -i -o remount,noacl $m; show; {ACL}", "noacl"),
    Case("remount-nouser-xattr", f"mnt ro; mount -i -o remount,nouser_xattr $m; show; {XATTR}", "nouser_xattr"),
    Case("remount-back", f"mnt noacl,nouser_xattr; mount -i -o remount,acl,user_xattr $m; show; {XATTR}", "user_xattr"),
    Case("remount-rw", "mnt ro; mount -i -o remount,rw $m; show; touch $m/x", "Read-only"),
    Case("remount-unknown", "mnt ro; mount -i -o remount,bogus $m; show", "bogus"),
    Case("remount-in-use", "mnt ro; exec 9<$m/hard6; mount -i -o remount,noacl $m; show; md5sum <&9; exec 9<&-",
         "noacl"),
)
def test_remount(bed, name):
    cases.check(bed, name)


@cases.register(
    Case("device", "mnt device=$(attach $blob) $blob_img; show; md5sum $m/sizes/*", "f0004096"),
    Case("device-none", "mnt ro $blob_img; ls $m; cat $m/sizes/f0004096 | md5sum", "sizes|status"),
    Case("device-two", "mnt device=$(attach $blob),device=$(attach $blob) $blob_img", "status 32"),
    Case("device-missing", "mnt device=/dev/nothing $blob_img", "status 32"),
    Case("device-a-directory", "mnt device=/run $blob_img", "status 32"),
    Case("device-empty", "mnt device= $blob_img", "status 32"),
    Case("device-not-wanted", "mnt device=$(attach $blob)", "status 32"),
    # The file is on a mounted file; the C driver looks at the first one only.
    Case("device-nested", "mkdir -p /run/in /mnt/in; need cp $blob /run/in/blob; need mkfs.erofs --quiet $below/in.img /run/in; "
         "need mount -i -t $fs $below/in.img /mnt/in; need cp $blob_img $below/blob.img; dmesg -C; "
         "mount -i -t $fs -o device=/mnt/in/blob $below/blob.img $m; echo status $?; said; "
         "mount -i -t $fs -o device=$blob $below/blob.img $m; md5sum $m/sizes/f0004096; umount $m /mnt/in; rm -r $below/* /run/in",
         "status 32.*cannot be applied to stacked fses.*f0004096", same=False),
    Case("device-on-tmpfs", "need cp $blob_img $below/blob.img; need cp $blob /run/blob; dmesg -C; "
         "mount -i -t $fs -o device=/run/blob $below/blob.img $m; echo status $?; said; rm $below/blob.img /run/blob",
         "status 32.*device: a file on tmpfs cannot be mounted as it is", same=False),
    Case("device-named-by-bytes", "d=$below/$(printf 'b\\303\\274ro\\n\\377'); need mkdir -p \"$d\"; need cp $blob_img $below/blob.img; "
         "need cp $blob \"$d/blob\"; mount -i -t $fs -o device=\"$d/blob\" $below/blob.img $m; show; md5sum $m/sizes/f0004096; "
         "umount $m; rm -r $below/*", "f0004096"),
    Case("device-short", "head -c 4096 $blob >/run/short; mnt device=$(attach /run/short) $blob_img; "
         "md5sum $m/sizes/f0000000 $m/sizes/f0065536", "status"),
)
def test_device(bed, name):
    cases.check(bed, name)


FD = "python3 -S testing/guest/descriptor.py $fs"


@cases.register(
    *(Case(f"source-by-descriptor-{name}", f"f=$below/$(printf '{path}'); need mkdir -p \"${{f%/*}}\"; need cp $img \"$f\"; "
           f"{FD} \"$f\" $m read; md5sum $m/hard6; umount $m; rm -r $below/*", f"{shown}.*{shown}.*hard6")
      for name, path, shown in (("ascii", "x/image", "below/x/image"), ("utf8", r"b\303\274ro", r"b\\xc3\\xbcro'"),
                                ("newline", r"a\nb c\\d", r"a\\\\012b\\\\040c\\\\134d"), ("bytes", r"\377\001", r"below/\\xff\\x01'"))),
    *(Case(f"source-by-descriptor-{how}", f"need cp $img $below/img; {FD} $below/img $m {how}; rm $below/img", "create EIO")
      for how in ("write", "path")),
    Case("source-by-descriptor-on-tmpfs", f"need cp $img /run/img; {FD} /run/img $m read; rm /run/img", "create EINVAL"),
    # For the C driver's type mount(8) makes a loop device.
    Case("source-on-tmpfs", f"need cp $img /run/img; {FD} /run/img $m name; rm /run/img", "create ENOTBLK"),
    Case("source-on-tmpfs-told", "need cp $img /run/img; mount -i -t $fs /run/img $m; echo status $?; rm /run/img",
         "a file on tmpfs cannot be mounted as it is, but by a loop device.*status 32", same=False),
    Case("source-is-a-file", "need cp $img $below/img; mount -i -t $fs $below/img $m; show; md5sum $m/hard6; umount $m; rm $below/img",
         "below/img.*hard6"),
)
def test_source(bed, name):
    cases.check(bed, name)


LIST = "ls -lnR --time-style=+%s $m/modes $m/xattrs"


@cases.register(
    Case("bind", "mnt ro; mkdir -p /mnt/bind; mount --bind $m/modes /mnt/bind; ls -ln --time-style=+%s /mnt/bind; "
         "umount $m; ls /mnt/bind; umount /mnt/bind", "4755"),
    Case("twice", "mnt ro; mkdir -p /mnt/two; mount -i -t $fs $dev /mnt/two; "
         "stat -c %i $m/hard6 /mnt/two/hard6; umount $m; md5sum /mnt/two/hard6; umount /mnt/two", "hard6"),
    Case("idmapped", f"mnt ro,X-mount.idmap=b:0:100000:65536; {LIST}; stat -c '%u %g' $m/*", "10[0-9]{4}"),
    Case("idmapped-permission", "mnt ro,X-mount.idmap=b:0:100000:65536; "
         "setpriv --reuid 101000 --regid 100000 --clear-groups sh -c 'cat $m/modes/* | md5sum; cat $m/xattrs/acl'",
         "status"),
    Case("statfs", "mnt ro; stat -f -c '%a %b %c %d %f %i %l %s %S %t' $m", "e0f5e1e2"),
    Case("label", "mnt ro; dmesg -c >/dev/null; blkid -o value -s LABEL $dev", "fifteen bytes l"),
)
def test_mount(bed, name):
    cases.check(bed, name)


SUMS = "md5sum $m/text $m/mixed $m/tiny/09"


@cases.register(
    Case("strategies", f"for s in disabled readahead readaround; do mnt cache_strategy=$s $z_img; show; {SUMS}; umount $m; done",
         "cache_strategy=disabled.*cache_strategy=readahead.*cache_strategy=readaround"),
    Case("strategy-unknown", "mnt cache_strategy=never $z_img", "Bad value"),
    Case("strategy-empty", "mnt cache_strategy= $z_img", "status 32"),
    Case("strategy-flag", "mnt cache_strategy $z_img", "status 32"),
    Case("strategy-plain", "mnt cache_strategy=disabled; show", "user_xattr"),
    Case("strategy-remount", f"mnt cache_strategy=disabled $z_img; {SUMS}; mount -i -o remount,cache_strategy=readahead $m; "
         f"show; echo 3 >/proc/sys/vm/drop_caches; {SUMS}", "cache_strategy=readahead"),
    Case("strategy-remount-without", "mnt cache_strategy=disabled $z_img; mount -i -o remount,noacl $m; show",
         "cache_strategy"),
)
def test_cache_strategy(bed, name):
    cases.check(bed, name)
