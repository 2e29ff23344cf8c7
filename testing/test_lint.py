# SPDX-License-Identifier: GPL-2.0-only
"""The rules of the design are kept, and the check of each rule works."""
import subprocess

import lab


def test_lint():
    """The tree passes each check, which then catches each fault that is planted for it."""
    p = subprocess.run(["tools/lint", "--prove"], cwd=lab.TOP, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, "\n".join(line for line in p.stdout.splitlines() if not line.startswith("ok ")) + lab.tail(p.stderr)
