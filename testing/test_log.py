# SPDX-License-Identifier: GPL-2.0-only
"""What a damaged image may write to the kernel log, by being read again and again: some lines in a time, and how many
there would have been."""
import functools
import re
import subprocess

import images
import lab
import zimages

READS = 400
# Of include/linux/ratelimit.h: so many lines in so many seconds.
BURST, INTERVAL = 10, 5


def damaged():
    """An image with data of which no byte decodes."""
    whole = images.make(zimages.cell("lz4hc", "64K", "all")).path
    path = lab.scratch("log.img")
    shown = subprocess.run(["dump.erofs", "-e", "--path=/text", whole], check=True, capture_output=True, text=True).stdout
    extents = [tuple(map(int, e)) for e in re.findall(r"^ *\d+: .* : *(\d+)\.\. *(\d+) \|", shown, re.M)]
    data = bytearray(whole.read_bytes())
    for begin, end in extents:
        data[begin:end] = b"\xff" * (end - begin)
    assert extents and data != whole.read_bytes()
    path.write_bytes(data)
    return path


# Fails to read the first page so often; the whole time that it takes.
AGAIN = """
import os, sys, time
file, begin = os.open(sys.argv[1], os.O_RDONLY), time.monotonic()
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
for n in range(int(sys.argv[2])):
    try:
        os.pread(file, 1, 0)
        sys.exit("it was read")
    except OSError:
        pass
print("took", time.monotonic() - begin)
"""
FLOOD = """
up() { mount_one $peer $1 "" "$img"; }
down() { umount $1; }
img=$1 c=/mnt/c
mkdir -p $c
few() { dmesg -C; up $b && python3 -ISc "$2" $b/text $3 && down $b && dmesg; }
many() {
	dmesg -C
	up $b && python3 -ISc "$2" $b/text $3 && dmesg || return
	echo "%% next"
	dmesg -C
	up $c && python3 -ISc "$2" $c/text 1 && down $c && dmesg || return
	echo "%% end"
	dmesg -C
	down $b && dmesg
}
section one few "$1" "$2" 1
section two few "$1" "$2" 2
section many many "$@"
"""


@functools.cache
def batch():
    return lab.Batch(lab.snippet("uml-debug", FLOOD, damaged(), AGAIN, READS))


def lines(text):
    """Errors and the number of suppressed ones, of the driver under test."""
    found = re.findall(r"erofs_rs \(device \w+\): (?!mounted)(.*)", text)
    missed = [re.fullmatch(r"(\d+) errors suppressed", line) for line in found]
    return sum(m is None for m in missed), sum(int(m[1]) for m in missed if m)


@lab.shared_boot("log")
def test_each_error_is_told():
    """Lines of the data and of the read, for the second one, too."""
    (one, missed), (two, missed_of_two) = lines(batch().check("one")), lines(batch().check("two"))
    assert one >= 2 and two >= one + 2 and missed == missed_of_two == 0


@lab.shared_boot("log")
def test_floods_are_limited():
    flood, following, end = re.split(r"%% \w+\n", batch().check("many"))
    first, two = lines(batch().check("one"))[0], lines(batch().check("two"))[0]
    told, missed = lines(flood)
    windows = 1 + float(re.search(r"took (\S+)", flood)[1]) // INTERVAL
    assert BURST <= told <= BURST * windows + windows, flood
    # Another mount of the same image meanwhile, the first mount's number left to be told.
    assert "mounted with root inode" in following and lines(following) == (first, 0), following
    rest, left = lines(end)
    assert rest == 0 and told + missed + left == first + (two - first) * (READS - 1), (told, missed, left, first, two)


@lab.shared_boot("log")
def test_leaves_no_trace():
    batch().run.check()
