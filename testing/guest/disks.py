# SPDX-License-Identifier: GPL-2.0-only
"""Reads the files of a mount, and says whether they are those of a tree: `loop TREE MOUNT GO` makes the file GO, and
four processes read for as long as it is there, with totals; `cold TREE MOUNT` file by file, each from an empty cache;
`warm` without emptying it; `ahead TREE MOUNT COMMAND` asks for readahead alone, after COMMAND. A read may fail with
EIO; other errors and bytes end it."""
import errno
import os
import sys

SIZES = (4096, 128 << 10, 1000, 50_000)


def files(tree):
    """All at the top, some of those below."""
    for top, _, names in sorted(os.walk(tree)):
        for name in sorted(names)[::1 if top == tree else 8]:
            path = os.path.join(top, name)
            if os.path.isfile(path) and os.path.getsize(path):
                with open(path, "rb") as f:
                    yield os.path.relpath(path, tree), f.read()


def read(path, content, size):
    """Up to where it is right."""
    at = 0
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as e:
        return failed(path, e, at)
    try:
        while got := os.pread(file, size, at):
            if got != content[at:at + len(got)]:
                sys.exit(f"{path} has other bytes at {at}")
            at += len(got)
    except OSError as e:
        return failed(path, e, at)
    finally:
        os.close(file)
    if at != len(content):
        sys.exit(f"{path} ends at {at}")
    return "right"


def failed(path, error, at):
    if error.errno != errno.EIO:
        sys.exit(f"{path} at {at}: {error}")
    return f"EIO at {at}"


def loop(n):
    """From file `n` on, as long as it is to go on."""
    right = failures = 0
    while os.path.exists(sys.argv[4]):
        good = read(*known[n % len(known)], SIZES[n // len(known) % len(SIZES)]) == "right"
        right += good
        failures += not good
        n += 1
    print(f"read {right} failed {failures}")
    sys.exit()


def empty():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


how, tree, mount = sys.argv[1:4]
known = [(os.path.join(mount, name), content) for name, content in files(tree)]
if how == "loop":
    open(sys.argv[4], "w").close()
    readers = []
    for n in range(4):
        if reader := os.fork():
            readers.append(reader)
        else:
            loop(n * len(known) // 4)
    sys.exit(any([os.waitpid(reader, 0)[1] for reader in readers]))
elif how == "ahead":
    opened = [os.open(path, os.O_RDONLY) for path, _ in known]
    for file in opened:
        os.pread(file, 1, 0)
    if os.system(sys.argv[4]):
        sys.exit("the table stays")
    for file in opened:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
else:
    for n, (path, content) in enumerate(known):
        if how == "cold":
            empty()
        print(os.path.relpath(path, mount), read(path, content, SIZES[n % len(SIZES)]))
