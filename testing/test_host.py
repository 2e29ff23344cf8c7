# SPDX-License-Identifier: GPL-2.0-only
"""The pure crates on the host: their tests, and a short fuzz run."""
import functools
import re
import subprocess

import pytest

import lab


def run(*cmd, cwd="."):
    p = subprocess.run(cmd, cwd=lab.TOP / cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, lab.tail(p.stdout + p.stderr)
    return p.stdout + p.stderr


def passed(out):
    """How many tests cargo has run: none fails, either."""
    return sum(int(n) for n in re.findall(r"^test result: ok\. (\d+) passed; 0 failed", out, re.M))


def test_format_crate():
    out = run("cargo", "test", "--locked", "--release", "--target-dir", lab.BUILD / "format", cwd="rust/format")
    assert passed(out) >= 70, lab.tail(out)


def test_chain_crate():
    """Most of the time goes into the model of two readers; its profile is in Cargo.toml."""
    out = run("cargo", "test", "--locked", "--target-dir", lab.BUILD / "chain", cwd="rust/chain")
    assert passed(out) >= 15, lab.tail(out)


@pytest.mark.full
@pytest.mark.timeout(5000)
def test_chain_crate_long():
    out = run("cargo", "test", "--locked", "--target-dir", lab.BUILD / "chain", "--", "--ignored", cwd="rust/chain")
    assert passed(out) >= 1, lab.tail(out)


TARGETS = re.findall(r'^\[\[bin\]\]\nname = "(\w+)"', (lab.TOP / "rust/format/fuzz/Cargo.toml").read_text(), re.M)


@functools.cache
def fuzzed():
    """All parsers together take half a minute; the long run is below."""
    p = subprocess.run(["rust/format/fuzz/run", "5"], cwd=lab.TOP, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return p.stdout + p.stderr


def test_all_parsers_are_fuzzed():
    assert sorted(TARGETS) == sorted(p.stem for p in (lab.TOP / "rust/format/fuzz/targets").glob("*.rs") if p.stem != "lib")
    assert len(TARGETS) >= 12


@lab.shared_boot("fuzz")
@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(target):
    assert f"fuzz {target}: nothing found" in fuzzed(), lab.tail(fuzzed())


@pytest.mark.full
@pytest.mark.timeout(5000)
def test_fuzz_long():
    out = run("rust/format/fuzz/run", "600")
    assert [t for t in TARGETS if f"fuzz {t}: nothing found" not in out] == [], lab.tail(out)
