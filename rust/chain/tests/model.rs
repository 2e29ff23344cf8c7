// SPDX-License-Identifier: GPL-2.0-only

//! Two readers of four pclusters, in every interleaving: loom runs each order in which they can get
//! the locks, without a bound.

mod common;

use std::{
    cell::Cell as Local,
    cell::RefCell,
    sync::{
        Arc,
        Mutex as Plain, //
    },
};

use common::Items;
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

struct Model;

impl Platform for Model {
    type Item = Pcluster;
    type List = Items<Pcluster>;
    type Cell = Shared;

    fn abandon(_: Taken<Self>) {
        panic!("a chain was dropped with something in it");
    }
}

thread_local! {
    /// loom's threads all run in that of the test.
    static CELLS: Local<isize> = const { Local::new(0) };
    static SEEN: RefCell<Vec<ClusterMode>> = const { RefCell::new(Vec::new()) };
}

/// Only what is locked is loom's: counts of references decide nothing.
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
        access(&mut self.0 .0.lock().unwrap())
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Clone)]
struct Pcluster(Arc<Mutex<Inner>>);

struct Inner {
    seat: Seat<Model>,
    /// Of the claim that took the seat last.
    round: usize,
    /// Reader and step of each that wants it.
    outputs: Vec<(usize, usize)>,
}

impl Item for Pcluster {
    type Id = *const Mutex<Inner>;

    fn id(&self) -> Self::Id {
        Arc::as_ptr(&self.0)
    }
}

/// A claim: the round of the pcluster that it is for, and what it came to.
#[derive(Clone, Copy)]
struct Step {
    round: usize,
    mode: ClusterMode,
}

/// What happened in one execution.
#[derive(Default)]
struct Log {
    rounds: usize,
    steps: [Vec<Step>; 2],
    /// The round, and by whom.
    decoded: Vec<(usize, usize)>,
    completed: Vec<(usize, usize)>,
}

fn read(reader: usize, order: &[usize], pclusters: &[Pcluster; 4], log: &Plain<Log>) {
    let mut chain = Chain::<Model>::new();
    for (step, &n) in order.iter().enumerate() {
        let mut inner = pclusters[n].0.lock().unwrap();
        let idle = !inner.seat.is_taken();
        let mode = chain.claim(&pclusters[n], &mut inner.seat).unwrap();
        let mut log = log.lock().unwrap();
        assert_eq!(idle, mode == ClusterMode::Followed);
        if idle {
            assert!(inner.outputs.is_empty());
            inner.round = log.rounds;
            log.rounds += 1;
        }
        inner.outputs.push((reader, step));
        log.steps[reader].push(Step {
            round: inner.round,
            mode,
        });
    }
    for item in chain.take() {
        let mut inner = item.0.lock().unwrap();
        assert!(inner.seat.is_taken(), "decoded twice");
        let mut log = log.lock().unwrap();
        log.decoded.push((inner.round, reader));
        log.completed.append(&mut inner.outputs);
        inner.seat.release();
    }
}

impl Log {
    fn check(mut self, orders: [&[usize]; 2]) {
        let mut rounds: Vec<usize> = self.decoded.iter().map(|d| d.0).collect();
        let position = |round| rounds.iter().position(|&r| r == round).unwrap();
        for steps in &self.steps {
            for pair in steps.windows(2) {
                if pair[0].mode.may_share_page_inplace() && pair[1].mode.may_use_inplace() {
                    let (first, second) = (position(pair[1].round), position(pair[0].round));
                    assert!(first < second, "the borrower is decoded too late");
                    assert_eq!(self.decoded[first].1, self.decoded[second].1);
                }
            }
            for step in steps {
                SEEN.with_borrow_mut(|seen| {
                    if !seen.contains(&step.mode) {
                        seen.push(step.mode);
                    }
                });
            }
        }
        rounds.sort();
        assert!(rounds.into_iter().eq(0..self.rounds), "decoded once each");
        self.completed.sort();
        let wanted = (0..2).flat_map(|r| (0..orders[r].len()).map(move |step| (r, step)));
        assert!(self.completed.into_iter().eq(wanted), "completed once each");
    }
}

/// Runs two readers that claim in these orders; gives the modes that were seen, in their order.
fn explore(first: &'static [usize], second: &'static [usize]) -> Vec<ClusterMode> {
    SEEN.take();
    let executions = Arc::new(Plain::new(0));
    let count = executions.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = None;
    builder.max_branches = 10_000;
    builder.check(move || {
        *count.lock().unwrap() += 1;
        let pclusters: Arc<[Pcluster; 4]> = Arc::new(std::array::from_fn(|_| {
            Pcluster(Arc::new(Mutex::new(Inner {
                seat: Seat::new(),
                round: 0,
                outputs: Vec::new(),
            })))
        }));
        let log = Arc::new(Plain::new(Log::default()));
        let other = {
            let (pclusters, log) = (pclusters.clone(), log.clone());
            thread::spawn(move || read(1, second, &pclusters, &log))
        };
        read(0, first, &pclusters, &log);
        other.join().unwrap();
        for pcluster in pclusters.iter() {
            let inner = pcluster.0.lock().unwrap();
            assert!(!inner.seat.is_taken() && inner.outputs.is_empty());
        }
        assert_eq!(CELLS.get(), 0, "chains are left behind");
        std::mem::take(&mut *log.lock().unwrap()).check([first, second]);
    });
    println!("{first:?} {second:?}: {} executions", executions.lock().unwrap());
    let mut seen = SEEN.take();
    seen.sort();
    seen
}

#[test]
fn two() {
    println!("{:?}", explore(&[0, 1], &[1, 0]));
}
#[test]
fn three() {
    println!("{:?}", explore(&[0, 1, 2], &[2, 1, 0]));
    println!("{:?}", explore(&[0, 1, 2], &[0, 1, 2]));
}
#[test]
fn four() {
    println!("{:?}", explore(&[0, 1, 2, 3], &[2, 3, 0, 1]));
}
#[test]
fn four_equal() {
    println!("{:?}", explore(&[0, 1, 2, 3], &[0, 1, 2, 3]));
}
#[test]
fn four_reverse() {
    println!("{:?}", explore(&[0, 1, 2, 3], &[3, 2, 1, 0]));
}
