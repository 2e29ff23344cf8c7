# SPDX-License-Identifier: GPL-2.0-only
"""File handles: every path of an image opened again by its handle when no name
is cached, and by an NFS server's rules for what is no handle."""
import cases
from cases import Case


@cases.register(
    Case("handles", "mnt ro; $treecmp handles $m", r"handles \d{3}"),
    Case("handles-dot-omitted", "mnt ro $dot_img; $treecmp handles $m", r"handles \d{3}"),
)
def test_handles(bed, name):
    cases.check(bed, name)
