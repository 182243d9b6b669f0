//! Retention: what is old enough goes, nothing younger does, and everything
//! kept goes on verifying.

use redoubt_shared::ReceiptId;

use super::*;

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;
const OTHER: LedgerId = LedgerId::from_bytes([4; 16]);

fn other() -> TenantId {
    "bank-b".parse().unwrap()
}

/// Two tenants, one of which keeps its entries for 2 days, the other for 5.
struct Bank {
    dir: tempfile::TempDir,
    store: FakeStore,
    clock: Arc<AtomicU64>,
}

impl Bank {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            store: FakeStore::default(),
            clock: Arc::new(AtomicU64::new(100 * DAY)),
        }
    }

    /// One that let go what is eight days old.
    async fn that_let_go() -> (Self, Boot) {
        let bank = Self::new();
        let boot = bank.open().await;
        claims(&boot, 1).await;
        bank.pass(&boot, 1).await;
        bank.pass(&boot, 7).await;
        snapshots(&boot).await;
        assert!(bank.store.first(TENANT) > 0);
        (bank, boot)
    }

    async fn try_open(&self) -> Result<Boot, NotOpened> {
        let keep_ms = HashMap::from([(tenant(), 2 * DAY), (other(), 5 * DAY)]);
        let opening = Opening {
            clock: self.clock.clone(),
            tenants: vec![(tenant(), TENANT), (other(), OTHER)],
            settings: Settings {
                retention: Retention { keep_ms },
                ..Settings::default()
            },
            ..Opening::default()
        };
        open(self.store.serve(self.dir.path()).await, opening).await
    }

    async fn open(&self) -> Boot {
        self.try_open().await.unwrap()
    }

    /// Lets time pass and the committer notice.
    async fn pass(&self, boot: &Boot, days: u64) {
        self.clock.fetch_add(days * DAY, Relaxed);
        for _ in 0..2 {
            users(boot).await;
        }
    }
}

/// A claim of each tenant, made now.
async fn claims(boot: &Boot, nth: u8) -> [ReceiptId; 2] {
    let mut ids = Vec::new();
    for tenant in [tenant(), other()] {
        let outcome = boot.ledgers.decide(&tenant, facial("customer-1", nth));
        ids.push(receipt_id(&outcome.await.unwrap().claim.unwrap()));
    }
    ids.try_into().unwrap()
}

/// A snapshot begun now, or the one under way.
async fn snapshot(boot: &Boot) {
    let under_way = CommitError::Snapshot(SnapshotFailed::UnderWay).to_string();
    while let Err(error) = boot.ledgers.snapshot().await {
        assert_eq!(error.to_string(), under_way);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Entries before the first of these are needed no more.
async fn snapshots(boot: &Boot) {
    snapshot(boot).await;
    snapshot(boot).await;
}

async fn fetch(boot: &Boot, tenant: &TenantId, id: ReceiptId) -> Result<(), CommitError> {
    let claim = boot.ledgers.fetch(tenant, id).await?;
    check(&claim, &boot.signer);
    Ok(())
}

fn expired(result: &Result<(), CommitError>) -> bool {
    matches!(result, Err(CommitError::Expired))
}

#[tokio::test]
async fn each_tenant_keeps_its_own_time_and_what_is_kept_goes_on_verifying() {
    let bank = Bank::new();
    let boot = bank.open().await;
    let mut made = Vec::new();
    for nth in 0..7 {
        made.push(claims(&boot, nth).await);
        bank.pass(&boot, 1).await;
    }
    snapshots(&boot).await;
    drop(boot);
    // Before and after a restart: 7 days on, claim n is 7 - n days old. Marks are
    // a day apart, so what is a day older than the limit is surely gone.
    let boot = bank.open().await;
    for (nth, [a, b]) in made.iter().enumerate() {
        let age = 7 - nth as u64;
        for (tenant, id, keep) in [(tenant(), a, 2), (other(), b, 5)] {
            let fetched = fetch(&boot, &tenant, *id).await;
            match age {
                age if age < keep => assert!(fetched.is_ok(), "{age} {keep} {fetched:?}"),
                age if age > keep + 1 => assert!(expired(&fetched), "{age} {keep} {fetched:?}"),
                _ => assert!(fetched.is_ok() || expired(&fetched), "{fetched:?}"),
            }
        }
    }
    let firsts = [TENANT, OTHER, APPLIANCE].map(|ledger| bank.store.first(ledger));
    assert!(
        firsts[0] > firsts[1] && firsts.iter().all(|first| *first > 0),
        "{firsts:?}"
    );
    for tenant in [tenant(), other()] {
        let page = boot.ledgers.page(&tenant, 0, 64).await.unwrap();
        assert!(page.kept_from > 0 && page.from == page.kept_from);
        assert_eq!(page.size, page.from + page.entries.len() as u64);
    }
    assert!(boot.halted.lock().unwrap().is_none());
}

#[tokio::test]
async fn old_entries_go_without_anybody_asking_for_a_snapshot() {
    let bank = Bank::new();
    let boot = bank.open().await;
    let [old, _] = claims(&boot, 1).await;
    bank.pass(&boot, 1).await;
    bank.pass(&boot, 3).await;
    let mut waited = 0;
    while bank.store.first(TENANT) == 0 {
        // A snapshot is kept until the next one, to fall back on; it is an hour away.
        bank.clock.fetch_add(HOUR, Relaxed);
        users(&boot).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        waited += 1;
        assert!(waited < 3000, "nothing was let go");
    }
    assert!(expired(&fetch(&boot, &tenant(), old).await));
}

#[tokio::test]
async fn dropped_entries_cannot_be_needed_again_and_a_lost_snapshot_is_refused() {
    let (bank, boot) = Bank::that_let_go().await;
    let [young, _] = claims(&boot, 2).await;
    drop(boot);
    for _ in 0..2 {
        let again = bank.open().await;
        fetch(&again, &tenant(), young).await.unwrap();
    }
    bank.store.disk.lock().unwrap().latest.clear();
    let lost = bank.try_open().await.err().unwrap();
    assert!(
        matches!(lost, NotOpened::Replay(ReplayError::Store(_))),
        "{lost}"
    );
}

#[tokio::test]
async fn what_went_is_not_needed_by_the_snapshot_to_fall_back_on() {
    let (bank, boot) = Bank::that_let_go().await;
    let [young, _] = claims(&boot, 2).await;
    drop(boot);
    {
        let mut disk = bank.store.disk.lock().unwrap();
        let newest = disk.latest[0];
        disk.blobs.remove(&newest).unwrap();
    }
    let again = bank.open().await;
    fetch(&again, &tenant(), young).await.unwrap();
}

#[tokio::test]
async fn a_store_that_did_not_hear_of_a_drop_is_told_again() {
    let (bank, boot) = Bank::that_let_go().await;
    let told = bank.store.first(TENANT);
    bank.store.disk.lock().unwrap().first.clear();
    snapshot(&boot).await;
    assert_eq!(bank.store.first(TENANT), told);
}

#[tokio::test]
async fn without_a_setting_nothing_is_ever_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = FakeStore::default();
    let clock = Arc::new(AtomicU64::new(1000));
    let opening = Opening {
        clock: clock.clone(),
        ..Opening::default()
    };
    let boot = open(store.serve(dir.path()).await, opening).await.unwrap();
    let command = facial("customer-1", 1);
    let outcome = boot.ledgers.decide(&tenant(), command).await.unwrap();
    let id = receipt_id(&outcome.claim.unwrap());
    for _ in 0..3 {
        clock.fetch_add(9000 * DAY, Relaxed);
        snapshot(&boot).await;
    }
    fetch(&boot, &tenant(), id).await.unwrap();
    assert_eq!(store.first(TENANT), 0);
}
