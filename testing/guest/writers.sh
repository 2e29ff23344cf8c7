#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Arguments: of each image its name, its path, and the tree that it was made from, or the program that takes it out.
# That is done here, as the guest may not see the xattrs of the host's files.
. "${0%/*}/lib.sh"

# Some parts of each file, from its end to its beginning.
parts='
import os, random, sys
tree, mount = sys.argv[1:]
rng = random.Random(1)
files = mismatches = 0
for top, _, names in sorted(os.walk(tree)):
    for name in sorted(names):
        path = os.path.join(top, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as f:
            content = f.read()
        files += 1
        other = os.open(os.path.join(mount, os.path.relpath(path, tree)), os.O_RDONLY)
        starts = sorted({0, max(0, len(content) - 1), *(rng.randrange(len(content) + 1) for _ in range(8))})
        for at in reversed(starts):
            size = rng.choice((1, 100, 4096, 70_000))
            try:
                same = os.pread(other, size, at) == content[at:at + size]
            except OSError as e:
                same = False
                print(path, at, size, e)
            if not same:
                mismatches += 1
                print("differs", path, at, size)
        os.close(other)
print("files", files)
print("mismatches", mismatches)
sys.exit(mismatches != 0)
'

# whole IMAGE TREE
whole() {
	mount_one "$peer" $b "" "$1" && "$treecmp" --against-source $b "$2"
}

# some IMAGE TREE
some() {
	mount_one "$peer" $b "" "$1" && python3 -ISc "$parts" "$2" $b
}

while [ $# -gt 0 ]; do
	tree=$3
	if ! [ -d "$tree" ]; then
		tree=/run/$1
		"$3" --preserve --xattrs --extract="$tree" "$2" >&2 || exit
	fi
	section "$1/whole" whole "$2" "$tree"
	unmount_all
	section "$1/parts" some "$2" "$tree"
	unmount_all
	shift 3
done
