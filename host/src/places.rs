//! Places for enclaves: one that banks reach, and one where the next one waits.
//!
//! Protects against banks meeting an enclave that serves nobody: the front changes
//! only when the enclave in front does not serve and the other one does. What the
//! host decides here costs availability at most; which enclave may serve is decided
//! by officers, ledger and witnesses.

use std::sync::{Arc, Mutex, PoisonError};

use redoubt_shared::Endpoint;
use redoubt_shared::supervise::Phase;
use tokio::sync::watch;

/// Every place, and which one is in front.
#[derive(Debug)]
pub struct Places {
    ingress: Vec<Endpoint>,
    phases: Mutex<Vec<Option<Phase>>>,
    front: watch::Sender<usize>,
}

/// One place, as its supervisor reports on it.
#[derive(Debug, Clone)]
pub struct Watched {
    places: Arc<Places>,
    at: usize,
}

/// Where a listener leads: to the place in front, or always to one place.
#[derive(Debug, Clone)]
pub struct Door {
    places: Arc<Places>,
    fixed: Option<usize>,
}

/// Where one connection leads.
#[derive(Debug)]
pub struct Way {
    /// The enclave that takes it.
    pub enclave: Endpoint,
    front: Option<watch::Receiver<usize>>,
}

impl Places {
    /// Places by the endpoints where their enclaves take streams; the first is in
    /// front, and at most one more waits.
    pub fn new(first: Endpoint, second: Option<Endpoint>) -> Arc<Self> {
        let ingress: Vec<_> = std::iter::once(first).chain(second).collect();
        Arc::new(Self {
            phases: Mutex::new(vec![None; ingress.len()]),
            ingress,
            front: watch::Sender::new(0),
        })
    }

    /// For the supervisor of a place.
    pub fn watched(self: &Arc<Self>, at: usize) -> Watched {
        Watched {
            places: self.clone(),
            at,
        }
    }

    /// For a listener: of banks, or of officers at one place.
    pub fn door(self: &Arc<Self>, fixed: Option<usize>) -> Door {
        Door {
            places: self.clone(),
            fixed,
        }
    }
}

impl Watched {
    /// What was last seen here.
    pub fn phase(&self) -> Option<Phase> {
        let phases = self.places.phases.lock();
        phases.unwrap_or_else(PoisonError::into_inner)[self.at]
    }

    /// Takes note of a phase, or of silence. Whether this place is in front now.
    pub fn saw(&self, phase: Option<Phase>) -> bool {
        let mut phases = self.places.phases.lock();
        let phases = phases
            .as_mut()
            .unwrap_or_else(|poisoned| poisoned.get_mut());
        phases[self.at] = phase;
        let front = *self.places.front.borrow();
        let serves = |phase: &Option<Phase>| *phase == Some(Phase::Serving);
        match phases.iter().position(serves) {
            Some(other) if !serves(&phases[front]) => {
                tracing::info!(place = other, "banks reach the enclave of this place now");
                self.places.front.send_replace(other);
            }
            _ => {}
        }
        *self.places.front.borrow() == self.at
    }
}

impl Door {
    /// Where a connection leads now.
    pub fn way(&self) -> Way {
        let mut front = self.places.front.subscribe();
        let place = self.fixed.unwrap_or(*front.borrow_and_update());
        Way {
            enclave: self.places.ingress[place].clone(),
            front: self.fixed.is_none().then_some(front),
        }
    }
}

impl From<Endpoint> for Door {
    fn from(enclave: Endpoint) -> Self {
        Places::new(enclave, None).door(None)
    }
}

impl Way {
    /// Waits until it would lead to another enclave.
    pub async fn moved(&mut self) {
        match &mut self.front {
            // The places outlive every listener.
            Some(front) => drop(front.changed().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Arc<Places>, [Endpoint; 2]) {
        let ends = ["a", "b"].map(|name| Endpoint::Unix(name.into()));
        (Places::new(ends[0].clone(), Some(ends[1].clone())), ends)
    }

    #[test]
    fn the_front_moves_only_from_one_that_does_not_serve_to_one_that_does() {
        let (places, [a, b]) = two();
        let [first, second] = [0, 1].map(|at| places.watched(at));
        let front = places.door(None);
        assert!(first.saw(Some(Phase::Serving)));
        for phase in [Some(Phase::AwaitingUnseal), Some(Phase::Recovering), None] {
            assert!(!second.saw(phase));
            assert_eq!(front.way().enclave, a);
        }
        // Both say they serve: nothing moves under banks that are served.
        assert!(!second.saw(Some(Phase::Serving)));
        assert_eq!(front.way().enclave, a);
        second.saw(Some(Phase::Recovering));
        for phase in [Some(Phase::HandingOver), Some(Phase::Halted), None] {
            assert!(
                first.saw(phase),
                "nobody else serves: it answers that it does not"
            );
        }
        assert!(second.saw(Some(Phase::Serving)));
        assert_eq!(front.way().enclave, b);
        // And back again, when the next one waits at the first place.
        assert!(!first.saw(Some(Phase::AwaitingUnseal)));
        assert!(second.saw(Some(Phase::Halted)));
        assert!(first.saw(Some(Phase::Serving)));
        assert_eq!(front.way().enclave, a);
    }

    #[tokio::test]
    async fn a_connection_hears_that_the_front_moved() {
        let (places, _) = two();
        let mut way = places.door(None).way();
        let mut officers = places.door(Some(0)).way();
        let [first, second] = [0, 1].map(|at| places.watched(at));
        first.saw(Some(Phase::Serving));
        first.saw(Some(Phase::Halted));
        second.saw(Some(Phase::Serving));
        way.moved().await;
        // An officers' door leads to its own place, whoever is in front.
        let stays = tokio::time::timeout(std::time::Duration::from_millis(50), officers.moved());
        assert!(stays.await.is_err());
        assert_eq!(
            places.door(Some(0)).way().enclave,
            Endpoint::Unix("a".into())
        );
    }
}
