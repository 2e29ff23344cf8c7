# SPDX-License-Identifier: GPL-2.0-only
"""The rules of the design are kept, and the check of each rule works."""
import subprocess

import lab


def run(*cmd):
    p = subprocess.run(cmd, cwd=lab.TOP, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, lab.tail(p.stdout + p.stderr)
    return p.stdout + p.stderr


def test_lint():
    run("tools/lint")


def test_lint_catches_planted_faults():
    run("tools/lint", "--prove")
