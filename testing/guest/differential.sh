#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Each line of $1 is `name|treecmp options|mount options|image[|device]...`.
. "${0%/*}/lib.sh"

compare() {
	how=$1 opts=$2
	shift 2
	mount_both "$opts" "$@" || return
	timeout -s KILL 600 "$treecmp" $how $a $b
}

while IFS='|' read -r name how opts files; do
	IFS='|'
	set -- $files
	unset IFS
	section "$name" compare "$how" "$opts" "$@"
	unmount_all
done <"$1"
