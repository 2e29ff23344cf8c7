# SPDX-License-Identifier: GPL-2.0-only
"""The events erofs_rs:erofs_rs_* are those of the C driver, by names of their own, with
its fields, and fire for the same operations."""
import cases
from cases import Case

EVENTS = "/sys/kernel/tracing/events/$fs"
TRACE = f"""
echo 3 >/proc/sys/vm/drop_caches
mnt ro
cd /sys/kernel/tracing
echo >trace
echo 1 >events/$fs/enable
%s
echo 0 >events/$fs/enable
"""
Z_TRACE = TRACE.replace("mnt ro", "mnt ro $z_img")
# The name and fields of each line, without the task, the CPU, the time and the device's number.
LINES = "sed -nE 's/^.*: (erofs(_rs)?_[a-z_]+): dev = \\([0-9]+,[0-9]+\\),?/\\1/p' trace"

# The same field may be declared, and the same value printed, in other words.
SPELLING = r"""sed -E 's/erofs_(nid|blk|off)_t/u64/; s/^(print fmt: "[^"]*").*/\1/'"""


@cases.register(
    # Two drivers in one kernel image can have no event of the same name: it is a symbol.
    Case("event-names", f"ls {EVENTS} | grep -vc -e enable -e filter -e '^erofs_rs_'", "^0\nstatus 1", same=False),
    Case("events", f"ls {EVENTS}", "erofs_lookup.*erofs_map_blocks_exit|erofs_fill_inode.*erofs_readahead"),
    Case("formats", f"cd {EVENTS}; for e in */format; do echo $e; grep -v ^ID: $e; done | {SPELLING}", "field:.*nid"),
    Case("lookup", TRACE % "stat $m/sizes/f0004096 $m/sizes/none >/dev/null 2>&1" + LINES + "| grep lookup",
         "erofs_lookup.*f0004096"),
    Case("fill-inode", TRACE % "stat $m/links/sym10 $m/special/fifo >/dev/null" + LINES + "| grep fill_inode",
         "erofs_fill_inode"),
    Case("read", TRACE % "cat $m/sizes/f0300001 >/dev/null" + LINES + "| grep -oE 'erofs(_rs)?_[a-z_]+' | sort -u",
         "erofs_map_blocks_enter.*erofs_map_blocks_exit.*erofs_readahead"),
    Case("z-read", Z_TRACE % "cat $m/text >/dev/null" + LINES + "| grep -oE 'erofs(_rs)?_[a-z_]+' | sort -u",
         "erofs_map_blocks_enter.*erofs_map_blocks_exit.*erofs_readahead"),
    Case("z-fiemap", Z_TRACE % "filefrag $m/text $m/mixed >/dev/null" + LINES + "| grep map_blocks", "erofs_map_blocks"),
    Case("fiemap", TRACE % "filefrag $m/sizes/f0300001 >/dev/null" + LINES + "| grep map_blocks", "erofs_map_blocks"),
)
def test_tracepoint(bed, name):
    cases.check(bed, name)
