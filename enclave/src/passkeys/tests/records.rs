//! The stored form of a record: its bytes are a promise.

use super::authenticator::*;
use super::expectations::*;
use crate::passkeys::*;

fn record() -> CredentialRecord {
    CredentialRecord {
        id: vec![1, 2, 3],
        public_key: vec![0xa1, 0x01, 0x02],
        algorithm: Algorithm::MlDsa65,
        sign_count: 300,
        uv_initialized: true,
        transports: vec!["usb".to_owned()],
        backup_eligible: true,
        backup_state: false,
        attestation_format: AttestationFormat::Apple,
        attestation_trusted: true,
        aaguid: [0xab; 16],
        created_ms: 1_800_000_000_000,
    }
}

#[test]
fn the_first_stored_form_keeps_its_bytes() {
    let bytes = postcard::to_stdvec(&record()).unwrap();
    let golden = "00030102030\
                  3a101020eac02010103757362010006\
                  01abababababababababababababababab80a0f1c2b134";
    assert_eq!(hex::encode(&bytes), golden.replace(' ', ""));
    assert_eq!(
        postcard::from_bytes::<CredentialRecord>(&bytes).unwrap(),
        record()
    );
}

#[test]
fn stored_enumerations_keep_their_numbers() {
    let numbers: Vec<u8> = Algorithm::all()
        .map(|algorithm| postcard::to_stdvec(&algorithm).unwrap()[0])
        .collect();
    assert_eq!(numbers, (0..20).collect::<Vec<u8>>());
    let numbers: Vec<u8> = AttestationFormat::ALL
        .iter()
        .map(|format| postcard::to_stdvec(format).unwrap()[0])
        .collect();
    assert_eq!(numbers, (0..8).collect::<Vec<u8>>());
}

#[test]
fn a_record_of_an_unknown_form_is_refused() {
    let mut bytes = postcard::to_stdvec(&record()).unwrap();
    bytes[0] = 1;
    assert!(postcard::from_bytes::<CredentialRecord>(&bytes).is_err());
}

#[test]
fn records_survive_json_too() {
    let text = serde_json::to_string(&record()).unwrap();
    assert_eq!(
        serde_json::from_str::<CredentialRecord>(&text).unwrap(),
        record()
    );
}

#[test]
fn wire_json_is_the_specifications() {
    let rp = RpEntity {
        id: RP_ID.to_owned(),
        name: "Bank".to_owned(),
    };
    let user = UserEntity {
        id: USER_HANDLE.into(),
        name: "alice".to_owned(),
        display_name: "Alice".to_owned(),
    };
    let options = CreationOptions::passkey(rp, user, CHALLENGE, &[Algorithm::Es256]);
    let json = serde_json::to_value(&options).unwrap();
    assert_eq!(json["challenge"], Base64Url::from(CHALLENGE).encode());
    assert_eq!(
        json["pubKeyCredParams"],
        serde_json::json!([{"type": "public-key", "alg": -7}])
    );
    assert_eq!(json["user"]["displayName"], "Alice");
    assert_eq!(
        json["authenticatorSelection"]["userVerification"],
        "required"
    );
    let request = RequestOptions::passkey(
        RP_ID,
        CHALLENGE,
        vec![CredentialDescriptor::new(b"id", &[])],
    );
    let json = serde_json::to_value(&request).unwrap();
    assert_eq!(json["rpId"], RP_ID);
    assert_eq!(
        json["allowCredentials"],
        serde_json::json!([{"type": "public-key", "id": "aWQ"}])
    );
}

#[test]
fn responses_tolerate_members_that_nobody_needs_here() {
    let mut json = serde_json::to_value(Authenticator::new().register()).unwrap();
    json["clientExtensionResults"] = serde_json::json!({"credProps": {"rk": true}});
    json["authenticatorAttachment"] = "platform".into();
    json["response"]["publicKeyAlgorithm"] = (-7).into();
    json["response"]["authenticatorData"] = "AAAA".into();
    json["somethingNew"] = true.into();
    let response: RegistrationResponse = serde_json::from_value(json.clone()).unwrap();
    Registration::default().run(&response).unwrap();
    for spelling in ["AA==", "A+//", "AB", "A"] {
        json["rawId"] = spelling.into();
        assert!(
            serde_json::from_value::<RegistrationResponse>(json.clone()).is_err(),
            "{spelling}"
        );
    }
}
