# SPDX-License-Identifier: GPL-2.0-only
"""Labels of SELinux and hashes of IMA that an image brings along, as both drivers show them, and what both modules make
of the names of the two filesystem types. One boot, of Debian's kernel with SELinux: IMA is always there."""
import ast
import functools
import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

import images
import lab
import source
from cases import neutral

ARGS = {"plain": (), "compressed": ("-zlz4hc", "-C65536", "-Efragments,ztailpacking,dedupe")}
DRIVERS = dict.fromkeys(("erofs", lab.PEER))


# --- SELinux

def context(kind):
    return f"system_u:object_r:{kind}:s0".encode()


LABELS = {"etc": context("etc_t"), "bin": context("bin_t"), "secret": context("secret_t"), "with-nul": context("etc_t") + b"\0",
          "ranged": context("etc_t") + b":c0", "strange": b"system_u:object_r:of_another_policy_t:s0", "garbage": b"\xff\xfe", "none": None}


def _labelled(path):
    """Files, directories, links and a fifo with labels; the same one on many, so that it is shared; and hashes for IMA."""
    tree = source.Tree(path, big_ids=False)

    def mark(where, value):
        if value is not None:
            os.setxattr(where, "security.selinux", value, follow_symlinks=False)

    mark(tree.root, context("etc_t"))
    mark(tree.dir("dir"), context("bin_t"))
    for n, (name, value) in enumerate(LABELS.items()):
        mark(tree.file("dir", name, content=b"some words, " * n * 700), value)
        mark(tree.dir(f"dir-{name}"), value)
        tree.file(f"dir-{name}", "file", content=name.encode())
        os.symlink(name, tree.at("dir", f"link-{name}"))
        mark(tree.at("dir", f"link-{name}"), value)
    os.mkfifo(tree.at("fifo"))
    mark(tree.at("fifo"), context("bin_t"))
    for n in range(20):
        mark(tree.file("dir", f"same-{n:02}", content=b""), context("bin_t"))
        os.setxattr(tree.at("dir", f"same-{n:02}"), "user.own", b"%d" % n)
    tree.finish()


def policy(*types):
    """A compiled policy by which these types of filesystems have labels."""
    name = "-".join(types)
    text = (lab.TOP / "testing" / "selinux.conf").read_text()
    uses = "".join(f"fs_use_xattr {t} system_u:object_r:fs_t:s0;\n" for t in types)
    conf, out = lab.scratch(f"selinux-{name}.conf"), lab.scratch(f"selinux-{name}.policy")
    conf.write_text(text + uses)
    p = subprocess.run(["checkpolicy", "-M", "-U", "allow", "-c", "33", "-o", out, conf], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr
    return out


# --- IMA

OWNERS = {"read": 1000, "map": 1001, "execute": 1002, "by-uuid": 1003, "by-name": 1004}
SHA256, SHA512 = b"\x04\x04", b"\x04\x06"      # a digest (IMA_XATTR_DIGEST_NG), and by which algorithm
SCRIPT = b"#!/bin/busybox sh\necho was executed\n"
CONTENTS = {"small": SCRIPT, "large": SCRIPT + b"# a word and another one\n" * 20_000}


def hashes(content):
    """What stands in security.ima of each kind of file, and whether that is right."""
    sha256, sha512 = SHA256 + hashlib.sha256(content).digest(), SHA512 + hashlib.sha512(content).digest()
    return {
        "good": (sha256, True), "good-512": (sha512, True), "none": (None, False), "short": (sha256[:-1], False),
        "bad": (sha256[:-1] + bytes([sha256[-1] ^ 1]), False), "of-nothing": (SHA256 + hashlib.sha256().digest(), False),
    }


def _hashed(path):
    """In a directory for each rule, small scripts and large ones with right and wrong hashes."""
    tree = source.Tree(path, big_ids=False)
    for rule in OWNERS:
        tree.dir(rule)
        for size, content in CONTENTS.items():
            for name, (value, _) in hashes(content).items():
                where = tree.file(rule, f"{size}-{name}", content=content, mode=0o755)
                if value:
                    os.setxattr(where, "security.ima", value)
    tree.finish()
    for rule, owner in OWNERS.items():
        for name in os.listdir(tree.at(rule)):
            os.chown(os.path.join(tree.at(rule), name), owner, 0)


def ima_policy():
    """Measured by the magic number, which both types have; appraised by the name or the UUID."""
    rules = [f"measure func={f} fsmagic=0xe0f5e1e2" for f in ("FILE_CHECK mask=MAY_READ", "MMAP_CHECK", "BPRM_CHECK")]
    for name in DRIVERS:
        rules += [f"appraise func=FILE_CHECK fsname={name} fowner={OWNERS['read']}",
                  f"appraise func=MMAP_CHECK fsname={name} fowner={OWNERS['map']}",
                  f"appraise func=BPRM_CHECK fsname={name} fowner={OWNERS['execute']}"]
    rules += [f"appraise func=FILE_CHECK fsuuid={images.UUID[2:]} fowner={OWNERS['by-uuid']}",
              f"appraise func=FILE_CHECK fsname=erofs fowner={OWNERS['by-name']}"]
    path = lab.scratch("ima-policy")
    path.write_text("\n".join(rules) + "\n")
    return path


# --- the guest

def image(make, name):
    text = Path(__file__).read_bytes() + Path(source.__file__).read_bytes()
    tree = images.once(images.CACHE / f"source-{make.__name__[1:]}-{hashlib.sha256(text).hexdigest()[:12]}", make)
    return images.make(images.Recipe(f"{make.__name__[1:]}-{name}", ARGS[name], str(tree))).path


@functools.cache
def batch():
    both = "erofs", *(name for name in DRIVERS if name != "erofs")
    args = [f"{kind}:{name}={image(make, name)}" for kind, make in (("labelled", _labelled), ("hashed", _hashed)) for name in ARGS]
    run = lab.script("stock", "security.sh", policy("erofs"), policy(*both), ima_policy(), *args,
                     options=("--append", "security=selinux ima_appraise=enforce"), timeout=600)
    return lab.Batch(run)


def told(what, name):
    """Of each driver the lines of a section, by what they begin with."""
    found = {}
    for driver in DRIVERS:
        text = neutral(batch().check(f"{what}/{name}/{driver}" if name else f"{what}/{driver}"))
        lines = [line.partition(" ") for line in text.splitlines()[:-1] if line]
        found[driver] = {first: rest for first, _, rest in lines}
        assert len(found[driver]) == len(lines) > 20, text
    return found


def same(what, name):
    """What both drivers say alike."""
    found = told(what, name)
    assert found["erofs"] == found[lab.PEER]
    return found["erofs"]


def labels(found):
    """By the path, what getxattr gives."""
    return {path: ast.literal_eval(rest.partition(" [")[0]) for path, rest in found.items()}


def wanted():
    """Where there is no label, that of a file without one; the others as they are in the image, a NUL behind each."""
    of_tree = {"etc": LABELS["etc"], "none": context("file_t"), "with-nul": LABELS["etc"]}
    return {f"{where}{name}": (of_tree.get(name) or value) + b"\0"
            for name, value in LABELS.items() for where in ("dir/", "dir-", "dir/link-")}


each_image = pytest.mark.parametrize("name", ARGS)
together = lab.shared_boot("security")


@each_image
@together
def test_labels(name):
    found = labels(same("both", name))
    assert wanted().items() <= found.items()
    assert found["."] == context("etc_t") + b"\0" and found["fifo"] == context("bin_t") + b"\0"
    assert {found[f"dir/same-{n:02}"] for n in range(20)} == {context("bin_t") + b"\0"}


@together
def test_labels_of_what_was_mounted_before_there_was_a_policy():
    assert wanted().items() <= labels(same("early", "")).items()


@together
def test_one_label_for_all():
    """That of the mount option, which is shown."""
    found = same("context", "plain")
    assert "context=system_u:object_r:bin_t:s0" in found.pop("options:")
    assert set(labels(found).values()) == {context("bin_t") + b"\0"}


@together
def test_another_label_for_the_root():
    found = same("rootcontext", "plain")
    assert "rootcontext=system_u:object_r:bin_t:s0" in found.pop("options:")
    assert labels(found).pop(".") == context("bin_t") + b"\0"
    assert wanted().items() <= labels(found).items()


@each_image
@together
def test_enforced(name):
    found = same("enforced", name)
    assert {path for path, what in found.items() if what == "EACCES"} == {"dir/secret", "dir/ranged"}


@each_image
@together
def test_policy_that_knows_one_type_only(name):
    """Documentation/admin.md says what to add."""
    found = {driver: labels(lines) for driver, lines in told("unknown", name).items()}
    assert found["erofs"] == labels(same("both", name))
    if lab.PEER != "erofs":
        assert set(found[lab.PEER].values()) == {context("unlabeled_t") + b"\0"}


def answers(found, rule, ask):
    """By the file, what came of asking for it; of the files that the rule is for."""
    of_rule = {path.partition("/")[2]: rest for path, rest in found.items() if path.startswith(f"{rule}/")}
    assert len(of_rule) == 2 * len(hashes(b""))
    return {name: re.search(rf"\b{ask} (\S+)", rest)[1] for name, rest in of_rule.items()}


@each_image
@together
@pytest.mark.parametrize("rule, asks", [
    ("read", ("read", "mapped")), ("map", ("mapped",)), ("execute", ("executed",)), ("by-uuid", ("read", "mapped"))])
def test_appraised(name, rule, asks):
    """A right hash opens, another one or none does not."""
    found = told("ima", name)
    of_both = [{path: rest for path, rest in of_one.items() if not re.search(r"(^|:)by-name/", path)} for of_one in found.values()]
    assert all(f == of_both[0] for f in of_both)
    for ask in asks:
        for file, answer in answers(found["erofs"], rule, ask).items():
            size, _, kind = file.partition("-")
            if size == "small" or ask != "executed":
                assert (answer != "EACCES") == hashes(b"")[kind][1], (file, ask, answer)


@each_image
@together
def test_appraised_by_the_name_of_one_type_only(name):
    """Documentation/admin.md says what to add."""
    found = {driver: answers(lines, "by-name", "read") for driver, lines in told("ima", name).items()}
    assert "EACCES" in found["erofs"].values()
    if lab.PEER != "erofs":
        assert "EACCES" not in found[lab.PEER].values()


@each_image
@together
def test_measured(name):
    """Each file once, though it was read, mapped and executed; with the hash of its content."""
    found = told("ima", name)
    logs = [{path: rest for path, rest in of_one.items() if path.startswith("measured:")} for of_one in found.values()]
    assert all(log == logs[0] for log in logs)
    assert len(logs[0]) == len(OWNERS) * len(CONTENTS) * len(hashes(b""))
    for path, rest in logs[0].items():
        content = CONTENTS[path.rpartition("/")[2].partition("-")[0]]
        how = "sha512" if path.endswith("-512") else "sha256"
        assert rest == f"ima-sig {how}:{hashlib.new(how, content).hexdigest()}", path


@together
def test_leaves_no_trace():
    batch().run.check()
