# SPDX-License-Identifier: GPL-2.0-only
"""Images that lie, by structure, in the kernel with every check on: no splat, no
hang, and each answer that of the C driver. In `make test-full` the same mutants are
looked at on the stock kernel, too, in more ways. Some are mounted as files."""
import functools
import re

import pytest

import lab
import mutate
import zmutate

SEED = 20
SEEDS = {s.name: s for s in (*mutate.seeds(), *zmutate.seeds())}

# Differences that are meant: of which mutants, what is said of them, and why.
TOLERATED = (
    (r".*", r"stricter mount: 0 \| (EUCLEAN|EINVAL|EOPNOTSUPP|EIO)$",
     "an image may be refused before the C driver finds what is wrong with it"),
    (r".*size=", r"value statx \S+: blocks=0xffc0000000000000  \| blocks=0x40000000000000 $",
     "the C driver's count of the blocks of 2^63-1 bytes overflows"),
    (r".*nid=", r"stricter (statx|getdents|lookup) \S+: (a statx|0) \| EUCLEAN$",
     "of a nid from 2^59 on, the C driver loses bits, and finds another inode"),
    (r".*:dir\.format=", r"errno lookup \S+: ENOENT \| (EUCLEAN|EIO)$",
     "the C driver keeps a directory's last block in an int: of 2^31 blocks and more it may see none"),
)
# The same of compressed images, by "IMAGE MUTANT DIFFERENCE". What the C driver says only because of what was read before
# is none, and does not come here: treecmp finds out. But for the two that say so, no rule allows other bytes where
# both have some.
SHORTER = r"(stricter (pread|mmap)\S* \S+ \d+ bytes.* \| (EUCLEAN|EFAULT)|value (pread|mmap)\S* \S+ \d+ bytes, @(?P<end>\d+) .* \| (?P=end) bytes, @(?P=end) )"
LONGER = r"(laxer (pread|mmap)\S* \S+ (EUCLEAN|EFAULT) \| \d+ bytes|value (pread|mmap)\S* \S+ (?P<end>\d+) bytes, @(?P=end) +\| \d+ bytes, @(?P=end) )"
Z_TOLERATED = (
    (r"\S+ \d+:(\S*/)?(\w+)[.\[]\S* stricter seek_(data|hole) /\S*\2: \d+ \| EUCLEAN",
     "an extent that ends before the byte it was looked up for, which iomap warns of: see lab.C_COMPLAINTS"),
    (r"\S+ \d+:\S*(word|size)\S* (value|laxer) pread\S* \S+ (EOPNOTSUPP|\d+ bytes).* \(alone (EOPNOTSUPP|\d+ bytes)",
     "a damaged map gives two pclusters of one read the same position, with the packed inode's or among themselves; "
     "the C driver takes the length and the algorithm of the first for both"),
    (r"\S+ \S+ errno (lookup|getdents) \S+: (EIO \| EUCLEAN|EUCLEAN \| EIO)",
     "who waits for a directory's folio that a readahead is still to read is told EIO, by either driver; who reads it, why"),
    (r"z-zstd-48bit 002:sb\.xattr_prefix_count=1 errno mount: EIO \| EUCLEAN",
     "of a file, the C driver cannot read the packed inode while it mounts; of a device it says EUCLEAN, too"),
    (r"z-lz4\S* \S+ value (pread|mmap)\S* \S+ \d+ bytes, @(?P<at>\d+) .* \| \d+ bytes, @(?P=at) \\x00",
     "an LZ4 match at distance 0: the C driver shows what was in memory, here it is zeros"),
    (rf"z-lz4hc-unpadded \S+ {LONGER}",
     "LZ4 data without LZ4_0PADDING: the C driver takes it for padded, and refuses what does not fill its last block"),
    (rf"z-(lzma|deflate|zstd)\S* \S+ {SHORTER}",
     "a stream that is corrupt behind what is asked for: the bytes before the fault may be given, or not"),
    (rf"z-(lzma|deflate|zstd)\S* \S+ {LONGER}",
     "the same: by which driver depends on who else wanted more of it at the time"),
)


def tolerated(name, mutant, what):
    rules = [re.match(m, mutant) and re.match(w, what) for m, w, _ in TOLERATED]
    return any(rules) or compressed(name) and any(re.match(both, f"{name} {mutant} {what}") for both, _ in Z_TOLERATED)


# What the C driver does not get through; the kernel does not see these.
C_FAILS = {("48bit", "061:tail.format=0x9"): "does not come back to user space for a minute"}


# Guests that the images are spread over; one more has the compressed ones.
SHARES = 2
# Of how many mutants one is also mounted as a file, without a block device.
FILES = 10


def compressed(name):
    return name in zmutate.SEEDS


def share(name):
    return SHARES if compressed(name) else list(SEEDS).index(name) % SHARES


def ways(name):
    """How its mutants are mounted: `alone` are those that the C driver may not come back from."""
    return ("device", "files", "alone") if compressed(name) else ("device", "files")


@functools.cache
def all_mutants(name, many):
    if compressed(name):
        found = zmutate.Mutator(SEEDS[name].image, SEED + list(SEEDS).index(name))
        return found.all(zmutate.MANY if many else zmutate.COUNTS)
    return mutate.Mutator(SEEDS[name].image, SEED).all(mutate.COUNTS)


def mutants(name, how="device", many=False):
    found = [m for m in all_mutants(name, many) if (name, m.name) not in C_FAILS]
    if compressed(name):
        found = [m for m in found if zmutate.shares_with_others(m) == (how == "alone")]
    return found[share(name)::FILES] if how == "files" else found


@functools.cache
def batch(bed, nth, many=False):
    """A guest for some of the images, one after the other, in each way; its log."""
    lines = [f". {lab.GUEST}/lib.sh"]
    # Those with a further device come last: see lab.Run.check_but_for_c().
    for name in sorted((n for n in SEEDS if share(n) == nth), key=lambda n: SEEDS[n].device is not None):
        seed = SEEDS[name]
        for how in ways(name):
            todo = lab.scratch(f"hostile/{bed}-{name}-{how}{'-many' * many}")
            todo.write_text("".join(m.line() + "\n" for m in mutants(name, how, many)))
            words = ["$treecmp", "hostile", todo, "--base", seed.image]
            words += ["--types", lab.PEER if how == "alone" else "erofs", lab.PEER]
            # On the share: of a file on tmpfs, as /run is, neither driver can mount any.
            words += ["--files", "--file", todo.with_suffix(".img")] if how == "files" else []
            words += ["--quick"] * (bed == "uml-debug")
            words += ["--device", seed.device] * bool(seed.device)
            lines.append(f"section {name}/{how} {' '.join(map(str, words))}")
    path = lab.scratch(f"hostile/{bed}-{nth}{'-many' * many}.sh")
    path.write_text("\n".join(lines) + "\n")
    log = path.with_suffix(".log")
    return lab.Batch(lab.vm(bed, "sh", path, timeout=20_000 if many else 1500, log=log)), log


def blame(log):
    """The mutant and the driver before each complaint of the kernel."""
    who, found = "none", []
    for line in log.read_text(errors="replace").splitlines():
        if m := re.search(r"hostile: (.*)", line):
            who = m[1]
        elif re.search(r"BUG: |WARNING: |KASAN: |UBSAN: |Oops|panic|possible|refcount_t: ", line):
            found.append(f"{who}: {line}")
    return found


def keep(name, ids, many):
    """The images themselves, to look at; where they are."""
    image = SEEDS[name].image.read_bytes()
    for m in all_mutants(name, many):
        if m.name in ids:
            path = lab.scratch(f"hostile/{name}-{m.name[:3]}.img")
            path.write_bytes(m.apply(image))
            yield f"{path.relative_to(lab.TOP)}: {m.name}"


def parameters(names, prefix="", marks=()):
    for bed in lab.BEDS:
        for name in names:
            group = lab.shared_boot(f"hostile{prefix}-{bed}-{share(name)}")
            for how in ways(name):
                yield pytest.param(bed, name, how, marks=[group, *marks, *([pytest.mark.full] if bed == "stock" else [])])


@pytest.mark.parametrize("bed, name, how", parameters(SEEDS))
def test_mutants(bed, name, how):
    judge(bed, name, how)


@pytest.mark.parametrize("bed, name, how", parameters(
    zmutate.SEEDS, "-many", [pytest.mark.full, pytest.mark.timeout(21_000)]))
def test_many_mutants(bed, name, how):
    judge(bed, name, how, many=True)


def judge(bed, name, how, many=False):
    guest, log = batch(bed, share(name), many)
    status, out = guest.results.get(f"{name}/{how}", (None, guest.run.out))
    asked = re.findall(r"^asked (.*)$", out, re.M)
    differ = re.findall(r"^differs (\S+) (.*)$", out, re.M)
    bad = [(i, what) for i, what in differ if not tolerated(name, i, what)]
    kept = "\n".join(keep(name, [i for i, _ in bad][:10], many))
    if guest.run.status:
        print(*blame(log)[:10], sep="\n")
    guest.run.check_but_for_c()
    assert status == 0 and "complete" in out.splitlines(), f"stopped at {asked[-1:]}\n{lab.tail(out)}\n{lab.tail(guest.run.err)}"
    assert asked == [m.name for m in mutants(name, how, many)]
    assert not bad, f"{len(bad)} of {len(asked)} differ (C | {lab.PEER})\n" + "\n".join(
        f"{i} {what}" for i, what in bad[:40]) + f"\n{kept}"


def test_there_are_enough():
    assert sum(len(all_mutants(name, False)) for name in SEEDS) >= 2300
    assert sum(len(all_mutants(name, True)) for name in zmutate.SEEDS) >= 5000


@pytest.mark.parametrize("name, mutant", C_FAILS)
def test_left_out(name, mutant):
    assert mutant in [m.name for m in all_mutants(name, False)], "it is no mutant any more"
    pytest.skip(f"the C driver {C_FAILS[name, mutant]}")
