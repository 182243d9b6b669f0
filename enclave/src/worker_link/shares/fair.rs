//! Whose job is next: deficit round robin (Shreedhar and Varghese, 1995, IEEE/ACM
//! Transactions on Networking 4(3)) over tenants, by what jobs cost.
//!
//! Protects tenants from each other: of two that both have jobs waiting, neither is
//! ahead of the other by more than a quantum and two of the dearest jobs, however many
//! jobs either has; and in a tenant the first to come is the first to go.

use std::collections::VecDeque;
use std::time::Duration;

use redoubt_shared::TenantId;

/// What a tenant may use before the next one has its turn; dearer jobs wait for several
/// turns. Less than any job that was measured takes, as small as its rounds are cheap.
pub(super) const QUANTUM: Duration = Duration::from_millis(10);
/// Every job costs something.
const LEAST: Duration = Duration::from_micros(100);

/// Jobs that wait, by tenant. What they cost is asked when it counts, as it may have been
/// learned meanwhile.
pub(super) struct Fair<T> {
    /// Of tenants with jobs alone, whose turn it is first.
    lanes: VecDeque<Lane<T>>,
}

struct Lane<T> {
    tenant: TenantId,
    credit: Duration,
    jobs: VecDeque<T>,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        let lanes = VecDeque::new();
        Self { lanes }
    }
}

impl<T> Fair<T> {
    /// A job that comes last among its tenant's; a tenant that had none comes last too.
    pub(super) fn push(&mut self, tenant: &TenantId, item: T) {
        let mut lanes = self.lanes.iter_mut();
        match lanes.find(|lane| lane.tenant == *tenant) {
            Some(lane) => lane.jobs.push_back(item),
            None => self.lanes.push_back(Lane {
                tenant: tenant.clone(),
                credit: QUANTUM,
                jobs: VecDeque::from([item]),
            }),
        }
    }

    /// The next job, and what it costs; none only where none waits.
    pub(super) fn pop(&mut self, cost: impl Fn(&T) -> Duration) -> Option<(Duration, T)> {
        loop {
            let lane = self.lanes.front_mut()?;
            match lane.jobs.front().map(&cost) {
                Some(cost) if cost.max(LEAST) <= lane.credit => {
                    lane.credit -= cost.max(LEAST);
                    let item = lane.jobs.pop_front()?;
                    if lane.jobs.is_empty() {
                        self.lanes.pop_front();
                    }
                    return Some((cost, item));
                }
                Some(_) => {
                    lane.credit += QUANTUM;
                    self.lanes.rotate_left(1);
                }
                None => drop(self.lanes.pop_front()),
            }
        }
    }

    /// Takes a job back that nobody waits for any longer.
    pub(super) fn remove(&mut self, is_it: impl Fn(&T) -> bool) {
        for lane in &mut self.lanes {
            if let Some(at) = lane.jobs.iter().position(&is_it) {
                lane.jobs.remove(at);
            }
        }
        self.lanes.retain(|lane| !lane.jobs.is_empty());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// A tenant's jobs that wait, and among how many tenants the worker is shared once it
    /// has a job more.
    pub(super) fn of(&self, tenant: &TenantId) -> (impl ExactSizeIterator<Item = &T>, usize) {
        let lane = self.lanes.iter().find(|lane| lane.tenant == *tenant);
        let tenants = self.lanes.len() + usize::from(lane.is_none());
        let jobs = lane.map(|lane| lane.jobs.iter()).unwrap_or_default();
        (jobs, tenants)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        format!("bank-{number}").parse().unwrap()
    }

    /// Cost in milliseconds of each job of each tenant.
    fn jobs() -> impl Strategy<Value = Vec<Vec<u64>>> {
        let cost = prop_oneof![1u64..60, 300u64..900];
        prop::collection::vec(prop::collection::vec(cost, 1..60), 1..6)
    }

    /// What the test's jobs cost is part of them.
    type Job = (Duration, (usize, usize));

    fn filled(jobs: &[Vec<u64>]) -> Fair<Job> {
        let mut fair = Fair::default();
        for (who, jobs) in jobs.iter().enumerate() {
            for (number, cost) in jobs.iter().enumerate() {
                let cost = Duration::from_millis(*cost);
                fair.push(&tenant(who), (cost, (who, number)));
            }
        }
        fair
    }

    proptest! {
        /// As long as two have jobs, neither is ahead by more than the bound; whoever
        /// waits is served; nobody overtakes in a tenant; nothing is lost or made up.
        #[test]
        fn everybody_has_a_share_in_order_and_whole(jobs in jobs()) {
            let mut fair = filled(&jobs);
            let dearest = jobs.iter().flatten().max().copied().unwrap();
            let bound = QUANTUM + 2 * Duration::from_millis(dearest);
            let mut served = vec![(0, Duration::ZERO); jobs.len()];
            while !fair.is_empty() {
                let (_, (cost, (who, number))) = fair.pop(|job| job.0).unwrap();
                prop_assert_eq!(cost, Duration::from_millis(jobs[who][number]));
                prop_assert_eq!(number, served[who].0);
                served[who] = (number + 1, served[who].1 + cost);
                let waiting = |who: &usize| served[*who].0 < jobs[*who].len();
                let costs = (0..jobs.len()).filter(waiting).map(|who| served[who].1);
                let all: Vec<Duration> = costs.collect();
                if let (Some(most), Some(least)) = (all.iter().max(), all.iter().min()) {
                    prop_assert!(*most - *least <= bound, "{:?} of {:?}", served, jobs);
                }
            }
            let whole = served.iter().map(|(count, _)| *count);
            prop_assert!(whole.eq(jobs.iter().map(Vec::len)));
            prop_assert!(fair.pop(|job| job.0).is_none());
        }

        /// A tenant that comes late waits for one turn of each other one, and no more.
        #[test]
        fn one_that_comes_late_waits_for_a_turn_of_each(jobs in jobs(), after in 0usize..40) {
            let (mut fair, late) = (filled(&jobs), tenant(99));
            for _ in 0..after {
                fair.pop(|job| job.0);
            }
            fair.push(&late, (QUANTUM, (99, 0)));
            let mut before = vec![Duration::ZERO; jobs.len()];
            loop {
                let (_, (cost, (who, _))) = fair.pop(|job| job.0).unwrap();
                if who == 99 {
                    break;
                }
                before[who] += cost;
            }
            let dearest = Duration::from_millis(*jobs.iter().flatten().max().unwrap());
            prop_assert!(before.iter().all(|one| *one <= QUANTUM + dearest), "{before:?}");
        }

        /// What was taken back is never handed out, and everything else is.
        #[test]
        fn whoever_gives_up_is_gone(jobs in jobs(), gone in prop::collection::vec((0usize..6, 0usize..60), 0..80)) {
            let mut fair = filled(&jobs);
            for one in &gone {
                fair.remove(|job| job.1 == *one);
            }
            let mut left = jobs.iter().map(Vec::len).sum::<usize>();
            let taken: std::collections::BTreeSet<_> = gone.iter().collect();
            left -= taken.iter().filter(|one| jobs.get(one.0).is_some_and(|jobs| one.1 < jobs.len())).count();
            let mut seen = 0;
            while let Some((_, job)) = fair.pop(|job| job.0) {
                prop_assert!(!gone.contains(&job.1));
                seen += 1;
            }
            prop_assert_eq!(seen, left);
        }
    }

    #[test]
    fn dear_jobs_of_one_and_cheap_ones_of_another_cost_the_same() {
        let mut fair = Fair::default();
        let (dear, cheap) = (tenant(0), tenant(1));
        for _ in 0..200 {
            fair.push(&dear, "frames");
            fair.push(&cheap, "face");
        }
        let cost = |job: &&str| Duration::from_millis(if *job == "face" { 25 } else { 750 });
        let first: Vec<_> = (0..124).filter_map(|_| fair.pop(cost)).collect();
        let faces = first.iter().filter(|(_, kind)| *kind == "face").count();
        // Thirty faces for each thirty frames.
        assert!((117..=121).contains(&faces), "{faces}");
        let (jobs, tenants) = fair.of(&cheap);
        assert_eq!((jobs.len(), tenants), (200 - faces, 2));
        let third = tenant(2);
        let (jobs, tenants) = fair.of(&third);
        assert_eq!((jobs.len(), tenants), (0, 3));
    }

    #[test]
    fn what_was_learned_meanwhile_counts_for_those_that_wait_already() {
        let (mut fair, [one, other]) = (Fair::default(), [tenant(0), tenant(1)]);
        (0..64).for_each(|_| fair.push(&one, 0));
        (0..64).for_each(|_| fair.push(&other, 1));
        let first = (0..32).filter_map(|_| fair.pop(|_| 3 * QUANTUM));
        let first: usize = first.map(|(_, who)| who).sum();
        let then = (0..64).filter_map(|_| fair.pop(|_| QUANTUM / 2));
        let then: usize = then.map(|(_, who)| who).sum();
        assert!(
            (15..=17).contains(&first) && (29..=35).contains(&then),
            "{first} {then}"
        );
    }
}
