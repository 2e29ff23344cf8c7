// SPDX-License-Identifier: GPL-2.0-only

//! Two readers of four pclusters, in every interleaving: loom runs each order in which they can get
//! the locks, with no bound on how often they take turns.

mod common;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    mem,
    sync::{
        Arc,
        Mutex as Plain, //
    },
};

use common::{
    Items,
    CELLS, //
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
    Taken, //
};
use loom::{
    model::Builder,
    sync::Mutex,
    thread, //
};

const PCLUSTERS: usize = 4;

/// The chains of one reader, and the pclusters that it claims for each.
type Reads = Vec<Vec<usize>>;

thread_local! {
    /// What claims came to. loom runs all threads of a model in that of the test.
    static SEEN: RefCell<BTreeSet<ClusterMode>> = const { RefCell::new(BTreeSet::new()) };
}

loom::thread_local! {
    static IN_CELL: RefCell<bool> = RefCell::new(false);
}

struct Model;

impl Platform for Model {
    type Item = Pcluster;
    type List = Items<Pcluster>;
    type Cell = Shared;

    fn abandon(_: Taken<Self>) {
        panic!("a chain was dropped with something in it");
    }
}

/// Only locks are loom's: nothing depends on the counts of references.
#[derive(Clone)]
struct Shared(Arc<Counted>);

struct Counted(Mutex<State<Model>>);

impl Drop for Counted {
    fn drop(&mut self) {
        CELLS.set(CELLS.get() - 1);
    }
}

impl Cell<State<Model>> for Shared {
    fn new(value: State<Model>) -> Result<Self, NoMemory> {
        CELLS.set(CELLS.get() + 1);
        Ok(Self(Arc::new(Counted(Mutex::new(value)))))
    }

    fn with<R>(&self, access: impl FnOnce(&mut State<Model>) -> R) -> R {
        let nested = IN_CELL.with(|inside| inside.replace(true));
        assert!(!nested, "two cells are locked at once");
        let given = access(&mut self.0 .0.lock().unwrap());
        IN_CELL.with(|inside| inside.replace(false));
        given
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Clone)]
struct Pcluster(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    seat: Seat<Model>,
    /// The number of the claim that took the seat.
    claim: usize,
    /// Reader and step of each that wants something of it.
    outputs: Vec<(usize, usize)>,
}

impl Item for Pcluster {
    type Id = usize;

    fn id(&self) -> Self::Id {
        Arc::as_ptr(&self.0) as usize
    }
}

/// One step of a reader: what it came to, and the claim that took the seat.
struct Step {
    mode: ClusterMode,
    claim: usize,
}

/// What happened in one execution.
#[derive(Default)]
struct Log {
    claims: usize,
    /// Of each reader, of each of its chains.
    steps: Vec<Vec<Vec<Step>>>,
    /// Reader and claim.
    decoded: Vec<(usize, usize)>,
    /// Reader and step.
    completed: Vec<(usize, usize)>,
}

fn read(reader: usize, reads: &Reads, pclusters: &[Pcluster; PCLUSTERS], log: &Plain<Log>) {
    let mut number = 0;
    for read in reads {
        let mut chain = Chain::<Model>::new();
        log.lock().unwrap().steps[reader].push(Vec::new());
        for &n in read {
            let mut inner = pclusters[n].0.lock().unwrap();
            let idle = !inner.seat.is_taken();
            let mode = chain.claim(&pclusters[n], &mut inner.seat).unwrap();
            assert_eq!(idle, mode.ours(), "the idle are claimed, and no others");
            assert!(inner.seat.is_taken());

            let mut log = log.lock().unwrap();
            if idle {
                inner.claim = log.claims;
                log.claims += 1;
            }
            inner.outputs.push((reader, number));
            number += 1;
            let claim = inner.claim;
            log.steps[reader]
                .last_mut()
                .unwrap()
                .push(Step { mode, claim });
        }
        for pcluster in chain.take() {
            let mut inner = pcluster.0.lock().unwrap();
            assert!(inner.seat.is_taken(), "decoded twice");
            let mut log = log.lock().unwrap();
            log.decoded.push((reader, inner.claim));
            log.completed.append(&mut inner.outputs);
            inner.seat.release();
        }
    }
}

impl Log {
    fn check(mut self, readers: &[Reads]) {
        let place = |claim| {
            let is = |d: &(usize, usize)| d.1 == claim;
            self.decoded.iter().position(is).expect("a claim is lost")
        };
        for steps in self.steps.iter().flatten() {
            for pair in steps.windows(2) {
                if pair[0].mode.may_share_page_inplace() && pair[1].mode.may_use_inplace() {
                    let (borrower, other) = (place(pair[1].claim), place(pair[0].claim));
                    assert!(
                        borrower < other,
                        "a page is overwritten before it is decoded"
                    );
                    // Else the order is a matter of luck.
                    assert_eq!(self.decoded[borrower].0, self.decoded[other].0);
                }
            }
            SEEN.with_borrow_mut(|seen| seen.extend(steps.iter().map(|step| step.mode)));
        }
        let mut decoded: Vec<_> = self.decoded.iter().map(|d| d.1).collect();
        decoded.sort();
        assert!(
            decoded.into_iter().eq(0..self.claims),
            "each claim is decoded once"
        );

        self.completed.sort();
        let steps = |r: usize| 0..readers[r].iter().map(Vec::len).sum::<usize>();
        let wanted = (0..readers.len()).flat_map(|r| steps(r).map(move |step| (r, step)));
        assert!(
            self.completed.into_iter().eq(wanted),
            "each output is completed once"
        );
    }
}

/// Runs these readers; gives the number of executions.
fn explore(readers: Vec<Reads>) -> usize {
    let readers = Arc::new(readers);
    let executions = Arc::new(Plain::new(0));
    let count = executions.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = None;
    builder.check(move || {
        *count.lock().unwrap() += 1;
        let pclusters: Arc<[Pcluster; PCLUSTERS]> = Arc::new(std::array::from_fn(|_| {
            Pcluster(Arc::new(Mutex::new(Inner::default())))
        }));
        let log = Arc::new(Plain::new(Log::default()));
        log.lock()
            .unwrap()
            .steps
            .resize_with(readers.len(), Vec::new);
        let run = |reader: usize| {
            let (readers, pclusters, log) = (readers.clone(), pclusters.clone(), log.clone());
            move || read(reader, &readers[reader], &pclusters, &log)
        };
        let others: Vec<_> = (1..readers.len())
            .map(|reader| thread::spawn(run(reader)))
            .collect();
        run(0)();
        for other in others {
            other.join().unwrap();
        }

        for pcluster in pclusters.iter() {
            let inner = pcluster.0.lock().unwrap();
            assert!(!inner.seat.is_taken() && inner.outputs.is_empty());
        }
        assert_eq!(CELLS.get(), 0, "chains are left behind");
        mem::take(&mut *log.lock().unwrap()).check(&readers);
    });
    let executions = *executions.lock().unwrap();
    executions
}

/// Explores them all, and wants to have seen all that a claim can come to.
fn explore_all(what: &str, cases: impl IntoIterator<Item = Vec<Reads>>) {
    let (mut number, mut executions) = (0, 0);
    for readers in cases {
        number += 1;
        executions += explore(readers);
    }
    println!("{what}: {executions} executions of {number} cases");
    let all = [
        ClusterMode::Inflight,
        ClusterMode::Hooked,
        ClusterMode::Followed,
    ];
    assert!(SEEN.take().into_iter().eq(all));
}

/// A pair of orders in which pclusters are named as they appear.
fn renamed(first: &[usize], second: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut names = Vec::new();
    let mut rename = |n: &usize| {
        names.iter().position(|name| name == n).unwrap_or_else(|| {
            names.push(*n);
            names.len() - 1
        })
    };
    let first = first.iter().map(&mut rename).collect();
    (first, second.iter().map(rename).collect())
}

/// All pairs of readers that claim four times, duplicates included; one of each set that
/// differs only in the names of pclusters and readers.
fn pairs() -> impl Iterator<Item = (Vec<usize>, Vec<usize>)> {
    let orders = || {
        let digit = |n, at| n / PCLUSTERS.pow(at) % PCLUSTERS;
        (0..PCLUSTERS.pow(4)).map(move |n| (0..4).map(|at| digit(n, at)).collect::<Vec<_>>())
    };
    let pairs = orders().flat_map(move |first| orders().map(move |second| (first.clone(), second)));
    pairs.filter(|pair| *pair == renamed(&pair.0, &pair.1) && *pair >= renamed(&pair.1, &pair.0))
}

fn explore_pairs(what: &str, keep: impl Fn(&[usize], &[usize]) -> bool) {
    let pairs = pairs().filter(|(first, second)| keep(first, second));
    explore_all(
        what,
        pairs.map(|(first, second)| vec![vec![first], vec![second]]),
    );
}

// One reader claims four pclusters; the other one does so in each order: equal, reversed,
// overlapping, with duplicates. In parts, for two CPUs.

#[test]
fn orders_from_0() {
    explore_pairs("from 0", |first, second| {
        first == [0, 1, 2, 3] && second[0] == 0
    });
}

#[test]
fn orders_from_1() {
    explore_pairs("from 1", |first, second| {
        first == [0, 1, 2, 3] && second[0] == 1
    });
}

#[test]
fn orders_from_2() {
    explore_pairs("from 2", |first, second| {
        first == [0, 1, 2, 3] && second[0] == 2
    });
}

#[test]
fn orders_from_3() {
    explore_pairs("from 3", |first, second| {
        first == [0, 1, 2, 3] && second[0] == 3
    });
}

/// With the tests above: each pair of orders of four claims, duplicates in both included.
#[test]
#[ignore = "takes minutes"]
fn duplicates_in_both() {
    explore_pairs("duplicates in both", |first, _| first != [0, 1, 2, 3]);
}

/// Two chains of each reader: one begins when the other reader still decodes what is in the one before.
#[test]
fn two_chains_each() {
    let first = vec![vec![0, 1], vec![2, 3]];
    let second = [
        [0, 1, 2, 3],
        [3, 2, 1, 0],
        [1, 0, 3, 2],
        [2, 0, 2, 1],
        [0, 2, 0, 2],
    ];
    let second = second.map(|order| order.chunks(2).map(Vec::from).collect());
    explore_all(
        "two chains each",
        second.map(|second: Reads| vec![first.clone(), second]),
    );
}

fn three_readers(what: &str, orders: [&[usize]; 3]) {
    explore_all(what, [orders.map(|order| vec![order.to_vec()]).to_vec()]);
}

/// The tail that a reader wants to hook to can be another one by the time it does.
#[test]
fn three_readers_at_one_tail() {
    three_readers("three readers at one tail", [&[0], &[1, 0], &[2, 0]]);
}

/// Each one wants to hook to the next one's tail.
#[test]
#[ignore = "takes minutes"]
fn three_readers_in_a_ring() {
    three_readers("three readers in a ring", [&[0, 1], &[1, 2], &[2, 0]]);
}
