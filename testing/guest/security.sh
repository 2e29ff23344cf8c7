#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: a SELinux policy that knows the C driver's type only, one that knows both, a policy of
# IMA; then KIND:NAME=IMAGE each. A section is of one driver and one image.
. "${0%/*}/lib.sh"
policy=$1 policy_of_both=$2 ima=$3
shift 3
labels="${0%/*}/labels.py"
security=/sys/kernel/security

# load POLICY: by one write, as SELinux wants it.
load() { dd if="$1" of=/sys/fs/selinux/load bs=4M status=none; }

# at DIR TYPE OPTIONS IMAGE COMMAND...: a mount for the command, which gets DIR. The options are given by
# busybox: util-linux drops labels where there is no /etc/selinux.
at() {
	dir=$1
	mkdir -p "$dir" && dev=$(attach "$4") && busybox mount -t "$2" -o "ro${3:+,$3}" "$dev" "$dir" || return
	shift 4
	"$@" "$dir"
	status=$?
	umount "$dir" && losetup -D && return $status
}

show() { python3 -ISc "$(cat "$labels")" "$@"; }

# The mount's options, and the labels.
options() {
	echo "options: $(findmnt -n -o FS-OPTIONS "$1")"
	show labels "$1"
}

drivers=$(printf '%s\n' erofs "$peer" | uniq)

# each KIND NAME OPTIONS COMMAND...: by each driver, on each image of that kind.
each() {
	kind=$1 what=$2 opts=$3
	shift 3
	for driver in $drivers; do
		for image in $images; do
			case $image in "$kind":*)
				image=${image#*:}
				section "$what/${image%%=*}/$driver" at "/mnt/$what/$driver-${image%%=*}" "$driver" "$opts" "${image#*=}" "$@"
				;;
			esac
		done
	done
}

# Mounted before there is a policy, and looked at once there is one, as the root of a machine is.
before_policy() {
	for driver in $drivers; do
		mkdir -p "/mnt/early/$driver"
		mount_one "$driver" "/mnt/early/$driver" "" "$1" && ls "/mnt/early/$driver/dir" >/dev/null || return
	done
	load "$policy_of_both" || return
	for driver in $drivers; do
		section "early/$driver" show labels "/mnt/early/$driver"
	done
	umount /mnt/early/*
	losetup -D
}

# Reads what is labelled, and has the policy enforced.
enforced() {
	echo 1 >/sys/fs/selinux/enforce || return
	show contents "$1"
	status=$?
	echo 0 >/sys/fs/selinux/enforce
	return $status
}

# Opens, maps and executes each file, and reads each again when it is not in memory; then what IMA has
# measured below this directory, where nothing else was before.
appraised() {
	show appraised "$1" || return
	echo 3 >/proc/sys/vm/drop_caches
	show contents "$1" | sed 's/^/again:/'
	sed -nE "s|^10 [0-9a-f]+ (ima-sig [a-z0-9]+:[0-9a-f]+) $1/([^ ]+) .*|measured:\\2 \\1|p" $security/ima/ascii_runtime_measurements
}

images=$*
mount -t securityfs none $security && mount -t selinuxfs none /sys/fs/selinux || exit 1
[ "$(cat /sys/fs/selinux/policyvers)" -gt 0 ] || exit 1

case $images in "labelled:"*" hashed:"*) ;; *) exit 1 ;; esac
before_policy "${1#*=}" || exit
each labelled both "" show labels
images_of_all=$images images=${images%% *}
each labelled context context=system_u:object_r:bin_t:s0 options
each labelled rootcontext rootcontext=system_u:object_r:bin_t:s0 options
images=$images_of_all
each labelled enforced "" enforced
load "$policy" || exit
each labelled unknown "" show labels
load "$policy_of_both" || exit
dd if="$ima" of=$security/ima/policy bs=64K status=none || exit
each hashed ima "" appraised
