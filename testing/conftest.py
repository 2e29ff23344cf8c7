# SPDX-License-Identifier: GPL-2.0-only
"""One line a test, and the totals alone on the last line."""
import os
import re
from collections import Counter

import pytest

totals = Counter()


def pytest_xdist_auto_num_workers():
    """One more than cores: guests also wait, for kmemleak to believe in a leak, or for a disk that is to fail."""
    return len(os.sched_getaffinity(0)) + 1


# pytest-xdist begins with the groups that have most tests. Of those with as many what takes longest comes first, so that
# it is not left to run alone at the end.
LONG = ("test_real", "test_differential", "test_hostile", "test_load", "test_lint", "test_stress", "test_host", "test_compressed")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_report_teststatus(report):
    category, letter, word = yield
    if letter:
        # What stands behind @ says which tests stay together, not which test it is.
        name = re.sub(r"@[\w-]+$", "", report.nodeid)
        why = f" ({report.longrepr[2]})" if report.skipped else ""
        letter = f"{word} {name}{why}\n"
    return category, letter, word


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


def pytest_unconfigure(config):
    # The workers report to one process, which counts.
    if hasattr(config, "workerinput"):
        return
    print("\n{passed} passed, {failed} failed, {skipped} skipped".format(
        **{k: totals[k] for k in ("passed", "failed", "skipped")}))
