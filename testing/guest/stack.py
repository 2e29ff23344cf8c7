# SPDX-License-Identifier: GPL-2.0-only
"""Reads files of a directory with cold caches, and prints how much kernel stack that took.

    stack.py tracer DRIVER DIRECTORY WAY FILE...   the stack tracer's maximum of each file, where it names the driver
    stack.py usage DRIVER DIRECTORY WAY FILE...    what the task that used most of its stack since the boot has left of it

WAY is `read`, by read(2), or `faults`, a page fault for each page from the last to the first."""
import ctypes
import mmap
import os
import re
import sys

TRACING = "/sys/kernel/tracing/"
# What comes now and then, wherever a task is: interrupts and who runs then, the tracer itself, an empty slab.
NOISE = re.compile(r"asm_sysvec_|asm_common_interrupt|stack_trace_call|preempt_schedule|refill_objects|allocate_slab")


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def get(path):
    with open(path) as f:
        return f.read()


def read(path, way):
    fd = os.open(path, os.O_RDONLY)
    size = os.fstat(fd).st_size
    if way == "read":
        while os.read(fd, 1 << 20):
            pass
    else:
        with mmap.mmap(fd, size, prot=mmap.PROT_READ) as m:
            m.madvise(mmap.MADV_RANDOM)
            for at in reversed(range(0, size, mmap.PAGESIZE)):
                m[at]
    os.close(fd)


def cold():
    put("/proc/sys/vm/drop_caches", "3")


def trace(driver, files, way):
    """The deepest traces are of this task, in the driver, and nothing but it, or they do not count."""
    measured, deepest, found = 0, 0, ""
    for path in files:
        for _ in range(3):
            cold()
            put(TRACING + "stack_max_size", "0")
            read(path, way)
            text = get(TRACING + "stack_trace")
            size = int(get(TRACING + "stack_max_size"))
            if f"[{driver}]" in text and not NOISE.search(text):
                break
        else:
            continue
        measured += 1
        if size > deepest:
            deepest, found = size, text
    print(f"deepest {deepest} measured {measured} files {len(files)}\n{found}")


def usage(files, way):
    """Of a task that does nothing else. The kernel tells when a task ends that has used more than any before."""
    child = os.fork()
    if child == 0:
        for path in files:
            cold()
            read(path, way)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    told = re.findall(r"used greatest stack depth: (\d+) bytes left", os.popen("dmesg").read())
    print(f"left {told[-1]} files {len(files)}")


def main(how, driver, top, way, *names):
    # What this runs on is not to be read again, through another filesystem; and nobody else is to run.
    assert ctypes.CDLL(None, use_errno=True).mlockall(3) == 0
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    files = [os.path.join(top, name) for name in names]
    if how == "usage":
        return usage(files, way)
    put("/proc/sys/kernel/stack_tracer_enabled", "1")
    trace(driver, files, way)
    put("/proc/sys/kernel/stack_tracer_enabled", "0")


main(*sys.argv[1:])
