# SPDX-License-Identifier: GPL-2.0-only
"""Readers of the same data of a mounted image: some are killed at random moments, the other must not notice.

    killed.py IMAGE DIRECTORY SOURCE ROUNDS CACHES

DIRECTORY, where IMAGE is mounted, has the file `large` of SOURCE, of which they read pages. CACHES is the file that drops
what compressed data the mount keeps. Prints `killed KILLS` and `done READS`."""
import mmap
import os
import random
import signal
import subprocess
import sys
import time

PAGE, EXTENT, VICTIMS = 4096, 65536, 3


class Data:
    """Pages of few extents, mapped, or read now and then."""

    def __init__(self, directory, source):
        with open(f"{source}/large", "rb") as f:
            self.copy = f.read()
        self.fd = os.open(f"{directory}/large", os.O_RDONLY)
        self.map = mmap.mmap(self.fd, 0, prot=mmap.PROT_READ)
        self.map.madvise(mmap.MADV_RANDOM)

    def steps(self, seed, who):
        """Page by page, so that none waits for the folios of another one: of the same extents at a time."""
        extents = range(len(self.copy) // EXTENT)
        for extent in random.Random(seed).sample(extents, len(extents)):
            for n in range(who, EXTENT // PAGE, VICTIMS + 1):
                yield extent * EXTENT + n * PAGE

    def step(self, at):
        got = self.map[at:at + PAGE] if at % 5 else os.pread(self.fd, PAGE, at)
        return got == self.copy[at:at + PAGE]

    def forget(self):
        self.map.madvise(mmap.MADV_DONTNEED)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)


def survive(*args):
    """An error is its end. Each line on standard input is a seed, how long to wait, and how long to go on; the answer is how
    many steps that were."""
    work = Data(*args)
    for line in sys.stdin:
        seed, begin, until = (float(word) for word in line.split())
        time.sleep(begin)
        until += time.monotonic()
        for n, step in enumerate(work.steps(int(seed), VICTIMS)):
            if time.monotonic() > until:
                break
            if not work.step(step):
                sys.exit(f"wrong at {step}")
        work.forget()
        print(n, flush=True)


def start(work, seed, who):
    pid = os.fork()
    if pid == 0:
        for step in work.steps(seed, who):
            work.step(step)
        os._exit(0)
    return pid


def main(image, directory, source, rounds, caches):
    rng, backing, work = random.Random(3), os.open(image, os.O_RDONLY), Data(directory, source)
    survivor = subprocess.Popen([sys.executable, "-ISu", __file__, "survive", directory, source], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    killed = done = 0
    for seed in range(int(rounds)):
        work.forget()
        with open(caches, "w") as f:
            f.write("1")
        os.posix_fadvise(backing, 0, 0, os.POSIX_FADV_DONTNEED)
        span = rng.uniform(0.01, 0.05)
        victims = [start(work, seed, n) for n in range(VICTIMS)]
        print(seed, rng.uniform(0, 0.01), span, file=survivor.stdin, flush=True)
        for pid in victims:
            time.sleep(span / VICTIMS)
            os.kill(pid, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        answer = survivor.stdout.readline()
        if not answer:
            break
        done += int(answer)
    print("killed", killed)
    survivor.stdin.close()
    if survivor.wait() != 0:
        sys.exit(f"the other one ended: {survivor.returncode}")
    print("done", done)


if sys.argv[1] == "survive":
    survive(*sys.argv[2:])
else:
    main(*sys.argv[1:])
