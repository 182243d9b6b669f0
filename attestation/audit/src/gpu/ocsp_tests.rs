//! Answers about certificates, by honest responders and others.

use proptest::prelude::*;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer};
use x509_cert::der::asn1::{Null, OctetString};
use x509_ocsp::{ResponseData, RevokedInfo};

use super::responders::*;
use super::*;

#[test]
fn good_answers_by_the_issuers_or_their_responders_are_accepted() {
    let chain = Chain::new();
    let [low, high] = chain.good();
    assert_eq!(chain.code(&[low.clone(), high.clone()]), "good");
    let responder = Party::new("responder", 9, Kind::Responder, Some(&chain.authority));
    assert_eq!(
        chain.code(&[low.clone().by(&responder), high.clone()]),
        "good"
    );
    // Named by its key, another hash in the id, no nextUpdate, several answers in one.
    let key = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        &chain.authority.read().key().unwrap(),
    );
    let key = OctetString::new(key.as_ref().to_vec()).unwrap();
    let other = Party::new("other", 7, Kind::Device, Some(&chain.authority));
    let said = low.with(|data| {
        data.responder_id = ResponderId::ByKey(key);
        data.responses[0].cert_id = id(&chain.provisioner, &chain.authority, SHA384);
        data.responses[0].next_update = None;
        let mut revoked = data.responses[0].clone();
        revoked.cert_id = id(&other, &chain.authority, SHA1);
        revoked.cert_status = CertStatus::unknown();
        data.responses.push(revoked);
    });
    assert_eq!(chain.code(&[said, high]), "good");
    // Nothing in between: the device's own certificate is asked about.
    let device = Party::new("device", 4, Kind::Device, Some(&chain.root));
    let short = [device.der.clone(), chain.root.der.clone()];
    assert_eq!(code(&short, &[Said::new(&device, &chain.root)]), "good");
    assert_eq!(code(&short, &[]), "ocsp_missing");
}

#[test]
fn whatever_is_not_good_is_refused_under_its_own_name() {
    let chain = Chain::new();
    let [low, high] = chain.good();
    let bent =
        |change: &dyn Fn(&mut SingleResponse)| chain.code(&[low.single(change), high.clone()]);
    let revoked = |reason| {
        CertStatus::revoked(RevokedInfo {
            revocation_time: time(600),
            revocation_reason: reason,
        })
    };
    let hold = revoked(Some(pkix::CrlReason::CertificateHold));
    assert_eq!(bent(&|s| s.cert_status = hold), "certificate_revoked");
    assert_eq!(
        bent(&|s| s.cert_status = revoked(None)),
        "certificate_revoked"
    );
    assert_eq!(
        bent(&|s| s.cert_status = CertStatus::Unknown(Null)),
        "ocsp_unknown"
    );
    assert_eq!(bent(&|s| s.this_update = time(1)), "ocsp_time");
    assert_eq!(bent(&|s| s.next_update = Some(time(-1))), "ocsp_time");
    let hour = |s: &mut SingleResponse| {
        (s.this_update, s.next_update) = (time(-3601), None);
    };
    assert_eq!(bent(&hour), "ocsp_time");
    let critical = |s: &mut SingleResponse| s.single_extensions = Some(vec![extension(true)]);
    assert_eq!(bent(&critical), "ocsp_malformed");
    let whole = |change: &dyn Fn(&mut ResponseData)| chain.code(&[low.with(change), high.clone()]);
    assert_eq!(whole(&|d| d.produced_at = time(1)), "ocsp_time");
    let extended = |critical| {
        move |d: &mut ResponseData| {
            d.response_extensions = Some(vec![extension(critical)]);
        }
    };
    assert_eq!(whole(&extended(true)), "ocsp_malformed");
    assert_eq!(whole(&extended(false)), "good");
    // About somebody else: another serial number, issuer or hash.
    assert_eq!(chain.code(std::slice::from_ref(&high)), "ocsp_missing");
    assert_eq!(chain.code(std::slice::from_ref(&low)), "ocsp_missing");
    let strangers = Chain::new();
    assert_eq!(chain.code(&strangers.good()), "ocsp_missing");
    let about = |id: CertId| bent(&|s| s.cert_id = id.clone());
    assert_eq!(
        about(id(&chain.device, &chain.authority, SHA1)),
        "ocsp_missing"
    );
    assert_eq!(
        about(id(&chain.provisioner, &chain.root, SHA1)),
        "ocsp_missing"
    );
    assert_eq!(
        bent(&|s| s.cert_id.hash_algorithm = algorithm("2.16.840.1.101.3.4.2.3")),
        "ocsp_missing"
    );
    // One revoked answer among good ones.
    let twice = [
        low.clone(),
        high.clone(),
        low.single(|s| s.cert_status = revoked(None)),
    ];
    assert_eq!(chain.code(&twice), "certificate_revoked");
}

fn extension(critical: bool) -> Extension {
    Extension {
        extn_id: oid("1.3.6.1.5.5.7.48.1.2"),
        critical,
        extn_value: OctetString::new(vec![4, 1, 0]).unwrap(),
    }
}

#[test]
fn answers_by_somebody_else_count_for_nothing() {
    let chain = Chain::new();
    let [low, high] = chain.good();
    let by = |responder: &Party| chain.code(&[low.clone().by(responder), high.clone()]);
    let named = |kind, by| Party::new("responder", 9, kind, Some(by));
    // Of another authority, of nobody, without the right, an authority itself.
    assert_eq!(by(&named(Kind::Responder, &chain.root)), "ocsp_responder");
    assert_eq!(
        by(&Party::new("responder", 9, Kind::Responder, None)),
        "ocsp_responder"
    );
    assert_eq!(by(&named(Kind::Device, &chain.authority)), "ocsp_responder");
    assert_eq!(
        by(&named(Kind::Authority, &chain.authority)),
        "ocsp_responder"
    );
    assert_eq!(by(&chain.provisioner), "ocsp_responder");
    assert_eq!(by(&chain.root), "ocsp_responder");
    // Under another name than its own, by another algorithm than it says.
    let right = named(Kind::Responder, &chain.authority);
    let issuer = low.data.responder_id.clone();
    let said = low
        .clone()
        .by(&right)
        .with(|data| data.responder_id = issuer);
    assert_eq!(chain.code(&[said, high.clone()]), "ocsp_responder");
    let mut said = low.clone();
    said.signature = "1.2.840.10045.4.3.2";
    assert_eq!(chain.code(&[said, high.clone()]), "ocsp_responder");
    // Out of its time.
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let by_authority = Issuer::from_params(&chain.authority.params, &chain.authority.key);
    let der = params
        .signed_by(&right.key, &by_authority)
        .unwrap()
        .der()
        .to_vec();
    let late = Party {
        der,
        params,
        key: right.key,
    };
    assert_eq!(chain.code(&[low.by(&late), high]), "ocsp_responder");
}

#[test]
fn a_chain_out_of_order_has_no_issuer_to_ask() {
    let chain = Chain::new();
    // An authority of the same name, whose answers say what it likes.
    let impostor = Party::new("authority", 2, Kind::Authority, Some(&chain.root));
    let said = [
        Said::new(&chain.provisioner, &impostor),
        Said::new(&impostor, &chain.root),
        Said::new(&chain.authority, &chain.root),
    ];
    let mut der = chain.der();
    der.insert(2, impostor.der.clone());
    assert_eq!(code(&der, &said), "certificate_order");
    let mut der = chain.der();
    der.swap(1, 2);
    assert_eq!(code(&der, &chain.good()), "certificate_order");
    der[1].truncate(9);
    assert_eq!(code(&der, &chain.good()), "certificate_order");
}

#[test]
fn what_is_no_answer_is_refused() {
    let chain = Chain::new();
    let [low, _] = chain.good();
    let mut later = low.clone();
    later.status = OcspResponseStatus::TryLater;
    assert_eq!(chain.code(&[later]), "ocsp_no_answer");
    let parse = |bytes: &[u8]| Answer::parse(0, bytes).map_err(|refusal| refusal.code());
    let good = low.der();
    assert!(parse(&good).is_ok());
    for end in 0..good.len() {
        assert_eq!(parse(&good[..end]).unwrap_err(), "ocsp_malformed", "{end}");
    }
    assert_eq!(
        parse(&[&good[..], &[0]].concat()).unwrap_err(),
        "ocsp_malformed"
    );
    assert_eq!(
        parse(&vec![0; RESPONSE_MAX + 1]).unwrap_err(),
        "ocsp_malformed"
    );
    // RFC 6960 §4.2.1: a failure is five bytes.
    assert_eq!(parse(&[0x30, 3, 0x0a, 1, 3]).unwrap_err(), "ocsp_no_answer");
    assert_eq!(parse(&[0x30, 3, 0x0a, 1, 0]).unwrap_err(), "ocsp_malformed");
}

#[test]
fn no_flipped_bit_of_an_answer_is_accepted() {
    let chain = Chain::new();
    let [low, high] = chain.good();
    let responder = Party::new("responder", 9, Kind::Responder, Some(&chain.authority));
    let (low, high) = (low.by(&responder).der(), high.der());
    let high = Answer::parse(1, &high).unwrap();
    for at in 0..low.len() {
        let mut bent = low.clone();
        bent[at] ^= 1 << (at % 8);
        let Ok(answer) = Answer::parse(0, &bent) else {
            continue;
        };
        let checked = check(&chain.der(), &[answer, high.clone()], NOW_S * 1000);
        assert!(checked.is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Answer::parse(0, &bytes);
        let _ = Read::new(&bytes);
    }
}

#[test]
fn recorded_chains_are_in_order_and_miss_their_answers() {
    let Ok(vectors) = std::env::var("REDOUBT_VECTORS") else {
        println!(
            "skipped: recorded_chains_are_in_order_and_miss_their_answers: REDOUBT_VECTORS is not set"
        );
        return;
    };
    for name in ["hopper_evidence.json", "hopper_evidence_cert_hold.json"] {
        let path = std::path::Path::new(&vectors).join("nvidia").join(name);
        let bytes = std::fs::read(path).unwrap();
        let mut devices = redoubt_attestation::nvidia::GpuEvidence::parse_file(&bytes).unwrap();
        let device = devices.remove(0).unwrap();
        assert_eq!(code(&device.certificates, &[]), "ocsp_missing", "{name}");
    }
}
