#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: seconds, the stress program, the directory that images were made of;
# then a name and an image each.
. "${0%/*}/lib.sh"
seconds=$1 program=$2 golden=$3
shift 3

# Four processes; what they did is counted, what they found wrong is shown. They are killed:
# what they print must be out by then.
stress() {
	mount_one "$peer" $b "" "$1" || return
	timeout --preserve-status "$seconds" stdbuf -oL "$program" -l0 -p4 -s7 $b "$golden" >/run/did || return
	echo "operations $(wc -l </run/did)"
}

while [ $# -gt 0 ]; do
	section "$1" stress "$2"
	unmount_all
	shift 2
done
