use super::*;

#[test]
fn without_a_device_the_hardware_attester_is_an_error_and_nothing_else() {
    if std::path::Path::new("/dev/nsm").exists() {
        println!(
            "skipped: without_a_device_the_hardware_attester_is_an_error_and_nothing_else: /dev/nsm is here"
        );
        return;
    }
    let error = NsmAttester::open().unwrap_err();
    assert!(matches!(error, AttesterError::NoDevice { .. }));
    assert!(
        error.to_string().contains("there is no fall-back"),
        "{error}"
    );
}

#[test]
fn measurements_are_those_of_an_extended_register() {
    let pcrs = measure(b"program");
    assert_eq!(pcrs.get(0), pcrs.get(2));
    assert_ne!(pcrs.get(0), measure(b"programs").get(0));
    assert_eq!(pcrs.get(1), measure(b"other").get(1));
    assert_eq!(pcrs.get(3), Some(&[0; 48][..]));
    assert_eq!(pcrs.0.len(), 16);
    assert!(!pcrs.is_debug());
    // SHA384(48 zero bytes || SHA384("redoubt emulated kernel")), computed elsewhere.
    assert_eq!(hex::encode(&pcrs.get(1).unwrap()[..8]), "396f2fd84a1e3c78");
}

#[test]
fn a_key_that_is_not_the_roots_or_no_root_at_all_is_refused() {
    let (cert, _) = emulated_root("one").unwrap();
    assert!(EmulatedAttester::dangerous_new("", "", b"", 0).is_err());
    assert!(EmulatedAttester::dangerous_new(&cert, "no key", b"", 0).is_err());
}

#[test]
fn an_offset_beyond_all_time_is_an_error() {
    let (cert, key) = emulated_root("one").unwrap();
    let attester = EmulatedAttester::dangerous_new(&cert, &key, b"", i64::MIN).unwrap();
    assert!(matches!(
        attester.attest(&AttestRequest::default()),
        Err(AttesterError::Clock)
    ));
}

#[test]
fn one_leaf_serves_until_it_is_about_to_expire() {
    let (cert, key) = emulated_root("one").unwrap();
    let attester = EmulatedAttester::dangerous_new(&cert, &key, b"", 0).unwrap();
    let leaf = || {
        let bytes = attester.attest(&AttestRequest::default()).unwrap();
        document::Document::parse(&bytes).unwrap().certificate
    };
    assert_eq!(leaf(), leaf());
}
