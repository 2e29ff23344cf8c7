# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the guest scripts. Both drivers look at one image through loop
# devices of their own: a block device has one filesystem type at a time.

peer=${EROFS_RS_PEER:-erofs_rs}
treecmp=${EROFS_RS_TREECMP:?}
a=/mnt/a b=/mnt/b
mkdir -p $a $b
trap unmount_all EXIT

# attach IMAGE: a read-only loop device; its name on stdout.
attach() { losetup -r -f --show "$1"; }

# mount_one TYPE DIR OPTIONS IMAGE [DEVICE...]
mount_one() (
	type=$1 dir=$2 opts=ro${3:+,$3} image=$4
	shift 4
	for dev; do
		dev=$(attach "$dev") || exit 1
		opts=$opts,device=$dev
	done
	dev=$(attach "$image") || exit 1
	mount -i -t "$type" -o "$opts" "$dev" "$dir"
)

# mount_both OPTIONS IMAGE [DEVICE...]: the C driver at $a, the other at $b.
mount_both() {
	mount_one erofs $a "$@" && mount_one "$peer" $b "$@"
}

# Everything off again; loses no status.
unmount_all() {
	status=$?
	umount $a $b 2>/dev/null
	losetup -D
	return $status
}

# section NAME COMMAND...: its output and status, where lab.sections finds them.
section() {
	name=$1
	shift
	echo "=== $name"
	("$@") 2>&1
	printf '\n--- %s %s\n' "$name" $?
}
