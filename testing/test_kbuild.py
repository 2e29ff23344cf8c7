# SPDX-License-Identifier: GPL-2.0-only
"""What the module is beside others in a kernel: of which architecture, and by which names."""
import lzma
import re
import subprocess

import pytest

import lab

# Where GCC builds the kernel and Rust is supported.
ARCHITECTURES = {"x86": 8, "arm64": 8, "arm": 4, "loongarch": 8, "s390": 8, "powerpc": 8, "um": 8}
SHOW = """
srctree := {tree}
src := {src}
obj := .
SUBARCH := x86
CONFIG_RUST := y
CONFIG_PPC64 := y
include {makefile}
.PHONY: show
show: ; @echo $({variable})
"""


def kernel(what):
    return subprocess.run(["tools/kernel", what], cwd=lab.TOP, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def source():
    return kernel("source")


def shown(arch, src, makefile, variable):
    """The value of a variable of a makefile in a kernel build by GCC for `arch`."""
    text = SHOW.format(tree=source(), src=src, makefile=makefile, variable=variable)
    return subprocess.run(["make", "-s", "-f", "-", f"SRCARCH={arch}", "show"], input=text, text=True, capture_output=True)


def target(arch):
    return shown(arch, lab.TOP, lab.TOP / "Kbuild", "bindgen_target")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_bindgen_target(arch):
    """Bindings are made for the kernel's architecture: the target is that of the kernel's own bindings, and libclang
    lays out types by it."""
    tree = source()
    of_kernel = shown(arch, f"{tree}/rust", f"{tree}/rust/Makefile", "BINDGEN_TARGET").stdout.strip()
    found = target(arch).stdout.strip()
    assert found == of_kernel and found, (found, of_kernel)
    header = lab.scratch(f"kbuild-{arch}.h")
    header.write_text("struct probe { char first; unsigned long words[sizeof(long)]; };\n")
    made = subprocess.run(["bindgen", header, "--", f"--target={found}"], check=True, text=True, capture_output=True).stdout
    assert re.search(r"words: \[[\w:]+; (\d+)usize\]", made)[1] == str(ARCHITECTURES[arch]), made


def test_unknown_target():
    """No bindings are made for some other architecture."""
    p = target("riscv")
    assert p.returncode and "no target of libclang is known for riscv" in p.stderr


def test_all_architectures_are_here():
    """i386 is only for User Mode Linux."""
    text = (lab.Path(source()) / "rust/Makefile").read_text()
    assert set(re.findall(r"^BINDGEN_TARGET_(\w+)\s*:=", text, re.M)) == set(ARCHITECTURES) | {"i386"}


def symbols(path):
    """The global symbols that an object defines, but for those that each module has."""
    out = subprocess.run(["nm", "-g", "--defined-only", path], check=True, text=True, capture_output=True).stdout
    names = {line.split()[-1] for line in out.splitlines()}
    return {n for n in names if n not in ("init_module", "cleanup_module", "__this_module") and not n.startswith("__pfx_")}


def test_symbols_are_its_own():
    """Both drivers could be linked together, and with all that the kernel and its modules export."""
    release = lab.Path("/etc/kernel-release").read_text().strip()
    packed = lab.Path(f"/usr/lib/modules/{release}/kernel/fs/erofs/erofs.ko.xz")
    other = lab.scratch("kbuild-erofs.ko")
    other.write_bytes(lzma.decompress(packed.read_bytes()))
    ours, theirs = symbols(lab.BUILD / "stock" / "erofs_rs.ko"), symbols(other)
    exported = {line.split("\t")[1] for line in lab.Path(kernel("stock"), "Module.symvers").read_text().splitlines()}
    assert len(ours) > 100 and len(theirs) > 50 and "iput" in exported
    assert ours & theirs == set() == ours & exported
