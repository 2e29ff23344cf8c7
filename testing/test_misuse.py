# SPDX-License-Identifier: GPL-2.0-only
"""What safe code must not be able to do to the vfs crate does not compile.

Each case of misuse/cases.rs is compiled as kbuild compiles the filesystem, by the command that it recorded, against the
crates that it built. That the case compiles without its marked lines shows that nothing else is wrong with it.
"""
import functools
import importlib.util
import json
import os
import re
import subprocess
from importlib.machinery import SourceFileLoader

import pytest

import lab

MISUSE = lab.TOP / "testing" / "misuse"
CASES = {m[1]: m[0] for m in re.finditer(r"^mod (\w+) \{\n.*?^\}\n", (MISUSE / "cases.rs").read_text(), re.M | re.S)}
MARK = re.compile(r" *//~ ?(.*)$")


@functools.cache
def command():
    """How kbuild compiles the filesystem: arguments of rustc, environment, folder."""
    loader = SourceFileLoader("crates", str(lab.TOP / "tools" / "crates"))
    crates = importlib.util.module_from_spec(importlib.util.spec_from_loader("crates", loader))
    loader.exec_module(crates)
    [crate] = [c for c in crates.crates() if c.name == "erofs_rs"]
    args, skip = [], False
    for a in crate.args:
        if skip or a.startswith(("--emit", "-Zbinary_dep_depinfo")) or a == "--out-dir":
            skip = a == "--out-dir"
        else:
            args.append(a)
    env = dict(os.environ, RUSTC_BOOTSTRAP="1", VFS_OBJ=str(crates.OUT), **crate.env)
    return args, env, crates.OUT


def compiled(name, *modules):
    """The errors of the filesystem with some more modules: code, message and text of the line of each."""
    out = lab.BUILD / "misuse"
    out.mkdir(parents=True, exist_ok=True)
    source = out / f"{name}.rs"
    source.write_text("\n".join([(MISUSE / "filesystem.rs").read_text(), *modules]))
    args, env, folder = command()
    run = subprocess.run(
        ["rustc", *args, "--crate-name", "misuse", f"--emit=metadata={out / name}.rmeta", "--error-format=json", source],
        cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = source.read_text().splitlines()
    errors = []
    for line in run.stderr.splitlines():
        m = json.loads(line)
        if m.get("level") != "error" or m["message"].startswith("aborting due to"):
            continue
        [at] = {s["line_start"] for s in m["spans"] if s["is_primary"]} or {0}
        errors.append(((m["code"] or {}).get("code"), m["message"], lines[at - 1].strip() if at else ""))
    assert bool(errors) == bool(run.returncode), lab.tail(run.stderr)
    return errors


def without_marked(case):
    return "\n".join(line for line in case.splitlines() if not MARK.search(line)) + "\n"


def test_cases_are_found():
    text = (MISUSE / "cases.rs").read_text()
    assert len(CASES) == len(re.findall(r"^mod ", text, re.M)) >= 25
    assert all(MARK.search(line) for case in CASES.values() for line in case.splitlines() if "//~" in line)
    assert [name for name, case in CASES.items() if "//~ " not in case] == []


def test_what_is_right_compiles():
    """The filesystem, with all cases but for what is wrong in them."""
    assert compiled("right", *map(without_marked, CASES.values())) == []


@pytest.mark.parametrize("name", CASES)
def test_misuse(name):
    errors = compiled(name, CASES[name])
    marked = [(line.strip(), m[1]) for line in CASES[name].splitlines() if (m := MARK.search(line)) and m[1]]
    # Codes are counted; of an error without a code the message is named.
    wanted = [(at, word) for at, what in marked for word in (what.split() if what.startswith("E0") else [what])]
    found = [(line, code if (line, code) in wanted else message) for code, message, line in errors]
    assert sorted(found) == sorted(wanted), errors
