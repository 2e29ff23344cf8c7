# SPDX-License-Identifier: GPL-2.0-only
"""Shell snippets that each driver runs: what they print must be the same, and
must match what is expected of the C driver. All of them, from all test files,
run in one boot a bed.

A snippet sees $fs (the type), $m (a mount point), $img, $blob_img, $blob,
$z_img, $dot_img (images), $below (a directory on ext4: files on tmpfs cannot be
mounted as they are), attach IMAGE (a loop device), mnt OPTIONS [IMAGE], show
(the options of the mount) and said (what the kernel has said since `dmesg -C`).
Without set-up what fails is no answer: `need COMMAND` says so. Program starts are dear in a guest: few, and
busybox for what it has."""
import difflib
import functools
import re
from dataclasses import dataclass

import pytest

import images
import lab
import zimages

REGISTRY = {}


@dataclass(frozen=True)
class Case:
    name: str
    shell: str
    expect: str             # regular expression, in the C driver's output
    same: bool = True       # otherwise `expect` is of the driver under test
    beds: tuple = lab.BEDS


def register(*cases):
    """Adds the cases of a file; gives what pytest.mark.parametrize wants."""
    for c in cases:
        assert c.name not in REGISTRY
        REGISTRY[c.name] = c
    return pytest.mark.parametrize("bed, name", [
        pytest.param(bed, c.name, marks=lab.shared_boot(f"cases-{bed}")) for bed in lab.BEDS for c in cases if bed in c.beds])


# What mnt says then, behind the reason.
REFUSED = "mnt: refused"
PRELUDE = """
. {guest}/lib.sh
img={img} blob_img={blob_img} blob={blob} z_img={z_img} dot_img={dot_img} m=/mnt/m below=/mnt/below
for tool in cat chmod grep ln md5sum mkdir mknod mv rm rmdir sort tail touch tr uniq wc; do
	eval "$tool() {{ busybox $tool "'"$@"; }}'
done
mkdir -p $m $below
need() {{ "$@" || echo "no set-up: $*" >&2; }}
attach() {{ need losetup -r -f --show "$1"; }}
modprobe -q ext4
need truncate -s 64M /run/ext4
need mkfs.ext4 -q -O ^has_journal /run/ext4
need mount -t ext4 -o loop /run/ext4 $below
said() {{ dmesg | sed 's/^[[][ .0-9]*[]] //'; }}
mnt() {{ dev=$(attach "${{2:-$img}}") && mount -i -t $fs -o "$1" $dev $m || {{ echo "{refused} $?"; return 32; }}; }}
show() {{
	while read -r _ _ _ _ dir opts rest; do
		[ "$dir" != $m ] || echo "$opts - ${{rest#*- }}"
	done </proc/self/mountinfo
}}
clean() {{
	umount -R $m
	losetup -D
}} 2>/dev/null
"""


@functools.cache
def batch(bed):
    grid = {r.name: r for r in images.grid()}
    blob = images.make(grid["b4096-blob"])
    text = [PRELUDE.format(guest=lab.GUEST, refused=REFUSED, img=images.make(grid["label"]).path, blob_img=blob.path,
                           blob=blob.devices[0], z_img=images.make(zimages.cell("lz4hc", "64K", "all")).path, dot_img=images.make(grid["b1024-dot-omitted"]).path)]
    for fs in dict.fromkeys(("erofs", lab.PEER)):
        text.append(f"fs={fs}")
        for c in REGISTRY.values():
            if bed in c.beds and (c.same or fs == lab.PEER):
                text.append(f"case_() {{\n{c.shell}\n}}\nsection {c.name}/{fs} case_\nclean")
    path = lab.scratch(f"cases-{bed}.sh")
    path.write_text("\n".join(text) + "\n")
    return lab.Batch(lab.vm(bed, "sh", path, timeout=1500))


def neutral(text):
    """Without the names that must differ."""
    return re.sub(r"loop\d+", "loopN", text.replace("erofs_rs", "erofs"))


def is_set_up(case):
    """Whether something is done with the mount: then it must have happened. Where mnt comes last it is what is asked."""
    return not re.search(r"(^|[;\n])\s*mnt [^;\n]*\s*$", case.shell)


def check(bed, name):
    b, case = batch(bed), REGISTRY[name]
    assert "no set-up" not in b.run.err, b.run.err
    got = neutral(b.output(f"{name}/{lab.PEER}"))
    assert not (REFUSED in got and is_set_up(case)), f"not mounted:\n{got}"
    assert "no set-up" not in got, got
    if case.same:
        want = neutral(b.output(f"{name}/erofs"))
        assert re.search(case.expect, want, re.S), f"the C driver says:\n{want}"
        diff = "\n".join(difflib.unified_diff(want.splitlines(), got.splitlines(), "erofs", lab.PEER, n=1, lineterm=""))
        assert got == want, diff
    else:
        assert re.search(case.expect, got, re.S), got
    return got
