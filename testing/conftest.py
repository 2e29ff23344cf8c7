# SPDX-License-Identifier: GPL-2.0-only
"""One line a test, and the totals alone on the last line."""
from collections import Counter

totals = Counter()


def pytest_runtest_logreport(report):
    if report.failed:
        totals["failed"] += 1
    elif report.when == "call" and report.passed:
        totals["passed"] += 1
    elif report.skipped:
        totals["skipped"] += 1


def pytest_collectreport(report):
    # A file that cannot be read is a failure, not an absence.
    if report.failed:
        totals["failed"] += 1


def pytest_unconfigure():
    print("\n{passed} passed, {failed} failed, {skipped} skipped".format(
        **{k: totals[k] for k in ("passed", "failed", "skipped")}))
