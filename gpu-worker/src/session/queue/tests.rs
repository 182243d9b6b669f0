use std::time::Duration;

use super::super::wait::{Kind, PATIENCE, WAIT_MAX};
use super::*;

const FACE: Work = Work {
    kind: Kind::Face,
    pieces: 1,
};
const VOICE: Work = Work {
    kind: Kind::Voice,
    pieces: 1,
};

fn frames(pieces: u32) -> Work {
    let kind = Kind::Frames;
    Work { kind, pieces }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A queue with so many threads, on a clock of its own.
struct Clock {
    state: State<u32>,
    now: Instant,
    items: u32,
}

impl Clock {
    fn new(threads: usize) -> Self {
        let queue = Queue::<u32>::default();
        let mut state = queue.state.into_inner().unwrap();
        state.threads = threads;
        Self {
            state,
            now: Instant::now(),
            items: 0,
        }
    }

    fn push(&mut self, work: Work) -> bool {
        self.items += 1;
        self.state.push(self.items, (1, work), self.now).is_ok()
    }

    fn take(&mut self) -> Ticket {
        self.state.take(self.now).unwrap().0
    }

    /// Such work was seen to take so long.
    fn learned(mut self, work: Work, took: Duration) -> Self {
        assert!(self.push(work));
        let ticket = self.take();
        self.now += took;
        self.state.done(&ticket, true, self.now);
        self
    }

    /// How many more of them are accepted.
    fn room(&mut self, work: Work) -> usize {
        (0..JOBS_IN_FLIGHT).take_while(|_| self.push(work)).count()
    }
}

#[test]
fn before_anything_was_measured_number_and_bytes_are_the_bounds() {
    let queue = Queue::default();
    for job in 0..JOBS_IN_FLIGHT {
        assert_eq!(queue.push(job, 1, FACE), Ok(()));
    }
    assert_eq!(queue.push(99, 1, FACE), Err(99));
    let (ticket, job) = queue.pop().unwrap();
    assert_eq!(job, 0);
    queue.done(&ticket, false);
    assert_eq!(queue.push(99, 1, FACE), Ok(()));
}

#[test]
fn large_samples_fill_the_queue_sooner() {
    let queue = Queue::default();
    assert_eq!(queue.push('a', BYTES_MAX - 1, FACE), Ok(()));
    assert_eq!(queue.push('b', 2, FACE), Err('b'));
    assert_eq!(queue.push('b', 1, FACE), Ok(()));
    assert_eq!(queue.pop().unwrap().1, 'a');
    assert_eq!(queue.push('c', 2, FACE), Ok(()));
}

#[test]
fn a_job_is_refused_as_soon_as_it_would_wait_too_long() {
    // 40 ms each on one thread: the sixth would wait 200 ms, the seventh 240.
    let mut one = Clock::new(1).learned(FACE, ms(40));
    assert_eq!(one.room(FACE), 6);
    let mut two = Clock::new(2).learned(FACE, ms(40));
    assert_eq!(two.room(FACE), 12);
    // As time goes by there is room again: one after half of the first is done.
    let ticket = one.take();
    assert_eq!(one.room(FACE), 0);
    one.now += ms(40);
    assert_eq!(one.room(FACE), 1);
    one.state.done(&ticket, true, one.now);
    assert_eq!(one.room(FACE), 0);
}

#[test]
fn what_threads_have_counts_as_far_as_it_is_not_done() {
    let mut queue = Clock::new(2).learned(frames(30), ms(1500));
    queue = queue.learned(FACE, ms(40));
    assert!(queue.push(frames(30)));
    let _long = queue.take();
    // The other thread is free.
    assert_eq!(queue.room(FACE), 6);
    let mut queue = Clock::new(1)
        .learned(frames(30), ms(1500))
        .learned(FACE, ms(40));
    assert!(queue.push(frames(30)));
    let _long = queue.take();
    assert!(!queue.push(FACE));
    queue.now += ms(1299);
    assert!(!queue.push(FACE));
    queue.now += ms(1);
    assert!(queue.push(FACE));
    // One that takes longer than its kind does is awaited every moment.
    queue.now += ms(9000);
    assert!(queue.push(FACE));
}

#[test]
fn frames_count_as_what_they_cost_and_wait_as_long_as_their_length_bears() {
    let mut queue = Clock::new(1).learned(frames(30), ms(1500));
    // 12 frames take 600 ms: they wait four times that, and no more.
    assert_eq!(queue.room(frames(12)), 1 + PATIENCE as usize);
    let mut queue = Clock::new(1).learned(frames(30), ms(3000));
    // 30 take 3 s: after 9 s nobody waits any longer.
    assert_eq!(queue.room(frames(30)), 3);
}

#[test]
fn kinds_have_means_of_their_own_and_spoiled_samples_teach_nothing() {
    let mut queue = Clock::new(1).learned(FACE, ms(100)).learned(VOICE, ms(10));
    assert!(queue.push(FACE) && queue.push(FACE));
    assert!(queue.push(VOICE));
    assert!(!queue.push(VOICE), "behind two faces and a voice: 210 ms");
    let mut queue = Clock::new(1).learned(FACE, ms(100));
    for _ in 0..50 {
        assert!(queue.push(FACE));
        let ticket = queue.take();
        // Garbage is refused in no time.
        queue.state.done(&ticket, false, queue.now);
    }
    assert_eq!(queue.state.means.of(FACE), ms(100));
}

#[test]
fn on_a_slow_machine_a_few_wait_all_the_same() {
    let mut queue = Clock::new(2).learned(FACE, ms(300));
    assert!(ms(300) > WAIT_MAX);
    // Eight clients on two threads: three before each.
    assert!(queue.room(FACE) >= 8);
}

#[test]
fn a_job_that_froze_refuses_none_after_it_for_good() {
    let mut queue = Clock::new(1).learned(FACE, ms(60_000));
    assert_eq!(queue.room(FACE), 1, "what need not wait");
    let ticket = queue.take();
    queue.state.done(&ticket, false, queue.now);
    for _ in 0..100 {
        assert!(queue.push(FACE), "nothing is before it");
        let ticket = queue.take();
        queue.now += ms(40);
        queue.state.done(&ticket, true, queue.now);
    }
    assert!(queue.room(FACE) >= 4);
}

#[test]
fn a_mean_follows_what_is_measured() {
    let mut means = Means::default();
    means.learn(FACE, ms(40));
    for _ in 0..40 {
        means.learn(FACE, ms(80));
    }
    let mean = means.of(FACE);
    assert!(mean > ms(79) && mean < ms(81), "{mean:?}");
}

#[test]
fn closing_ends_every_wait_and_refuses_more() {
    let queue = std::sync::Arc::new(Queue::<u8>::default());
    let waiting = std::sync::Arc::clone(&queue);
    let thread = std::thread::spawn(move || waiting.pop());
    queue.close();
    assert_eq!(thread.join().unwrap(), None);
    assert_eq!(queue.push(1, 1, FACE), Err(1));
}
