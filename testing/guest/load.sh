#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Readers of each image, while the caches go, until each event that $1
# names was counted: at most $2 rounds, of $3 readers. Then the counters, summed
# over images.
. "${0%/*}/lib.sh"
events=$1 rounds=$2 readers=$3
shift 3

# count IMAGE: adds what the driver counted of the mount at $b.
count() {
	dev=$(findmnt -n -o SOURCE $b)
	while read -r name value; do
		eval "$name=\$((\${$name:-0} + value))"
	done <"/sys/fs/$peer/${dev##*/}/stats"
}

missing() {
	for name in $events; do
		eval "[ \${$name:-0} -gt 0 ]" || return 0
	done
	return 1
}

compare() { "$treecmp" --level reads --readers $readers --drop-caches --per-dir 25 $a $b; }

while [ "$rounds" -gt 0 ] && missing; do
	rounds=$((rounds - 1))
	for image; do
		mount_both "" "$image" || exit 1
		compare || exit 1
		count
		unmount_all
	done
done
for name in $events; do
	eval "echo counted $name \${$name:-0}"
done
