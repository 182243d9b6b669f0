//! docs/model.md, executed: two copies of an enclave, three witnesses and a host
//! that may do anything with disks. Every order of the first steps, as many as
//! 200,000 worlds allow, then long random walks. Each rule that the argument rests
//! on has a control: without it a random walk finds the violation.

use std::collections::{BTreeSet, HashSet, VecDeque};

/// Ticks for which a cosignature counts.
const LEASE: u8 = 2;
/// A history: which boot wrote each entry. A boot writes one thing at each place.
type Log = Vec<u8>;

/// The rules, and what is taken away from them in controls.
#[derive(Clone, Copy)]
struct Rules {
    k: usize,
    /// The first so many witnesses cosign anything for anybody.
    faulty: usize,
    /// A release waits for cosignatures over its own head.
    strict: bool,
    /// Witnesses wait for the lease of the term before.
    waits: bool,
    /// A lease counts from before the request; else from the answer.
    from_request: bool,
    /// Witnesses cosign nothing but growth.
    growth: bool,
}

const STRICT: Rules = Rules {
    k: 2,
    faulty: 0,
    strict: true,
    waits: true,
    from_request: true,
    growth: true,
};

/// How far a search goes.
#[derive(Clone, Copy)]
struct Bounds {
    ticks: u8,
    boots: u8,
    entries: usize,
}

/// When, and over how many entries.
type Asked = Option<(u8, usize)>;

/// A request to a witness, which the host may hold back on both ways.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Request {
    None,
    Sent(u8, usize),
    Granted(u8, usize),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Copy {
    boot: u8,
    term: u8,
    log: Log,
    /// Serves: a quorum vouched for what it read and for its own term entry.
    open: bool,
    requests: [Request; 3],
    cosigned: [Asked; 3],
    /// In lease mode: when it first released an answer over so many entries.
    answered: Vec<(u8, usize)>,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Witness {
    /// The newest term introduced, and by which boot.
    term: u8,
    boot: u8,
    head: Log,
    /// For which boot it cosigned last, and when.
    holder: Option<(u8, u8)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    boots: u8,
    copies: [Option<Copy>; 2],
    witnesses: [Witness; 3],
    /// Every state a disk was ever in: the host may start a copy over any.
    disks: BTreeSet<Log>,
    /// What every later release must continue: all that was released in strict
    /// mode; in lease mode what was when a lease held that long after it.
    settled: Log,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Tick,
    Boot(usize, usize),
    Crash(usize),
    Ask(usize, usize),
    Cosign(usize, usize),
    Deliver(usize, usize),
    Open(usize),
    Append(usize),
    Release(usize),
}

impl World {
    fn new() -> Self {
        Self {
            now: 0,
            boots: 0,
            copies: [None, None],
            witnesses: Default::default(),
            disks: BTreeSet::from([Log::new()]),
            settled: Log::new(),
        }
    }

    /// Every step that is possible now.
    fn steps(&self, bounds: Bounds) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.now < bounds.ticks {
            steps.push(Step::Tick);
        }
        for at in 0..2 {
            let Some(copy) = &self.copies[at] else {
                if self.boots < bounds.boots {
                    steps.extend((0..self.disks.len()).map(|disk| Step::Boot(at, disk)));
                }
                continue;
            };
            steps.extend([Step::Crash(at), Step::Open(at), Step::Release(at)]);
            if copy.log.len() < bounds.entries {
                steps.push(Step::Append(at));
            }
            for witness in 0..3 {
                steps.push(match copy.requests[witness] {
                    Request::None => Step::Ask(at, witness),
                    Request::Sent(..) => Step::Cosign(at, witness),
                    Request::Granted(..) => Step::Deliver(at, witness),
                });
            }
        }
        steps
    }

    /// Takes a step; `None` if it changes nothing, `Err` names what it breaks.
    fn take(&self, step: Step, rules: Rules) -> Option<Result<Self, &'static str>> {
        let mut next = self.clone();
        match step {
            Step::Tick => next.now += 1,
            Step::Boot(at, disk) => {
                let mut log = next.disks.iter().nth(disk)?.clone();
                let term = terms(&log) + 1;
                next.boots += 1;
                log.push(next.boots);
                next.disks.insert(log.clone());
                next.copies[at] = Some(Copy {
                    boot: next.boots,
                    term,
                    log,
                    open: false,
                    requests: [Request::None; 3],
                    cosigned: [None; 3],
                    answered: Vec::new(),
                });
            }
            Step::Crash(at) => next.copies[at] = None,
            Step::Ask(at, witness) => {
                let now = next.now;
                let copy = next.copies[at].as_mut()?;
                copy.requests[witness] = Request::Sent(now, copy.log.len());
            }
            Step::Cosign(at, witness) => {
                let faulty = witness < rules.faulty;
                let copy = next.copies[at].as_mut()?;
                let Request::Sent(sent, size) = copy.requests[witness] else {
                    return None;
                };
                let head = &copy.log[..size];
                let (boot, term) = (copy.boot, copy.term);
                let granted =
                    faulty || next.witnesses[witness].cosign(boot, term, head, next.now, rules);
                copy.requests[witness] = match granted {
                    true => Request::Granted(sent, size),
                    false => Request::None,
                };
            }
            Step::Deliver(at, witness) => {
                let now = next.now;
                let copy = next.copies[at].as_mut()?;
                let Request::Granted(sent, size) = copy.requests[witness] else {
                    return None;
                };
                let from = if rules.from_request { sent } else { now };
                copy.requests[witness] = Request::None;
                copy.cosigned[witness] = Some((from, size));
            }
            Step::Open(at) => {
                let now = next.now;
                let copy = next.copies[at].as_mut()?;
                if copy.open || !copy.holds(copy.log.len(), now, rules) {
                    return None;
                }
                copy.open = true;
            }
            Step::Append(at) => {
                let copy = next.copies[at].as_mut()?;
                if !copy.open {
                    return None;
                }
                copy.log.push(copy.boot);
                next.disks.insert(copy.log.clone());
            }
            Step::Release(at) => {
                let now = next.now;
                let copy = next.copies[at].as_mut()?;
                let size = if rules.strict { copy.log.len() } else { 0 };
                if !copy.open || !copy.holds(size, now, rules) {
                    return None;
                }
                if !copy.log.starts_with(&next.settled) {
                    return Some(Err(
                        "append-only: a release does not continue what was settled",
                    ));
                }
                let settles = match rules.strict {
                    true => copy.log.len(),
                    false => copy.answer(now),
                };
                if settles > next.settled.len() {
                    next.settled = copy.log[..settles].to_vec();
                }
            }
        }
        Some(next.judge(rules))
    }

    fn judge(self, rules: Rules) -> Result<Self, &'static str> {
        let holds = |copy: &&Copy| copy.open && copy.holds(0, self.now, rules);
        let holders: Vec<&Copy> = self.copies.iter().flatten().filter(holds).collect();
        if holders.len() > 1 {
            return Err("one writer: two copies hold a lease at once");
        }
        Ok(self)
    }
}

impl Copy {
    /// Whether a quorum's cosignatures over at least `size` entries count now.
    fn holds(&self, size: usize, now: u8, rules: Rules) -> bool {
        let counts =
            |asked: &&Asked| asked.is_some_and(|(from, over)| over >= size && now < from + LEASE);
        self.cosigned.iter().filter(counts).count() >= rules.k
    }

    /// Notes an answer in lease mode; returns over how many entries a lease ago.
    fn answer(&mut self, now: u8) -> usize {
        let size = self.log.len();
        if self.answered.last().is_none_or(|(_, last)| *last < size) {
            self.answered.push((now, size));
        }
        let old = self.answered.iter().rev();
        let mut old = old.filter(|(at, _)| at + LEASE <= now);
        old.next().map_or(0, |(_, size)| *size)
    }
}

impl Witness {
    /// Introduces the boot if it must be, then cosigns if the rules allow it.
    fn cosign(&mut self, boot: u8, term: u8, head: &[u8], now: u8, rules: Rules) -> bool {
        if term < self.term || (term == self.term && boot != self.boot) {
            return false;
        }
        (self.term, self.boot) = (term, boot);
        let runs = |(of, at): (u8, u8)| of != boot && now < at + LEASE;
        if rules.waits && self.holder.is_some_and(runs) {
            return false;
        }
        if rules.growth && !head.starts_with(&self.head) {
            return false;
        }
        self.head = head.to_vec();
        self.holder = Some((boot, now));
        true
    }
}

/// Terms a history holds: every boot that wrote began one.
fn terms(log: &[u8]) -> u8 {
    log.iter().collect::<BTreeSet<_>>().len() as u8
}

/// What a search came to.
struct Explored {
    worlds: usize,
    /// Every order of so many steps was judged.
    steps: usize,
}

/// Every order of steps within the bounds, shortest first, until there are `most`
/// worlds; every step out of these is judged. Or what breaks and how.
fn explore(rules: Rules, bounds: Bounds, most: usize) -> Result<Explored, Broken> {
    let mut worlds: Vec<Reached> = vec![(World::new(), None)];
    let mut seen = HashSet::from([World::new()]);
    let mut queue = VecDeque::from([0]);
    let mut steps = usize::MAX;
    while let Some(at) = queue.pop_front() {
        let world = worlds[at].0.clone();
        for step in world.steps(bounds) {
            let next = match world.take(step, rules) {
                None => continue,
                Some(Ok(next)) => next,
                Some(Err(broken)) => return Err((broken, path(&worlds, at, step))),
            };
            if seen.contains(&next) {
                continue;
            }
            if seen.len() >= most {
                // It was judged, but what follows it is not looked at.
                steps = steps.min(path(&worlds, at, step).len());
                continue;
            }
            seen.insert(next.clone());
            queue.push_back(worlds.len());
            worlds.push((next, Some((at, step))));
        }
    }
    let worlds = seen.len();
    Ok(Explored { worlds, steps })
}

type Broken = (&'static str, Vec<Step>);
type Reached = (World, Option<(usize, Step)>);

fn path(worlds: &[Reached], mut at: usize, last: Step) -> Vec<Step> {
    let mut steps = vec![last];
    while let Some((before, step)) = worlds[at].1 {
        steps.push(step);
        at = before;
    }
    steps.reverse();
    steps
}

/// Random walks, long enough for several terms; releases made, or what breaks.
fn walk(rules: Rules, seed: u64, walks: usize) -> Result<usize, Broken> {
    let bounds = Bounds {
        ticks: 100,
        boots: 12,
        entries: 24,
    };
    let mut random = Random(seed);
    let mut releases = 0;
    for _ in 0..walks {
        let (mut world, mut steps) = (World::new(), Vec::new());
        for _ in 0..600 {
            let possible = world.steps(bounds);
            let step = possible[random.below(possible.len())];
            // What ends what a walk built up is left out most of the time.
            let rare = match step {
                Step::Crash(_) | Step::Tick => 12,
                Step::Append(_) => 3,
                _ => 1,
            };
            if random.below(rare) > 0 {
                continue;
            }
            match world.take(step, rules) {
                None => continue,
                Some(Ok(next)) => {
                    releases += usize::from(matches!(step, Step::Release(_)));
                    world = next;
                    steps.push(step);
                }
                Some(Err(broken)) => {
                    steps.push(step);
                    return Err((broken, steps));
                }
            }
        }
    }
    Ok(releases)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

const SMALL: Bounds = Bounds {
    ticks: 2,
    boots: 2,
    entries: 2,
};
const MOST: usize = 200_000;

fn lease(rules: Rules) -> Rules {
    Rules {
        strict: false,
        ..rules
    }
}

/// The least k with 2k > n + f.
fn quorum(faulty: usize) -> Rules {
    Rules {
        k: (3 + faulty) / 2 + 1,
        faulty,
        ..STRICT
    }
}

#[test]
fn with_k_above_half_of_n_and_f_no_order_of_steps_tried_breaks_an_invariant() {
    for faulty in [0, 1] {
        for rules in [quorum(faulty), lease(quorum(faulty))] {
            let Explored { worlds, steps } =
                explore(rules, SMALL, MOST).unwrap_or_else(|broken| panic!("{broken:?}"));
            assert!(worlds > 10_000 && steps >= 9, "{worlds} {steps}");
            let releases = walk(rules, 1, 1500).unwrap_or_else(|broken| panic!("{broken:?}"));
            assert!(
                releases > 300,
                "{releases}: the walks release too little to say anything"
            );
        }
    }
}

/// What a search must find once a rule is taken away.
fn breaks(rules: Rules, expected: &str) {
    let (broken, steps) = walk(rules, 1, 1500).expect_err("the control finds nothing");
    assert!(broken.starts_with(expected), "{broken}: {steps:?}");
}

#[test]
fn a_quorum_of_half_the_witnesses_lets_two_copies_write() {
    let half = Rules { k: 1, ..STRICT };
    breaks(lease(half), "one writer");
    assert!(
        explore(half, SMALL, MOST * 4).is_err(),
        "found in small bounds too"
    );
}

#[test]
fn one_faulty_witness_more_than_the_quorum_allows_for_lets_two_copies_write() {
    let too_few = Rules {
        faulty: 1,
        ..STRICT
    };
    breaks(lease(too_few), "one writer");
}

#[test]
fn witnesses_that_do_not_wait_for_a_lease_let_two_copies_write() {
    let hasty = Rules {
        waits: false,
        ..STRICT
    };
    breaks(lease(hasty), "one writer");
}

#[test]
fn a_lease_counted_from_the_answer_lets_two_copies_write() {
    // The host brings the answer late: the witness counts its wait meanwhile.
    let from_answer = Rules {
        from_request: false,
        ..STRICT
    };
    breaks(lease(from_answer), "one writer");
}

#[test]
fn witnesses_that_cosign_anything_let_a_rollback_through() {
    let careless = Rules {
        growth: false,
        ..STRICT
    };
    breaks(careless, "append-only");
    breaks(lease(careless), "append-only");
}
