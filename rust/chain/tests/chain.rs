// SPDX-License-Identifier: GPL-2.0-only

//! One claim after the other: what each comes to, orders, short memory, the many readers that a model
//! checker cannot do.

mod common;

use std::{
    cell::RefCell,
    sync::{
        Arc,
        Mutex, //
    },
};

use common::{
    allocate,
    Items,
    CELLS,
    MEMORY, //
};
use erofs_chain::{
    Cell,
    Chain,
    ClusterMode,
    Item,
    NoMemory,
    Platform,
    Seat,
    State,
    Taken,
    MAX_RANK, //
};
use ClusterMode::{
    Followed,
    FollowedNoInplace,
    Hooked,
    Inflight, //
};

struct Host;

impl Platform for Host {
    type Item = Pcluster;
    type List = Items<Pcluster>;
    type Cell = Shared;

    fn abandon(taken: Taken<Self>) {
        ABANDONED.with_borrow_mut(|abandoned| abandoned.extend(decode(taken)));
    }
}

thread_local! {
    static ABANDONED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

struct Counted(Mutex<State<Host>>);

impl Drop for Counted {
    fn drop(&mut self) {
        CELLS.set(CELLS.get() - 1);
    }
}

#[derive(Clone)]
struct Shared(Arc<Counted>);

impl Cell<State<Host>> for Shared {
    fn new(value: State<Host>) -> Result<Self, NoMemory> {
        allocate()?;
        CELLS.set(CELLS.get() + 1);
        Ok(Self(Arc::new(Counted(Mutex::new(value)))))
    }

    fn with<R>(&self, access: impl FnOnce(&mut State<Host>) -> R) -> R {
        access(&mut self.0 .0.try_lock().expect("one lock at a time"))
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Clone)]
struct Pcluster(Arc<(usize, Mutex<Seat<Host>>)>);

impl Item for Pcluster {
    type Id = usize;

    fn id(&self) -> usize {
        self.0 .0
    }
}

impl Pcluster {
    fn is_taken(&self) -> bool {
        self.0 .1.lock().unwrap().is_taken()
    }
}

fn pclusters<const N: usize>() -> [Pcluster; N] {
    std::array::from_fn(|n| Pcluster(Arc::new((n, Mutex::new(Seat::new())))))
}

fn claim(chain: &mut Chain<Host>, pcluster: &Pcluster) -> Result<ClusterMode, NoMemory> {
    chain.claim(pcluster, &mut pcluster.0 .1.lock().unwrap())
}

/// Claims these, and wants each to come to `mode`.
#[track_caller]
fn claim_all(chain: &mut Chain<Host>, pclusters: &[Pcluster], mode: ClusterMode) {
    for pcluster in pclusters {
        assert_eq!(claim(chain, pcluster), Ok(mode), "{}", pcluster.id());
    }
}

/// Gives the pclusters in the order of decoding.
fn decode(taken: Taken<Host>) -> Vec<usize> {
    let length = taken.len();
    let decoded: Vec<usize> = taken
        .map(|pcluster| {
            let mut seat = pcluster.0 .1.lock().unwrap();
            assert!(seat.is_taken());
            seat.release();
            pcluster.id()
        })
        .collect();
    assert_eq!(decoded.len(), length);
    decoded
}

#[test]
fn modes() {
    let rules = [
        (Inflight, false, false, false),
        (Hooked, false, true, false),
        (FollowedNoInplace, true, false, false),
        (Followed, true, true, true),
    ];
    assert!(rules.is_sorted_by(|a, b| a.0 < b.0));
    for (mode, ours, use_inplace, share_page) in rules {
        assert_eq!(mode.ours(), ours, "{mode:?}");
        assert_eq!(mode.may_use_inplace(), use_inplace, "{mode:?}");
        assert_eq!(mode.may_share_page_inplace(), share_page, "{mode:?}");
    }
}

#[test]
fn newest_first() {
    let p = pclusters::<3>();
    let mut chain = Chain::new();
    assert!(chain.is_empty() && chain.take().len() == 0);
    claim_all(&mut chain, &p, Followed);
    assert!(!chain.is_empty() && p[0].is_taken());
    assert_eq!(decode(chain.take()), [2, 1, 0]);
    assert!(chain.is_empty() && !p[0].is_taken());

    claim_all(&mut chain, &p[1..], Followed);
    assert_eq!(decode(chain.take()), [2, 1]);
    assert_eq!(CELLS.get(), 0);
}

#[test]
fn again_by_the_same() {
    let p = pclusters::<2>();
    let mut chain = Chain::new();
    claim_all(&mut chain, &p, Followed);
    claim_all(&mut chain, &p, Inflight);
    assert_eq!(decode(chain.take()), [1, 0]);
}

#[test]
fn hooked_to_the_tail() {
    let p = pclusters::<5>();
    let (mut owner, mut reader) = (Chain::new(), Chain::new());
    claim_all(&mut owner, &p[..2], Followed);
    claim_all(&mut reader, &p[2..4], Followed);
    claim_all(&mut reader, &p[..1], Hooked);
    assert!(reader.is_empty());
    // A new chain begins, and the owner's goes on.
    claim_all(&mut reader, &p[2..4], Inflight);
    claim_all(&mut owner, &p[4..], Followed);
    assert_eq!(decode(owner.take()), [4, 1, 0, 3, 2]);
    assert!(reader.is_empty());
    assert_eq!(CELLS.get(), 0);
}

#[test]
fn not_hooked() {
    let p = pclusters::<4>();
    let (mut owner, mut reader) = (Chain::new(), Chain::new());
    claim_all(&mut owner, &p[..3], Followed);
    // With nothing to hand over; in the middle, at the head; closed.
    claim_all(&mut reader, &p[..1], Inflight);
    claim_all(&mut reader, &p[3..], Followed);
    claim_all(&mut reader, &p[1..3], Inflight);
    let taken = owner.take();
    claim_all(&mut reader, &p[..1], Inflight);
    assert_eq!(decode(taken), [2, 1, 0]);
    claim_all(&mut reader, &p[..1], Followed);
    assert_eq!(decode(reader.take()), [0, 3]);
}

#[test]
fn no_ring() {
    let p = pclusters::<4>();
    let (mut one, mut two) = (Chain::new(), Chain::new());
    claim_all(&mut one, &p[..2], Followed);
    claim_all(&mut two, &p[2..], Followed);
    claim_all(&mut two, &p[..1], Hooked);
    // Both tails are now in the first reader's own chain.
    claim_all(&mut one, &p[2..3], Inflight);
    claim_all(&mut one, &p[..1], Inflight);
    assert_eq!(decode(one.take()), [1, 0, 3, 2]);
}

#[test]
fn three_readers() {
    let p = pclusters::<6>();
    let [mut one, mut two, mut three] = [Chain::new(), Chain::new(), Chain::new()];
    for (chain, own) in [&mut one, &mut two, &mut three]
        .into_iter()
        .zip(p.chunks(2))
    {
        claim_all(chain, own, Followed);
    }
    // To the second one, and with it to the first one.
    claim_all(&mut three, &p[2..3], Hooked);
    claim_all(&mut two, &p[..1], Hooked);
    assert_eq!(decode(one.take()), [1, 0, 3, 2, 5, 4]);

    for (chain, own) in [&mut one, &mut two, &mut three]
        .into_iter()
        .zip(p.chunks(2))
    {
        claim_all(chain, own, Followed);
    }
    // To the first one, and to what was hooked there; the place of the first hook is gone.
    claim_all(&mut two, &p[..1], Hooked);
    claim_all(&mut three, &p[..1], Inflight);
    claim_all(&mut three, &p[2..3], Hooked);
    assert_eq!(decode(one.take()), [1, 0, 3, 2, 5, 4]);
    assert_eq!(CELLS.get(), 0);
}

/// What was hooked to a chain, whose owner then hooks it to one that has hooked claims, too.
#[test]
fn hooked_on_both_sides() {
    let p = pclusters::<4>();
    let [mut a, mut b, mut c, mut d] = [const { Chain::new() }; 4];
    for (chain, own) in [&mut a, &mut b, &mut c, &mut d]
        .into_iter()
        .zip(p.chunks(1))
    {
        claim_all(chain, own, Followed);
    }
    claim_all(&mut b, &p[..1], Hooked);
    claim_all(&mut d, &p[2..3], Hooked);
    claim_all(&mut c, &p[1..2], Hooked);
    assert_eq!(decode(a.take()), [0, 1, 2, 3]);
}

#[test]
fn ranks_are_bounded() {
    let p = pclusters::<{ MAX_RANK as usize + 3 }>();
    let mut chains = [Chain::new(), Chain::new()];
    claim_all(&mut chains[0], &p[..1], Followed);
    // Each in turn hands its chain to the other one's next.
    for n in 1..p.len() {
        claim_all(&mut chains[n % 2], &p[n..=n], Followed);
        let mode = if n <= usize::from(MAX_RANK) {
            Hooked
        } else {
            Inflight
        };
        claim_all(&mut chains[(n + 1) % 2], &p[n..=n], mode);
    }
    let mut decoded = chains.map(|mut chain| decode(chain.take())).concat();
    decoded.sort();
    assert!(decoded.into_iter().eq(0..p.len()));
    assert_eq!(CELLS.get(), 0);
}

#[test]
fn dropped_with_claims() {
    let p = pclusters::<3>();
    let (mut owner, mut reader) = (Chain::new(), Chain::new());
    claim_all(&mut owner, &p[..1], Followed);
    claim_all(&mut reader, &p[1..], Followed);
    claim_all(&mut reader, &p[..1], Hooked);
    drop(reader);
    assert_eq!(ABANDONED.take(), []);
    drop(owner);
    assert_eq!(ABANDONED.take(), [0, 2, 1]);
    assert!(!p.iter().any(Pcluster::is_taken));
}

/// Whenever memory ends: a claim fails and leaves the pcluster idle, or nothing is hooked; nothing is lost.
#[test]
fn short_of_memory() {
    let reads = [
        (0, 0),
        (1, 1),
        (2, 2),
        (2, 3),
        (1, 4),
        (2, 1),
        (0, 5),
        (1, 0),
    ];
    let mut not_hooked = 0;
    for memory in 0.. {
        let p = pclusters::<6>();
        let mut chains = [const { Chain::new() }; 3];
        MEMORY.set(memory);
        let modes = reads.map(|(chain, n)| {
            let idle = !p[n].is_taken();
            let mode = claim(&mut chains[chain], &p[n]);
            assert_eq!(idle, matches!(mode, Ok(Followed) | Err(NoMemory)));
            assert_eq!(p[n].is_taken(), mode.is_ok());
            mode
        });
        MEMORY.set(usize::MAX);
        let decoded = chains.map(|mut chain| decode(chain.take())).concat();
        let followed = modes.iter().filter(|mode| **mode == Ok(Followed));
        assert_eq!(decoded.len(), followed.count());
        assert_eq!(CELLS.get(), 0);
        // If that was hooked to it before, the last claim needs memory to be hooked, or goes on without.
        match (modes[5], modes[7]) {
            (Ok(Hooked), Ok(Hooked)) => {
                assert_eq!(decoded, [5, 0, 4, 1, 3, 2]);
                break;
            }
            (Ok(Hooked), mode) => {
                assert_eq!(mode, Ok(Inflight));
                not_hooked += usize::from(modes.iter().all(Result::is_ok));
            }
            _ => (),
        }
    }
    assert_eq!(not_hooked, 1);
}

/// Many readers at random: each claim is decoded once, no chain is left behind.
#[test]
fn many_readers() {
    const READERS: usize = 6;
    let p = pclusters::<24>();
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    let mut hooks = 0;
    for _ in 0..2000 {
        let mut chains: [Chain<Host>; READERS] = std::array::from_fn(|_| Chain::new());
        let (mut claims, mut decoded) = (0, 0);
        for _ in 0..random(200) {
            let chain = &mut chains[random(READERS)];
            if random(20) == 0 {
                decoded += decode(chain.take()).len();
            } else {
                let mode = claim(chain, &p[random(p.len())]).unwrap();
                claims += usize::from(mode == Followed);
                hooks += usize::from(mode == Hooked);
            }
        }
        decoded += chains
            .map(|mut chain| decode(chain.take()).len())
            .iter()
            .sum::<usize>();
        assert_eq!(claims, decoded);
        assert!(!p.iter().any(Pcluster::is_taken));
        assert_eq!(CELLS.get(), 0);
    }
    assert!(hooks > 1000, "{hooks}");
}
