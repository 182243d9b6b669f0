//! Shares of the epoch secret: left, fetched, deleted.

use redoubt_attestation::binding::Purpose;
use redoubt_attestation::encode::b64u;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::shares::{EpochShare, combine_epoch_secret, split_epoch_secret};
use redoubt_enclave::peers::{Custodian, EpochEvidence, PeerError};
use redoubt_shared::LedgerId;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use crate::bench::{Bench, Boot, appliance};

/// A boot with its documents.
struct Speaker<'a> {
    boot: &'a Boot,
    serve: (Vec<u8>, Vec<u8>),
    kms: (Vec<u8>, Vec<u8>),
}

impl<'a> Speaker<'a> {
    fn new(bench: &Bench, boot: &'a Boot) -> Self {
        Self {
            boot,
            serve: bench.attest(&bench.binding(boot, Purpose::Serve)),
            kms: bench.attest(&bench.binding(boot, Purpose::Kms)),
        }
    }

    async fn deposit(
        &self,
        custodian: &Custodian,
        epoch: u32,
        share: &EpochShare,
    ) -> Result<(), PeerError> {
        let evidence = evidence(&self.serve, self.boot);
        custodian
            .deposit(&evidence, appliance(), epoch, 2, share)
            .await
    }

    async fn release(&self, custodian: &Custodian, epoch: u32) -> Result<EpochShare, PeerError> {
        let evidence = evidence(&self.kms, self.boot);
        let released = custodian
            .release(&evidence, appliance(), epoch, &self.boot.keys.unseal)
            .await?;
        assert_eq!(released.threshold, 2);
        Ok(released.share)
    }

    async fn retire(&self, custodian: &Custodian, below: u32) -> Result<u64, PeerError> {
        let evidence = evidence(&self.serve, self.boot);
        let signed = custodian.retire(&evidence, appliance(), below).await?;
        let deletion = signed.verify(custodian.entry()).unwrap();
        assert_eq!((deletion.below, deletion.appliance), (below, appliance()));
        Ok(deletion.time_ms)
    }
}

/// What a document proves, with statements signed by a boot's key.
fn evidence<'a>((document, preimage): &(Vec<u8>, Vec<u8>), boot: &'a Boot) -> EpochEvidence<'a> {
    EpochEvidence {
        document: document.clone(),
        preimage: preimage.clone(),
        genesis: vec![],
        signer: &boot.keys.receipt,
    }
}

fn status<T>(result: Result<T, PeerError>) -> u16 {
    match result {
        Err(PeerError::Refused { status, .. }) => status,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was accepted"),
    }
}

fn split(secret: u8) -> Vec<EpochShare> {
    split_epoch_secret(&[secret; 32], 2, 3, &SystemEntropy).unwrap()
}

async fn deposit_all(
    speaker: &Speaker<'_>,
    custodians: &[Arc<Custodian>],
    epoch: u32,
    shares: &[EpochShare],
) {
    for (custodian, share) in custodians.iter().zip(shares) {
        speaker.deposit(custodian, epoch, share).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_of_custodians_restores_the_epoch_secret_at_another_boot() {
    let mut bench = Bench::new(3).await;
    let (first, second) = (Boot::new(1), Boot::new(2));
    let custodians = bench.client().custodians();
    deposit_all(&Speaker::new(&bench, &first), &custodians, 0, &split(7)).await;
    // One is gone for good, the others restart.
    for at in 0..3 {
        bench.stop(at).await;
    }
    bench.start(0).await;
    bench.start(2).await;
    let speaker = Speaker::new(&bench, &second);
    let mut shares = Vec::new();
    for custodian in [&custodians[0], &custodians[2]] {
        shares.push(speaker.release(custodian, 0).await.unwrap());
    }
    assert!(matches!(
        speaker.release(&custodians[1], 0).await,
        Err(PeerError::Unreachable { .. })
    ));
    assert_eq!([shares[0].index, shares[1].index], [1, 3]);
    assert_eq!(**combine_epoch_secret(&shares, 2).unwrap(), [7; 32]);
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_their_owners_files_and_gone_after_retirement() {
    let mut bench = Bench::new(3).await;
    let boot = Boot::new(1);
    let speaker = Speaker::new(&bench, &boot);
    let custodians = bench.client().custodians();
    let (old, new) = (split(1), split(2));
    deposit_all(&speaker, &custodians, 1, &old).await;
    deposit_all(&speaker, &custodians, 2, &new).await;
    let files = bench.peers[0].share_files();
    assert_eq!(files.len(), 2);
    for file in &files {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let text = b64u(old[0].expose_value());
    let path = files
        .iter()
        .find(|file| std::fs::read_to_string(file).unwrap() == text)
        .unwrap();
    let same_blocks = bench.peers[0].dir.path().join("same-blocks");
    std::fs::hard_link(path, &same_blocks).unwrap();
    assert!(speaker.retire(&custodians[0], 2).await.unwrap() > 0);
    assert_eq!(bench.peers[0].share_files().len(), 1);
    assert!(std::fs::read(&same_blocks).unwrap().iter().all(|b| *b == 0));
    assert_eq!(status(speaker.release(&custodians[0], 1).await), 410);
    assert_eq!(
        status(speaker.deposit(&custodians[0], 1, &old[0]).await),
        410
    );
    // Nor after a restart, nor by a later term.
    bench.stop(0).await;
    bench.start(0).await;
    let later = Boot::new(2);
    let later = Speaker::new(&bench, &later);
    assert_eq!(status(later.deposit(&custodians[0], 1, &old[0]).await), 410);
    let kept = later.release(&custodians[0], 2).await.unwrap();
    assert_eq!(kept.expose_value(), new[0].expose_value());
    // A retirement that is asked again is stated again.
    later.retire(&custodians[0], 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_written_before_a_crash_but_never_recorded_is_erased_at_start() {
    let mut bench = Bench::new(3).await;
    let boot = Boot::new(1);
    let speaker = Speaker::new(&bench, &boot);
    let custodian = &bench.client().custodians()[0];
    speaker.deposit(custodian, 0, &split(1)[0]).await.unwrap();
    bench.stop(0).await;
    let folder = bench.peers[0].share_files()[0].parent().unwrap().to_owned();
    std::fs::write(folder.join("0-feed.share"), "left behind").unwrap();
    bench.start(0).await;
    assert_eq!(bench.peers[0].share_files().len(), 1);
    speaker.release(custodian, 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_replaced_until_it_was_released() {
    let bench = Bench::new(3).await;
    let (boot, older) = (Boot::new(5), Boot::new(4));
    let speaker = Speaker::new(&bench, &boot);
    let custodian = &bench.client().custodians()[1];
    let (first, second, third) = (split(1), split(2), split(3));
    speaker.deposit(custodian, 1, &first[1]).await.unwrap();
    speaker.deposit(custodian, 1, &second[1]).await.unwrap();
    assert_eq!(bench.peers[1].share_files().len(), 1);
    // The host replays the first deposit; an older boot leaves another.
    assert_eq!(status(speaker.deposit(custodian, 1, &first[1]).await), 409);
    let stale = Speaker::new(&bench, &older);
    assert_eq!(status(stale.deposit(custodian, 1, &third[1]).await), 403);
    assert_eq!(status(stale.retire(custodian, 2).await), 403);
    let released = speaker.release(custodian, 1).await.unwrap();
    assert_eq!(released.expose_value(), second[1].expose_value());
    assert_eq!(status(speaker.deposit(custodian, 1, &third[1]).await), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custodian_believes_only_what_an_attested_boot_signed() {
    let bench = Bench::new(3).await;
    let (boot, other) = (Boot::new(1), Boot::new(1));
    let speaker = Speaker::new(&bench, &boot);
    let custodian = &bench.client().custodians()[0];
    let shares = split(1);
    // Signed by another boot's key.
    let forged = evidence(&speaker.serve, &other);
    let result = custodian
        .deposit(&forged, appliance(), 0, 2, &shares[0])
        .await;
    assert_eq!(status(result), 403);
    // About another appliance, at another place, with another threshold.
    let good = evidence(&speaker.serve, &boot);
    let elsewhere = LedgerId::from_bytes([1; 16]);
    let result = custodian.deposit(&good, elsewhere, 0, 2, &shares[0]).await;
    assert_eq!(status(result), 403);
    let result = custodian
        .deposit(&good, appliance(), 0, 2, &shares[1])
        .await;
    assert_eq!(status(result), 400);
    let result = custodian
        .deposit(&good, appliance(), 0, 1, &shares[0])
        .await;
    assert_eq!(status(result), 400);
    speaker.deposit(custodian, 0, &shares[0]).await.unwrap();
    // A release wants a document made for it.
    let result = custodian
        .release(&good, appliance(), 0, &boot.keys.unseal)
        .await;
    assert_eq!(status(result), 403);
    let unknown = speaker.release(custodian, 3).await;
    assert_eq!(status(unknown), 404);
    // What is released opens at that boot only.
    let kms = evidence(&speaker.kms, &boot);
    let result = custodian
        .release(&kms, appliance(), 0, &other.keys.unseal)
        .await;
    assert!(matches!(result, Err(PeerError::Malformed { .. })));
}
