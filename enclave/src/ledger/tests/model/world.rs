//! One appliance, its disk, its witnesses, and what was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use redoubt_shared::ReceiptId;

use super::super::*;
use super::Step;
use super::acts::{Act, Callers};
use super::lies::Lie;
use super::notary::{Notary, Seat};
use crate::core::{Facts, SubjectHandle, TenantState, apply, decide};

const DAY: u64 = 24 * 60 * 60 * 1000;
/// How long entries are kept.
const KEEP: u64 = 2 * DAY;
const QUORUM: usize = 2;
/// Longer than anything here takes, on any machine.
const LONG: Duration = Duration::from_secs(8);

/// Between commands that arrive one after the other.
const APART: Duration = Duration::from_millis(1);

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Done,
    Crashed,
    Halted,
}

/// What callers heard.
#[derive(Default)]
struct Heard {
    /// State after a command and the entry it is in, by the command's place.
    states: Vec<Option<(u64, TenantState)>>,
    receipts: Vec<(ReceiptId, String)>,
    halted: bool,
}

pub(super) struct World {
    dir: tempfile::TempDir,
    store: FakeStore,
    clock: Arc<AtomicU64>,
    snapshot_bytes: u64,
    notaries: Vec<Arc<Notary>>,
    boot: Option<Boot>,
    epoch: u32,
    /// The fold of what was acknowledged.
    acked: TenantState,
    /// The state behind the newest batch that was built, acknowledged or not.
    built: Arc<Mutex<Option<TenantState>>>,
    /// Every state there ever was at the end of a batch.
    history: Vec<TenantState>,
    receipts: BTreeMap<ReceiptId, String>,
    callers: Callers,
    remembered: Option<FakeStore>,
}

fn key_of(epoch: u32) -> EpochKey {
    epoch_of(&epoch.to_be_bytes(), epoch)
}

/// The epoch a disk is sealed in, as far as it tells.
async fn epoch_on(client: &mut StoreClient) -> u32 {
    let newest = newest_snapshot(client).await.unwrap();
    newest.map_or(0, |root| root.epoch)
}

impl World {
    pub(super) async fn new(witnessed: bool, snapshot_bytes: u64) -> Self {
        let notaries = if witnessed { 3 } else { 0 };
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            store: FakeStore::default(),
            clock: Arc::new(AtomicU64::new(1000 * DAY)),
            snapshot_bytes,
            notaries: (0..notaries).map(|_| Arc::new(Notary::new())).collect(),
            boot: None,
            epoch: 0,
            acked: TenantState::default(),
            built: Arc::default(),
            history: vec![TenantState::default()],
            receipts: BTreeMap::new(),
            callers: Callers::default(),
            remembered: None,
        };
        world.restart(None, None).await;
        world
    }

    /// One step; `false` when nothing can follow.
    pub(super) async fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Crash(crash, step) => {
                self.store.crash_at(Some(crash));
                self.work(*step).await;
                self.restart_if_dead().await;
            }
            Step::Restart(crash) => self.restart(None, crash).await,
            Step::Moods(moods) => self.store.moods(&moods),
            Step::Seconds(seconds) => self.pass(u64::from(seconds) * 1000),
            Step::Days(days) => self.pass(u64::from(days) * DAY),
            Step::Remember => self.remembered = Some(self.store.copy()),
            Step::Lie(lie) => self.lie(lie).await,
            Step::Witness(nth, up) => {
                if let Some(notary) = self.notaries.get(usize::from(nth)) {
                    notary.0.lock().unwrap().up = up;
                }
            }
            Step::Fork(acts) => self.fork(acts).await,
            Step::Betray(mood, acts) => return self.betray(mood, acts).await,
            working => self.work(working).await,
        }
        true
    }

    fn pass(&self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds, Relaxed);
    }

    async fn work(&mut self, step: Step) {
        let end = match step {
            Step::Batch(acts) => self.batch(acts, None).await,
            Step::Snapshot(acts) => self.batch(acts, Some(false)).await,
            Step::Rotate(acts) => self.batch(acts, Some(true)).await,
            other => unreachable!("{other:?} is no work"),
        };
        let halted = self.boot.as_ref().unwrap().halted.lock().unwrap().clone();
        assert_ne!(
            end,
            End::Halted,
            "an honest store and honest witnesses: {halted:?}"
        );
        assert_eq!(halted, None);
        if end == End::Crashed {
            self.restart(Some(end), None).await;
        }
    }

    /// A crash may have struck after everything asked for was answered.
    async fn restart_if_dead(&mut self) {
        self.store.crash_at(None);
        if self.store.is_dead() {
            self.restart(None, None).await;
        }
    }

    /// Commands at once, beside a snapshot (`Some(false)`) or a rotation.
    async fn batch(&mut self, acts: Vec<Act>, beside: Option<bool>) -> End {
        let now_ms = self.clock.load(Relaxed);
        let mut commands = Vec::new();
        for act in acts {
            commands.extend(self.callers.commands(act, &self.acked, now_ms));
        }
        let heard = Arc::new(Mutex::new(Heard::default()));
        heard.lock().unwrap().states.resize(commands.len(), None);
        let boot = self.boot.as_ref().unwrap();
        let (ledgers, signer) = (boot.ledgers.clone(), boot.signer.clone());
        let asked = commands.into_iter().enumerate().map(|(nth, command)| {
            let (ledgers, signer, heard) = (ledgers.clone(), signer.clone(), heard.clone());
            let (built, store, notaries) = (
                self.built.clone(),
                self.store.clone(),
                self.notaries.clone(),
            );
            async move {
                let id = tenant();
                let look = move |core: &Core| {
                    let state = core.tenants[&tenant()].state.clone();
                    *built.lock().unwrap() = Some(state.clone());
                    (core.tenants[&tenant()].book.size(), state)
                };
                // Beside a snapshot one after the other, else all in one batch.
                if beside.is_some() {
                    tokio::time::sleep(APART * nth as u32).await;
                }
                let (decided, looked) =
                    tokio::join!(ledgers.decide(&id, command), ledgers.look(look));
                let mut heard = heard.lock().unwrap();
                match decided {
                    Ok(Outcome {
                        claim: Some(claim), ..
                    }) => {
                        assert_released_late_enough(&claim, &store, &notaries);
                        let text = verified(&claim, &signer);
                        let id = text["receipt_id"].as_str().unwrap().parse().unwrap();
                        heard.receipts.push((id, claim.text));
                    }
                    Ok(_) | Err(CommitError::Refused(_)) => {}
                    Err(CommitError::Halted) => heard.halted = true,
                    Err(other) => panic!("{other}"),
                }
                if let Ok(state) = looked {
                    heard.states[nth] = Some(state);
                }
            }
        });
        let next = self.epoch + 1;
        let maintained = async {
            match beside {
                None => Ok(()),
                Some(false) => ledgers.snapshot().await,
                Some(true) => {
                    let rotate = Rotate {
                        next: key_of(next),
                        genesis: [0; 32],
                    };
                    ledgers.rotate(rotate).await
                }
            }
        };
        let work = async { tokio::join!(join_all(asked), maintained) };
        let mut work = std::pin::pin!(work);
        let mut maintained = None;
        let end = loop {
            let quorum = self.notaries.is_empty() || self.quorum_is_up();
            let patience = if quorum {
                LONG
            } else {
                Duration::from_millis(30)
            };
            tokio::select! {
                biased;
                (_, outcome) = &mut work => {
                    maintained = Some(outcome);
                    break if heard.lock().unwrap().halted { End::Halted } else { End::Done };
                }
                () = self.store.crashed.notified() => {
                    // What was released already is heard.
                    if let Some((_, outcome)) = (&mut work).now_or_never() {
                        maintained = Some(outcome);
                    }
                    break End::Crashed;
                }
                () = tokio::time::sleep(patience) => {
                    assert!(!quorum, "neither an answer nor a crash");
                    self.bring_witnesses_back();
                }
            }
        };
        if beside == Some(true) && matches!(maintained, Some(Ok(()))) {
            self.epoch = next;
        }
        let mut heard = heard.lock().unwrap();
        self.receipts.extend(heard.receipts.drain(..));
        let mut ends = BTreeMap::new();
        ends.extend(heard.states.drain(..).flatten());
        self.history.extend(ends.values().cloned());
        if let Some((_, state)) = ends.pop_last() {
            self.acked = state;
        }
        end
    }

    fn quorum_is_up(&self) -> bool {
        let up = |notary: &&Arc<Notary>| notary.0.lock().unwrap().up;
        self.notaries.iter().filter(up).count() >= QUORUM
    }

    fn bring_witnesses_back(&self) {
        for notary in &self.notaries {
            notary.0.lock().unwrap().up = true;
        }
    }

    fn opening(&self, epoch: u32, notaries: Vec<Arc<Notary>>) -> Opening {
        let freshness = Freshness {
            strict: true,
            quorum: QUORUM,
            lease: Duration::from_secs(600),
        };
        let witnessing = move |term| match notaries.is_empty() {
            true => Witnessing::none(),
            false => {
                let seats = notaries.iter().map(|notary| Seat::take(notary, term));
                Witnessing::new(freshness, seats.collect())
            }
        };
        Opening {
            epoch: key_of(epoch),
            settings: Settings {
                snapshot_bytes: self.snapshot_bytes,
                retention: Retention {
                    keep_ms: HashMap::from([(tenant(), KEEP)]),
                },
                ..Settings::default()
            },
            clock: self.clock.clone(),
            witnessing: Some(Box::new(witnessing)),
            ..Opening::default()
        }
    }

    /// The old boot gets nothing more, a new one opens over what the disk holds.
    async fn restart(&mut self, end: Option<End>, mut crash: Option<fake_store::Crash>) {
        loop {
            let unknown = self.built.lock().unwrap().take();
            self.boot = None;
            self.store.kill();
            self.bring_witnesses_back();
            let mut client = self.store.serve(self.dir.path()).await;
            let epoch = epoch_on(&mut client).await;
            assert!(
                epoch == self.epoch || epoch == self.epoch + 1,
                "an epoch went back"
            );
            self.epoch = epoch;
            let recovered = recovered_in(&mut client, key_of(epoch)).await;
            let recovered =
                recovered.unwrap_or_else(|error| panic!("honest, but refused: {error}"));
            let state = &recovered.tenants[0].1;
            let known = *state == self.acked || unknown.is_some_and(|unknown| *state == unknown);
            assert!(
                known,
                "neither what was acknowledged nor one batch more ({end:?})"
            );
            self.acked = state.clone();
            self.history.push(self.acked.clone());
            let (term, now_ms) = (recovered.appliance.0.term() + 1, self.clock.load(Relaxed));
            *self.built.lock().unwrap() = Some(begun(state.clone(), term, now_ms));
            self.store.crash_at(crash.take());
            let opening = self.opening(epoch, self.notaries.clone());
            tokio::select! {
                biased;
                boot = open(client, opening) => {
                    self.boot = Some(boot.unwrap_or_else(|error| panic!("honest, but {error}")));
                    self.acked = self.built.lock().unwrap().take().unwrap();
                }
                () = self.store.crashed.notified() => continue,
            }
            self.store.crash_at(None);
            if !self.store.is_dead() {
                break;
            }
        }
        self.see_everything_is_there().await;
    }

    /// The boot shows the state and every receipt that was ever handed out.
    async fn see_everything_is_there(&mut self) {
        let boot = self.boot.as_ref().unwrap();
        let look = |core: &Core| core.tenants[&tenant()].state.clone();
        let seen = boot.ledgers.look(look).await.unwrap();
        assert!(
            seen == self.acked,
            "a boot shows another state than it recovered"
        );
        self.history.push(seen);
        let now_ms = self.clock.load(Relaxed);
        for (id, text) in &self.receipts {
            let claims: serde_json::Value = serde_json::from_str(text).unwrap();
            match boot.ledgers.fetch(&tenant(), *id).await {
                Ok(claim) => {
                    assert_eq!(claim.text, *text);
                    verified(&claim, &boot.signer);
                }
                Err(CommitError::Erased) => {
                    let whose = claims["user_id"].as_str().unwrap().to_owned();
                    assert!(
                        self.callers.erased.contains(&whose),
                        "dark without an erasure"
                    );
                }
                Err(CommitError::Expired) => {
                    let made = claims["time_ms"].as_u64().unwrap();
                    assert!(made + KEEP <= now_ms, "dropped before its time");
                }
                Err(other) => panic!("a receipt that was handed out: {other}"),
            }
        }
        assert!(
            !self.store.saw_a_nonce_twice(),
            "a key and nonce sealed two records"
        );
    }

    /// A bent copy of the disk is refused, or yields what once was.
    async fn lie(&mut self, lie: Lie) {
        let bent = self.store.copy();
        let notaries: Vec<_> = self.notaries.iter().map(|n| Arc::new(n.copy())).collect();
        let once = self.remembered.clone();
        lie.tell(&bent, once.as_ref());
        let mut client = bent.serve(self.dir.path()).await;
        let epoch = epoch_on(&mut client).await;
        let recovered = match recovered_in(&mut client, key_of(epoch)).await {
            Ok(recovered) => recovered,
            Err(error) => {
                let whole = self.epoch == 0 && bent.first(TENANT) == 0;
                let harmless = lie.spares_records() && whole && bent.first(APPLIANCE) == 0;
                assert!(!harmless, "{lie:?} costs nothing, but is refused: {error}");
                return;
            }
        };
        let state = &recovered.tenants[0].1;
        assert!(
            *state == self.acked || self.history.contains(state),
            "{lie:?} leads to a state that never was"
        );
        let cosigned = |n: &Arc<Notary>| n.0.lock().unwrap().head.0;
        let behind = notaries
            .iter()
            .filter(|n| cosigned(n) > recovered.appliance.1.size());
        let behind = behind.count() >= QUORUM;
        let opened = open(client, self.opening(epoch, notaries.clone()));
        let opened = tokio::time::timeout(LONG, opened)
            .await
            .expect("neither opened nor refused");
        match opened {
            Ok(boot) => {
                assert!(!behind, "{lie:?}: what witnesses cosigned was forgotten");
                if !self.notaries.is_empty() {
                    assert!(*state == self.acked, "{lie:?}: rewound past witnesses");
                }
                let _ = boot
                    .ledgers
                    .decide(&tenant(), facial("customer-9", 9))
                    .await;
            }
            Err(error) => assert!(
                behind || bent_is_short(&bent, &recovered),
                "{lie:?}: refused without a reason: {error}"
            ),
        }
        assert!(
            !self.store.saw_a_nonce_twice(),
            "{lie:?}: a nonce was used twice"
        );
    }

    /// A second enclave over a copy of the disk: of the two at most one goes on.
    async fn fork(&mut self, acts: Vec<Act>) {
        if self.notaries.is_empty() {
            return;
        }
        let first = self.boot.take().unwrap();
        self.bring_witnesses_back();
        // Nothing is under way any more: what the copy lacks, nobody wrote.
        while first.ledgers.snapshot().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let copy = self.store.copy();
        self.store = copy;
        self.restart(None, None).await;
        let refused = first
            .ledgers
            .decide(&tenant(), facial("customer-9", 9))
            .await;
        assert!(matches!(refused, Err(CommitError::Halted)), "{refused:?}");
        let why = loop {
            if let Some(why) = first.halted.lock().unwrap().clone() {
                break Some(why);
            }
            tokio::task::yield_now().await;
        };
        assert!(
            why.as_ref().is_some_and(|why| why.contains("superseded")),
            "{why:?}"
        );
        self.work(Step::Batch(acts)).await;
    }

    /// A batch the store loses or replaces for good: nothing stays unnoticed.
    async fn betray(&mut self, mood: Mood, acts: Vec<Act>) -> bool {
        let before = [TENANT, APPLIANCE].map(|ledger| self.store.count(ledger));
        let remembered = self.acked.clone();
        self.bring_witnesses_back();
        self.store.moods(&[mood]);
        let honest = self.receipts.clone();
        let end = self.batch_betrayed(acts).await;
        let touched = self.store.disk.lock().unwrap().moods.is_empty();
        if !touched {
            // Every command was refused: there was no batch to betray.
            self.store.moods(&[]);
            return true;
        }
        match mood {
            Mood::KeepsAnother => assert_eq!(end, End::Halted),
            _ => {
                let after = [TENANT, APPLIANCE].map(|ledger| self.store.count(ledger));
                assert!(end == End::Halted || after == before);
            }
        }
        self.boot = None;
        self.store.kill();
        self.receipts = honest;
        let mut client = self.store.serve(self.dir.path()).await;
        let epoch = epoch_on(&mut client).await;
        let Ok(recovered) = recovered_in(&mut client, key_of(epoch)).await else {
            return false;
        };
        let state = &recovered.tenants[0].1;
        assert_ne!(
            mood,
            Mood::KeepsAnother,
            "another record was read as one of ours"
        );
        assert!(*state == remembered, "the rest is not what it was");
        let opened = open(client, self.opening(epoch, self.notaries.clone())).await;
        if end != End::Halted && !self.notaries.is_empty() {
            assert!(opened.is_err(), "witnesses cosigned what the disk forgot");
        }
        false
    }

    async fn batch_betrayed(&mut self, acts: Vec<Act>) -> End {
        // What it acknowledges is not kept: durability is not asserted here.
        let now_ms = self.clock.load(Relaxed);
        let mut end = End::Done;
        for act in acts {
            for command in self.callers.commands(act, &self.acked, now_ms) {
                let boot = self.boot.as_ref().unwrap();
                if let Err(CommitError::Halted) = boot.ledgers.decide(&tenant(), command).await {
                    end = End::Halted;
                }
            }
            if self.store.disk.lock().unwrap().moods.is_empty() {
                break;
            }
        }
        end
    }

    pub(super) async fn finish(&mut self) {
        assert!(
            !self.store.saw_a_nonce_twice(),
            "a key and nonce sealed two records"
        );
    }
}

/// Kept, and cosigned by a quorum, before it is heard of.
fn assert_released_late_enough(claim: &Claim, store: &FakeStore, notaries: &[Arc<Notary>]) {
    assert!(
        store.count(TENANT) > claim.entry.header.index,
        "released before it was kept"
    );
    let anchor = claim.entry.anchor.as_ref().unwrap().header.index;
    assert!(
        store.count(APPLIANCE) > anchor,
        "released before it was recorded"
    );
    let covers = |notary: &&Arc<Notary>| notary.0.lock().unwrap().head.0 > anchor;
    let cosigned = notaries.iter().filter(covers).count();
    assert!(
        notaries.is_empty() || cosigned >= QUORUM,
        "released before it was cosigned"
    );
}

/// Fewer records than the snapshot covers: no batch can follow.
fn bent_is_short(bent: &FakeStore, recovered: &Recovered) -> bool {
    bent.count(TENANT) < recovered.tenants[0].2.size()
        || bent.count(APPLIANCE) < recovered.appliance.1.size()
}

/// The state once a term has begun over it.
fn begun(mut state: TenantState, term: u64, now_ms: u64) -> TenantState {
    let facts = Facts {
        now_ms,
        receipt: ReceiptId::from_bytes([0; 16]),
        handle: SubjectHandle([0; 16]),
        user_handle: [0; 16],
        subject_key: [0; 32],
    };
    let keys = TenantKeySeeds {
        es256: [1; 32],
        mldsa65: [2; 32],
    };
    let opening = state.keys.is_none().then_some(Command::OpenTenant { keys });
    for command in opening.into_iter().chain([Command::BeginTerm { term }]) {
        let decision = decide(&state, &context(), command, &facts).unwrap();
        for recorded in &decision.events {
            apply(&mut state, recorded);
        }
    }
    state
}
