# SPDX-License-Identifier: GPL-2.0-only
"""The referee is no yes-man: an image of which one byte is another, or a copy of the tree with one
change, is told apart, by the path and by what is different there."""
import cases
import lab
import mutate
from cases import Case

SEED = {s.name: s for s in mutate.seeds()}["default"]


def changed(field, bits):
    """A copy of the image in which some bits of the first byte of a field are others; its path."""
    mutator = mutate.Mutator(SEED.image, 0)
    inodes = {i.name: i for i in mutator.parsed.inodes.values()}
    places = {f.name: f.offset for f in mutator.parsed.fields}
    places["blocks.data"] = mutator.parsed.position(inodes["blocks"], 5000)
    off = places[field]
    path = lab.scratch(f"referee-{field}.img")
    path.write_bytes(mutator.mutant("", "", [(off, bytes([mutator.image[off] ^ bits]))]).apply(mutator.image))
    return path


JUDGE = "$treecmp {} $m /mnt/judged >/run/said; echo judged $?; grep -E '^(differs|mismatches)' /run/said"
# The tree itself on one side, on the other an image that was changed.
IMAGE = f"mnt ro {SEED.image}; mkdir -p /mnt/judged; mount -i -t $fs -o ro $(attach {{}}) /mnt/judged || exit; {JUDGE.format('')}; umount /mnt/judged"
# The mount, and a copy of it that was changed.
COPY = (f"mnt ro {SEED.image}; mkdir -p /run/judged; mount -t tmpfs none /run/judged; cp -a $m/. /run/judged; cd /run/judged; {{}}; cd /; "
        f"{JUDGE.format('--against-source').replace('/mnt/judged', '/run/judged')}; umount /run/judged")



def case(name, shell, expect):
    """A user-space program: one driver on one bed tells."""
    return Case(f"referee-{name}", shell, expect, same=False, beds=("stock",))


@cases.register(
    case("same", IMAGE.format(SEED.image), "judged 0\nmismatches 0\n"),
    case("byte", IMAGE.format(changed("blocks.data", 1)), "judged 1\ndiffers /blocks: .*mismatches [1-9]"),
    case("mode", IMAGE.format(changed("tail.mode", 4)), "judged 1\ndiffers /tail: statx: mode.*mismatches [1-9]"),
    case("xattr", IMAGE.format(changed("x1.x0.value", 32)), "judged 1\ndiffers /x1: .*mismatches [1-9]"),
    case("copy", COPY.format("true"), "judged 0\nmismatches 0\n"),
    case("copy-byte", COPY.format("printf x | dd of=blocks bs=1 seek=5000 conv=notrunc 2>/dev/null; touch -r $m/blocks blocks"),
         "judged 1\ndiffers /blocks: sha256.*mismatches 1\n"),
    case("copy-mode", COPY.format("chmod g+x tail"), "judged 1\ndiffers /tail: mode.*mismatches 1\n"),
    case("copy-xattr", COPY.format("setfattr -n user.nx1 -v other x1"), "judged 1\ndiffers /x1: user.nx1.*mismatches 1\n"),
    case("copy-name", COPY.format("mv fifo pipe; touch -r $m ."),
         "judged 1\ndiffers /fifo: not in the source\ndiffers /pipe: not in the image\nmismatches 2\n"),
)
def test_referee(bed, name):
    cases.check(bed, name)
