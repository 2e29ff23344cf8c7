#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments in threes: a name, a tree, and the disk with its image. The disk is
# below one of device-mapper, which fails as its table says.
. "${0%/*}/lib.sh"
modprobe -a dm-mod dm-flakey || exit 1

check() { python3 -IS "${self%/*}/disks.py" "$@"; }
self=$0

whole() { echo "0 $size linear $disk 0"; }
# Seconds that it works, and that it does not.
flakey() { echo "0 $size flakey $disk 0 $1 $2 1 error_reads"; }
# Of each 64K, in the data, one block cannot be read; and of all that is behind.
parts() {
	at=$((size / 3 / 8 * 8)) last=$((size * 9 / 10 / 8 * 8))
	echo "0 $at linear $disk 0"
	while [ $at -lt $last ]; do
		echo "$at 8 error"
		echo "$((at + 8)) 248 linear $disk $((at + 8))"
		at=$((at + 256))
	done
	echo "$at $((size - at)) error"
}

# table NAME: from now on it fails like this.
table() {
	dmsetup load -r "$1" && dmsetup suspend --noflush "$1" && dmsetup resume --noudevsync "$1"
}

# device NAME: where it is.
device() { echo "/dev/$(dmsetup info -c --noheadings -o blkdevname "$1")"; }

# up TYPE DIR: a mount of a disk that works, of the driver's name.
up() {
	whole | dmsetup create -r --noudevsync "$1" && mount -i -t "$1" -o ro "$(device "$1")" "$2"
}

down() { umount "$2" && dmsetup remove --noudevsync --retry "$1"; }

# Four readers, while the disk fails every other second, and caches go.
flaky_readers() {
	up "$peer" $b && flakey 1 1 | table "$peer" || return
	check loop "$tree" $b /run/go &
	readers=$!
	until [ -e /run/go ]; do
		kill -0 $readers && sleep 0.2 || return
	done
	for n in 1 2 3 4 5 6 7 8; do
		echo 3 >/proc/sys/vm/drop_caches
		sleep 0.5
	done
	rm /run/go
	wait $readers || return
	whole | table "$peer" && check warm "$tree" $b && down "$peer" $b
}

# What is read of a disk that lost parts, by each driver.
lost_parts() {
	for driver in erofs "$peer"; do
		up $driver $b && parts | table $driver || return
		check cold "$tree" $b >/run/$driver || return
		whole | table $driver && check warm "$tree" $b >/run/warm || return
		grep -v ' right$' /run/warm
		down $driver $b || return
	done
	cat "/run/$peer"
	echo "of C"
	cat /run/erofs
}

# The mount goes while what was read ahead fails.
leave() {
	for n in 1 2 3; do
		up "$peer" $b && flakey 0 1 | dmsetup load -r "$peer" || return
		check ahead "$tree" $b "dmsetup suspend --noflush $peer && dmsetup resume --noudevsync $peer" || return
		dd if="$(device "$peer")" of=/run/sector iflag=direct bs=4096 count=1 2>&1 | grep -q "Input/output error" || return
		down "$peer" $b || return
	done
}

while [ $# -gt 0 ]; do
	tree=$2 disk=$3 kind=$1
	size=$(blockdev --getsz "$disk")
	section "$kind/flaky" flaky_readers
	section "$kind/parts" lost_parts
	section "$kind/leave" leave
	shift 3
done
