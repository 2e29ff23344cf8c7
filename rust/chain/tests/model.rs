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

/// All ways to claim four times, duplicates included.
fn orders() -> impl Iterator<Item = Vec<usize>> {
    (0..PCLUSTERS.pow(4)).map(|n| (0..4).map(|at| n / PCLUSTERS.pow(at) % PCLUSTERS).collect())
}

/// Is this the first one of those that differ only in the pclusters' names?
fn is_canonical(order: &[usize]) -> bool {
    let mut next = 0;
    order.iter().all(|&n| {
        next += usize::from(n == next);
        n < next
    })
}

fn against_all(first: &[usize], second: impl Fn(&[usize]) -> bool) -> Vec<Vec<Reads>> {
    let second = orders().filter(|order| second(order));
    second
        .map(|order| vec![vec![first.to_vec()], vec![order]])
        .collect()
}

// One reader claims four pclusters, in an order that is without loss of generality; the other one
// does so in each order: equal, reversed, overlapping, with duplicates. In parts, for two CPUs.

#[test]
fn orders_from_0() {
    explore_all("from 0", against_all(&[0, 1, 2, 3], |order| order[0] == 0));
}

#[test]
fn orders_from_1() {
    explore_all("from 1", against_all(&[0, 1, 2, 3], |order| order[0] == 1));
}

#[test]
fn orders_from_2() {
    explore_all("from 2", against_all(&[0, 1, 2, 3], |order| order[0] == 2));
}

#[test]
fn orders_from_3() {
    explore_all("from 3", against_all(&[0, 1, 2, 3], |order| order[0] == 3));
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

/// The tail that a reader wants to hook to can be gone by the time it does.
#[test]
fn three_readers() {
    let cases: [[&[usize]; 3]; 2] = [[&[0], &[1, 0], &[2, 0]], [&[0, 1], &[1, 2], &[2, 0]]];
    let cases = cases.map(|case| case.map(|order| vec![order.to_vec()]).to_vec());
    explore_all("three readers", cases);
}

/// With the tests above: each pair of orders of four claims, duplicates in both included.
#[test]
#[ignore = "takes minutes"]
fn duplicates_in_both() {
    let repeats = |order: &[usize]| (1..order.len()).any(|n| order[..n].contains(&order[n]));
    let first = orders().filter(|order| is_canonical(order) && repeats(order));
    explore_all(
        "duplicates in both",
        first.flat_map(|order| against_all(&order, repeats)),
    );
}
