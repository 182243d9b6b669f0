use super::*;
use crate::binding::Head;
use crate::entropy::SystemEntropy;
use proptest::prelude::*;

fn officers(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("officer-{i}")).collect()
}

fn split(k: u8, n: usize) -> (OfficersSecret, Vec<Share>) {
    let secret = OfficersSecret::generate(&SystemEntropy).unwrap();
    let shares = secret
        .split(k, &officers(n), 0, None, &SystemEntropy)
        .unwrap();
    (secret, shares)
}

fn aad(genesis: u8) -> UnsealAad {
    UnsealAad {
        document: Digest32([1; 32]),
        genesis: Digest32([genesis; 32]),
        counter: 1,
        head: Some(Head {
            size: 7,
            root: Digest32([3; 32]),
        }),
    }
}

fn refusal(result: Result<OfficersSecret, ShareError>) -> ShareError {
    result.err().expect("these shares must be refused")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_k_shares_restore_the_secret(k in 1u8..6, extra in 0usize..4, seed in any::<u64>()) {
        let n = usize::from(k) + extra;
        let (secret, mut shares) = split(k, n);
        // A permutation drawn by the test runner.
        shares.sort_by_key(|s| (u64::from(s.index) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        shares.truncate(k.into());
        let again = OfficersSecret::combine(&shares, &secret.commitment()).unwrap();
        prop_assert_eq!(again.expose_secret(), secret.expose_secret());
    }

    #[test]
    fn no_bytes_make_the_share_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Share::parse(&bytes);
    }
}

#[test]
fn fewer_than_k_shares_are_refused_and_say_nothing() {
    let (secret, mut shares) = split(3, 5);
    shares.truncate(2);
    assert!(matches!(
        refusal(OfficersSecret::combine(&shares, &secret.commitment())),
        ShareError::TooFew { have: 2, need: 3 }
    ));
    // Even interpolated, two of three points give another value.
    let points: Vec<_> = shares.iter().map(|s| (s.index, &*s.value)).collect();
    assert_ne!(&**shamir::combine(&points), secret.expose_secret());
}

#[test]
fn a_forged_repeated_or_foreign_share_is_refused() {
    let (secret, mut shares) = split(2, 3);
    let commitment = secret.commitment();
    let (_, mut others) = split(2, 3);
    let mixed = [shares.remove(0), others.remove(1)];
    assert!(matches!(
        refusal(OfficersSecret::combine(&mixed, &commitment)),
        ShareError::OtherSecret
    ));
    let twice = [
        Share::parse(&mixed[0].expose_json()).unwrap(),
        Share::parse(&mixed[0].expose_json()).unwrap(),
    ];
    assert!(matches!(
        refusal(OfficersSecret::combine(&twice, &commitment)),
        ShareError::Repeated(1)
    ));
    let (_, mut three) = split(3, 3);
    let uneven = [shares.remove(0), three.remove(0)];
    assert!(matches!(
        refusal(OfficersSecret::combine(&uneven, &commitment)),
        ShareError::Mixed("k")
    ));
}

#[test]
fn a_threshold_out_of_range_is_refused() {
    let secret = OfficersSecret::generate(&SystemEntropy).unwrap();
    for (k, n) in [(0, 1), (2, 1), (1, 0), (1, 256)] {
        assert!(matches!(
            secret.split(k, &officers(n), 0, None, &SystemEntropy),
            Err(ShareError::Threshold { .. })
        ));
    }
}

#[test]
fn a_share_file_reads_back_and_a_malformed_one_is_refused() {
    let (_, shares) = split(2, 3);
    let json = shares[1].expose_json();
    let again = Share::parse(&json).unwrap();
    assert_eq!((again.index, again.k, again.n), (2, 2, 3));
    assert_eq!(again.value, shares[1].value);
    let text = String::from_utf8(json.to_vec()).unwrap();
    for (from, to) in [
        ("\"index\":2", "\"index\":0"),
        ("\"index\":2", "\"index\":4"),
        ("v1", "v2"),
        ("\"k\":2", "\"k\":4"),
    ] {
        assert!(
            Share::parse(text.replace(from, to).as_bytes()).is_err(),
            "{to}"
        );
    }
}

#[test]
fn a_sealed_share_opens_at_its_boot_only() {
    let (_, shares) = split(1, 1);
    let key = UnsealKey::generate(&SystemEntropy).unwrap();
    assert_eq!(key.public().len(), 1216);
    let sealed = seal_share(&shares[0], key.public(), &aad(2), &SystemEntropy).unwrap();
    assert_eq!(sealed.enc.len(), 1120);
    let opened = open_share(&key, &sealed).unwrap();
    assert_eq!(opened.aad, aad(2));
    assert_eq!(opened.share.value, shares[0].value);
    let other = UnsealKey::generate(&SystemEntropy).unwrap();
    assert!(matches!(
        open_share(&other, &sealed),
        Err(ShareError::NotForThisBoot)
    ));
}

#[test]
fn a_share_under_changed_data_does_not_open() {
    let (_, shares) = split(1, 1);
    let key = UnsealKey::generate(&SystemEntropy).unwrap();
    let sealed = seal_share(&shares[0], key.public(), &aad(2), &SystemEntropy).unwrap();
    let mut bent = sealed.clone();
    bent.aad = serde_json::to_vec(&aad(9)).unwrap();
    assert!(matches!(
        open_share(&key, &bent),
        Err(ShareError::NotForThisBoot)
    ));
    let mut bent = sealed.clone();
    bent.ciphertext[0] ^= 1;
    assert!(matches!(
        open_share(&key, &bent),
        Err(ShareError::NotForThisBoot)
    ));
    let mut bent = sealed.clone();
    bent.enc.pop();
    assert!(matches!(
        open_share(&key, &bent),
        Err(ShareError::NotForThisBoot)
    ));
    let mut bent = sealed;
    bent.officer = "somebody-else".into();
    assert!(matches!(
        open_share(&key, &bent),
        Err(ShareError::Mixed("officer"))
    ));
    assert!(matches!(
        seal_share(&shares[0], &[0; 32], &aad(2), &SystemEntropy),
        Err(ShareError::RecipientKey)
    ));
}

#[test]
fn officers_who_saw_different_heads_do_not_agree() {
    let first = aad(2);
    assert!(first.agrees_with(&UnsealAad {
        document: Digest32([9; 32]),
        ..aad(2)
    }));
    assert!(!first.agrees_with(&aad(3)));
    assert!(!first.agrees_with(&UnsealAad {
        head: None,
        ..aad(2)
    }));
    assert!(!first.agrees_with(&UnsealAad {
        counter: 2,
        ..aad(2)
    }));
}
