#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments in threes: name, treecmp options, letter. Each image is on two
# virtio disks, of that letter and the next.
. "${0%/*}/lib.sh"

compare() {
	mount -i -t erofs -o ro "/dev/vd$2" $a && mount -i -t "$peer" -o ro "/dev/vd$3" $b || return
	"$treecmp" $1 $a $b
}

next() { echo "$1" | tr a-y b-z; }

while [ $# -gt 0 ]; do
	section "$1" compare "$2" "$3" "$(next "$3")"
	unmount_all
	shift 3
done
