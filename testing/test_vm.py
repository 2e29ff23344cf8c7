# SPDX-License-Identifier: GPL-2.0-only
"""The VM runner itself, with the C driver only: each promise that tools/vm --help
makes, and each way in which it must not say that all was well."""
import hashlib
import os
import signal
import subprocess
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
both_beds = pytest.mark.parametrize("bed", ["stock", "uml-debug"])


def vm(bed, *args, script, **kw):
    return subprocess.run([TOP / "tools/vm", "--bed", bed, *map(str, args), "--", "sh", "-c", script],
                          cwd=TOP, capture_output=True, stdin=subprocess.DEVNULL, **kw)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three images that differ in their label and in their only file."""
    made = []
    for n in (1, 2, 3):
        source = tmp_path_factory.mktemp("source")
        (source / "file").write_text(f"image {n}\n")
        # UML cuts names at commas and colons.
        image = tmp_path_factory.mktemp("image") / f"a,b:{n}.erofs"
        subprocess.run(["mkfs.erofs", "--quiet", f"-Llabel{n}", image, source], check=True, capture_output=True)
        made.append(image)
    return made


@both_beds
def test_output_status_and_share(bed, tmp_path):
    """Output is exact, binary or not. The share is writable and the working directory, the root is not."""
    data = os.urandom(1 << 20) * 8
    (tmp_path / "data").write_bytes(data)
    run = vm(bed, "--fs", "none", "--share", tmp_path, script="""
        echo to stdout; echo to stderr >&2; pwd; id -u
        cat data
        echo guest >written
        for d in /tmp /run /mnt /var/tmp; do echo x >$d/x || exit 1; done
        for d in / /etc /usr/bin; do ! echo x 2>/dev/null >$d/x || exit 2; done
        exit 3""")
    text = f"to stdout\n{tmp_path}\n0\n".encode()
    assert run.stderr.decode() == "to stderr\n"
    assert run.returncode == 3
    assert run.stdout[:len(text)] == text
    assert hashlib.sha256(run.stdout[len(text):]).digest() == hashlib.sha256(data).digest()
    assert (tmp_path / "written").read_text() == "guest\n"


@both_beds
def test_images_keep_their_order_and_leftovers_do_not_matter(bed, images):
    """Images are read-only. What the command leaves running, mounted or attached is cleared away."""
    disks = [a for image in images for a in ("--disk", image)]
    run = vm(bed, "--fs", "erofs", *disks, script="""
        for d in b c d; do
            blkid -o value -s LABEL /dev/vd$d
            mount -r -t erofs /dev/vd$d /mnt && cat /mnt/file && umount /mnt
            ! echo x 2>/dev/null >/dev/vd$d || echo written to
        done
        mount -r -t erofs /dev/vdb /mnt
        mkdir /run/again && mount -r -t erofs /dev/vdb /run/again
        losetup -r -f /mnt/file
        cd /mnt && (sleep 1000 & exec sleep 1000) &
        exit 4""")
    assert run.stdout.decode() == "".join(f"label{n}\nimage {n}\n" for n in (1, 2, 3))
    assert run.returncode == 4


@both_beds
def test_timeout_is_124(bed):
    start = time.monotonic()
    assert vm(bed, "--fs", "none", "--timeout", 2, script="sleep 1000").returncode == 124
    assert time.monotonic() - start < 90


@both_beds
def test_no_image_is_125(bed, tmp_path):
    assert vm(bed, "--disk", tmp_path / "none", script="true").returncode == 125


@both_beds
def test_no_userland_is_125(bed):
    assert vm(bed, "--fs", "none", "--append", "init=/nonsense", script="true").returncode == 125


def test_oops_is_126_on_stock(tmp_path):
    log = tmp_path / "log"
    run = vm("stock", "--fs", "none", "--log", log, script="echo c >/proc/sysrq-trigger; exit 0")
    assert run.returncode == 126
    assert "Kernel panic" in log.read_text() and b"Kernel panic" in run.stderr


@pytest.mark.parametrize("trouble, words", [
    ("WARNING", "WARNING: "),
    ("EXCEPTION", "Kernel panic"),
    ("SLAB_LINEAR_OVERFLOW", "KASAN: slab-out-of-bounds"),
    ("REFCOUNT_INC_OVERFLOW", "refcount_t: "),
    ("SPINLOCKUP", "sleeping function called"),
    ("HUNG_TASK", "blocked for more than"),
])
def test_complaint_of_the_debug_kernel_is_126(trouble, words, tmp_path):
    log = tmp_path / "log"
    run = vm("uml-debug", "--fs", "none", "--log", log, "--timeout", 60, script=f"""
        modprobe lkdtm
        echo 3 >/proc/sys/kernel/hung_task_timeout_secs
        echo {trouble} >/sys/kernel/debug/provoke-crash/DIRECT
        exit 0""")
    assert words in log.read_text()
    assert run.returncode == 126


def test_only_a_boot_is_done_again():
    """For a breakpoint that the emulator ran too late; what a kernel with something under test says, counts."""
    loader = SourceFileLoader("vm", str(TOP / "tools/vm"))
    vm = module_from_spec(spec_from_loader("vm", loader))
    loader.exec_module(vm)
    stale = "[    2.5] Oops: int3: 0000 [#1] SMP NOPTI\n[    2.6] Kernel panic - not syncing: Fatal exception\n"

    def stumbled(log, *states):
        guest = vm.Guest(vm.arguments(["--", "true"]))
        try:
            Path(guest.log).write_text(log)
            guest.states = dict.fromkeys(states, "")
            return guest.stumbled()
        finally:
            os.unlink(guest.log)
            guest.close()

    assert stumbled("[    0.1] mtrr: of no matter\n" + stale)
    assert not stumbled(stale, "up")
    assert not stumbled("[    2.4] WARNING: CPU: 0\n" + stale)
    assert not stumbled("[    2.4] Oops: 0002 [#1] SMP NOPTI\n")
    assert not stumbled("")


def test_leak_is_126(tmp_path):
    """erofs_rs is loaded: that is what makes the clean-up look for leaks."""
    log = tmp_path / "log"
    run = vm("uml-debug", "--fs", "erofs_rs", "--log", log, script="modprobe kmemleak-test; rmmod kmemleak-test")
    assert "unreferenced object" in log.read_text()
    assert run.returncode == 126


def test_pmem_does_dax(images):
    run = vm("stock", "--fs", "erofs", "--pmem", images[1], script="""
        mount -r -t erofs -o dax=always /dev/pmem0 /mnt && cat /mnt/file && grep -o dax=always /proc/mounts""")
    assert run.stdout.decode() == "image 2\ndax=always\n"
    assert run.returncode == 0


def test_icount_counts_alike(images):
    """One CPU, the image in memory, and a clock that repeats."""
    spent = []
    for _ in range(2):
        run = vm("stock", "--fs", "erofs", "--icount", "--disk", images[2], script="""
            mount -r -t erofs /dev/vdb /mnt && cat /mnt/file && readlink /dev/vdb && nproc
            read before _ </proc/uptime; n=0
            while [ $n -lt 200000 ]; do n=$((n + 1)); done
            read after _ </proc/uptime; echo $before $after""")
        assert run.returncode == 0
        *head, clock = run.stdout.decode().splitlines()
        assert head == ["image 3", "/dev/loop0", "1"]
        before, after = map(float, clock.split())
        spent.append(after - before)
    assert spent[0] > 0
    assert abs(spent[0] - spent[1]) <= 0.02 * spent[0] + 0.01


def test_icount_needs_no_image():
    run = vm("stock", "--fs", "erofs", "--icount", script="nproc")
    assert (run.stdout, run.returncode) == (b"1\n", 0)


@pytest.mark.parametrize("bed, device", [("stock", "/dev/hvc0"), ("uml-debug", "/dev/tty1")])
def test_tty(bed, device):
    run = subprocess.run(["script", "-qec", f"{TOP}/tools/vm --bed {bed} --fs none --tty -- sh -c 'tty; exit 5'", "/dev/null"],
                         capture_output=True, stdin=subprocess.DEVNULL)
    assert device in run.stdout.decode()
    assert run.returncode == 5


@both_beds
def test_three_at_once(bed):
    """Each by itself; one of the commands is killed, which is its status."""
    script = "cat /proc/sys/kernel/random/boot_id; "
    runs = [subprocess.Popen([TOP / "tools/vm", "--bed", bed, "--fs", "none", "--", "sh", "-c", script + end],
                             stdout=subprocess.PIPE) for end in ("exit 0", "exit 7", "kill -9 $$")]
    ids = {r.communicate()[0] for r in runs}
    assert [r.returncode for r in runs] == [0, 7, 128 + signal.SIGKILL]
    assert len(ids) == 3


@pytest.mark.parametrize("first, second", [("stock", "uml-debug"), ("uml-debug", "stock")])
def test_image_of_two_guests(images, tmp_path, first, second):
    """Guests of both beds may have the same image at the same time."""
    command = [TOP / "tools/vm", "--fs", "erofs", "--disk", images[0], "--share", tmp_path]
    read = "mount -t erofs /dev/vdb /mnt && cat /mnt/file"
    with subprocess.Popen([*command, "--bed", first, "--", "sh", "-c", read + "; until [ -e go ]; do sleep .1; done"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"image 1\n"
        other = vm(second, "--fs", "erofs", "--disk", images[0], script=read)
        (tmp_path / "go").touch()
        assert (other.returncode, other.stdout) == (0, b"image 1\n"), other.stderr.decode()
    assert run.returncode == 0


@both_beds
def test_nothing_is_left_on_the_host(bed):
    """A guest ends with its tools/vm, however that one ends."""
    run = subprocess.Popen([TOP / "tools/vm", "--bed", bed, "--fs", "none", "--", "sh", "-c", "echo up; sleep 1000"],
                           stdout=subprocess.PIPE)
    assert run.stdout.readline() == b"up\n"
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    assert children
    run.kill()
    run.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{c}/exe").exists() for c in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
