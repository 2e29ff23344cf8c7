# SPDX-License-Identifier: GPL-2.0-only
"""The KUnit suites of the vfs crate, run by the debug kernel when the module is loaded."""
import re

from lab import TOP, vm

# The kernel runs no suite unless asked. The C driver brings the libraries that both need.
SCRIPT = """
printf '*' >/sys/module/kunit/parameters/filter_glob
dmesg -C
insmod "$1" && dmesg && rmmod erofs_rs
"""


def test_vfs_suites():
    module = TOP / "build" / "uml-debug" / "erofs_rs.ko"
    out = vm("uml-debug", "sh", "-ec", SCRIPT, "sh", module, fs="erofs", timeout=180).check().out
    cases = re.findall(r"\] +(ok|not ok) \d+ ([a-z_0-9]+)(?: # (SKIP))?", out)
    suites = {m for m in re.findall(r"# Subtest: (\w+)", out)}
    assert suites == {
        "vfs_bio", "vfs_codec", "vfs_contexts", "vfs_few", "vfs_folio", "vfs_inode", "vfs_lru", "vfs_once", "vfs_options",
        "vfs_page", "vfs_reads", "vfs_task"}, out
    assert len(cases) >= 78, out
    assert [c for c in cases if c[0] != "ok" or c[2]] == [], out
