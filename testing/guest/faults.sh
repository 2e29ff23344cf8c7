#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: a mount source, a disk, and what is operated on. Faults are asked
# for by /proc/PID/fail-nth alone: the knobs only say what may fail.
. "${0%/*}/lib.sh"

for kind in failslab fail_page_alloc fail_make_request fail_usercopy; do
	cd "/sys/kernel/debug/$kind" || exit 1
	# Verbose, each fault is a stack trace in the log.
	echo 0 >verbose && echo 0 >probability && echo Y >task-filter || exit 1
	for all in ignore-gfp-wait ignore-gfp-highmem; do
		[ ! -e $all ] || echo N >$all || exit 1
	done
	[ ! -e min-order ] || echo 0 >min-order || exit 1
done
echo 1 >"/sys/block/$(basename "$(realpath "$2")")/make-it-fail" || exit 1
source=$1
shift 2
cd /
"$treecmp" faults "$peer" "$source" $b "$@"
