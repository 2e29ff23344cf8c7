#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: options of treecmp for one reader, and for two while caches are dropped; a directory
# with NAME.img and the tree NAME of each, and the names.
# Of the image `refused` each block is asked for.
. "${0%/*}/lib.sh"

compare() {
	mount_both "" "$1.img" && "$treecmp" $2 $a $b
}

# source DRIVER IMAGE
source() {
	mount_one "$1" $b "" "$2.img" && "$treecmp" --against-source $b "$2"
}

# The holes of each file, (begin, end).
holes='
import os, sys
for name in sorted(os.listdir(sys.argv[1])):
    file = os.open(os.path.join(sys.argv[1], name), os.O_RDONLY)
    found, at, size = [], 0, os.fstat(file).st_size
    while at < size and (begin := os.lseek(file, at, os.SEEK_HOLE)) < size:
        try:
            at = os.lseek(file, begin, os.SEEK_DATA)
        except OSError:
            at = size
        found.append((begin, at))
    print(name, found)
'
# The error of each block of each file.
errors='
import os, sys
for name in sorted(os.listdir(sys.argv[1])):
    file = os.open(os.path.join(sys.argv[1], name), os.O_RDONLY)
    for at in range(0, os.fstat(file).st_size, 4096):
        try:
            os.pread(file, 1, at)
            print(name, at, 0)
        except OSError as e:
            print(name, at, e.errno)
'
# ask DRIVER QUESTION IMAGE
ask() {
	mount_one "$1" $b "" "$3.img" && python3 -ISc "$2" $b
}

one() {
	section "$@"
	unmount_all
}

how=$1 load=$2 from=$3
shift 3
for image; do
	one "$image/drivers" compare "$from/$image" "$how"
	one "$image/load" compare "$from/$image" "$load --readers 2 --drop-caches"
	one "$image/source" source "$peer" "$from/$image"
	one "$image/source-of-c" source erofs "$from/$image"
	one "$image/holes" ask "$peer" "$holes" "$from/$image"
done
for driver in erofs "$peer"; do
	one "refused/$driver" ask "$driver" "$errors" "$from/refused"
done
