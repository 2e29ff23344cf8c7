#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: seconds, how many images at a time, the stress program, the directory that images were
# made of; then a name and an image each.
. "${0%/*}/lib.sh"
seconds=$1 together=$2 program=$3 golden=$4
shift 4

# Four processes; what they did is counted, what they found wrong is shown. They are killed:
# what they print must be out by then.
stress() {
	mkdir -p "/mnt/$1" && mount_one "$peer" "/mnt/$1" "" "$2" || return
	timeout --preserve-status "$seconds" stdbuf -oL "$program" -l0 -p4 -s7 "/mnt/$1" "$golden" >"/run/did-$1" || return
	echo "operations $(wc -l <"/run/did-$1")"
}

report() {
	cat "/run/said-$1"
	umount "/mnt/$1"
	return "$(cat "/run/status-$1")"
}

while [ $# -gt 0 ]; do
	names=
	while [ $# -gt 0 ] && [ "$(echo "$names" | wc -w)" -lt "$together" ]; do
		names="$names $1"
		(
			stress "$1" "$2" >"/run/said-$1" 2>&1
			echo $? >"/run/status-$1"
		) &
		shift 2
	done
	wait
	for name in $names; do
		section "$name" report "$name"
	done
	losetup -D
done
