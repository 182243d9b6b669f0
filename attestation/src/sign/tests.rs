use super::jws::JwsSignature;
use super::*;
use crate::encode::{from_b64u, from_hex};
use crate::entropy::{Entropy, EntropyError, SystemEntropy};
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk};

struct Fixed(u8);
impl Entropy for Fixed {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(self.0);
        Ok(())
    }
}
struct Broken;
impl Entropy for Broken {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError("no device".into()))
    }
}

#[test]
fn each_signature_verifies_in_both_implementations_and_no_other_does() {
    let signer = HybridSigner::generate(&SystemEntropy).unwrap();
    let (ec, akp) = signer.jwks();
    let es256 = signer.sign_es256(b"message").unwrap();
    both::verify_es256(ec, b"message", &es256).unwrap();
    assert!(native::verify_es256(ec, b"Message", &es256).is_err());
    assert!(independent::verify_es256(ec, b"Message", &es256).is_err());
    let ml = signer.sign_ml_dsa_65(b"message").unwrap();
    both::verify_ml_dsa_65(akp, b"message", &ml).unwrap();
    for at in [0, 47, 1000, ml.len() - 1] {
        let mut bent = ml.clone();
        bent[at] ^= 1;
        assert!(
            native::verify_ml_dsa_65(akp, b"message", &bent).is_err(),
            "{at}"
        );
        assert!(
            independent::verify_ml_dsa_65(akp, b"message", &bent).is_err(),
            "{at}"
        );
    }
    let ed = Ed25519Signer::generate(&SystemEntropy).unwrap();
    let signature = ed.sign(b"message").unwrap();
    both::verify_ed25519(ed.jwk(), b"message", &signature).unwrap();
    assert!(native::verify_ed25519(ed.jwk(), b"", &signature).is_err());
    assert!(independent::verify_ed25519(ed.jwk(), b"", &signature).is_err());
}

#[test]
fn keys_come_back_from_their_seeds() {
    let first = HybridSigner::generate(&SystemEntropy).unwrap();
    let seeds = first.expose_seeds();
    let again = HybridSigner::from_seeds(HybridSeeds::new(
        seeds.expose_es256(),
        seeds.expose_mldsa65(),
    ))
    .unwrap();
    assert_eq!(first.jwks(), again.jwks());
    let officer = Es256Signer::generate(&SystemEntropy).unwrap();
    let again = Es256Signer::from_pkcs8_pem(&officer.expose_pkcs8_pem().unwrap()).unwrap();
    assert_eq!(officer.jwk(), again.jwk());
}

#[test]
fn a_failing_or_stuck_source_of_entropy_makes_no_key() {
    assert!(matches!(
        HybridSigner::generate(&Broken),
        Err(SignerError::Entropy(_))
    ));
    // Zero and 2^256 - 1 are no P-256 scalars.
    assert!(matches!(
        HybridSigner::generate(&Fixed(0)),
        Err(SignerError::Entropy(_))
    ));
    assert!(matches!(
        Es256Signer::generate(&Fixed(0xff)),
        Err(SignerError::Entropy(_))
    ));
}

#[test]
fn a_key_off_the_curve_verifies_nothing() {
    let off = EcP256Jwk::from_sec1(&[[4].as_slice(), &[1; 64]].concat()).unwrap();
    assert!(native::verify_es256(&off, b"", &[1; 64]).is_err());
    assert!(independent::verify_es256(&off, b"", &[1; 64]).is_err());
}

#[test]
fn a_hybrid_jws_names_both_keys() {
    let signer = HybridSigner::generate(&SystemEntropy).unwrap();
    let [es256, mldsa65] = signer.sign_jws(b"{}", "test+jws").unwrap();
    let header = es256.header().unwrap();
    assert_eq!(
        (header.alg.as_str(), header.typ.as_deref()),
        ("ES256", Some("test+jws"))
    );
    assert_eq!(header.kid, signer.jwks().0.kid());
    both::verify_es256(
        signer.jwks().0,
        &es256.signing_input(b"{}"),
        &es256.signature_bytes().unwrap(),
    )
    .unwrap();
    assert_eq!(mldsa65.header().unwrap().kid, signer.jwks().1.kid());
    both::verify_ml_dsa_65(
        signer.jwks().1,
        &mldsa65.signing_input(b"{}"),
        &mldsa65.signature_bytes().unwrap(),
    )
    .unwrap();
}

#[test]
fn the_rfc_9964_example_verifies_and_its_key_id_is_reproduced() {
    let Ok(vectors) = std::env::var("REDOUBT_VECTORS") else {
        println!(
            "skipped: the_rfc_9964_example_verifies_and_its_key_id_is_reproduced: REDOUBT_VECTORS is not set"
        );
        return;
    };
    let text = std::fs::read(format!("{vectors}/jose/ML_DSA_65.jose.json")).unwrap();
    let vector: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let seed = from_hex(vector["priv"].as_str().unwrap()).unwrap();
    let public = from_hex(vector["raw_public_key"].as_str().unwrap()).unwrap();
    let signer =
        HybridSigner::from_seeds(HybridSeeds::new(&[1; 32], &seed.try_into().unwrap())).unwrap();
    let jwk = AkpMlDsa65Jwk::from_bytes(&public).unwrap();
    assert_eq!(
        signer.jwks().1,
        &jwk,
        "the seed gives the public key of the example"
    );
    assert_eq!(jwk.kid(), vector["jwk"]["kid"].as_str().unwrap());
    let mut parts = vector["jws"].as_str().unwrap().split('.');
    let signature = JwsSignature {
        protected: parts.next().unwrap().to_owned(),
        signature: String::new(),
    };
    let payload = from_b64u(parts.next().unwrap()).unwrap();
    let bytes = from_b64u(parts.next().unwrap()).unwrap();
    assert_eq!(
        signature.signing_input(&payload),
        from_hex(vector["raw_to_be_signed"].as_str().unwrap()).unwrap()
    );
    both::verify_ml_dsa_65(&jwk, &signature.signing_input(&payload), &bytes).unwrap();
    let text = std::fs::read(format!("{vectors}/jose/ML_DSA_65.cose.json")).unwrap();
    let vector: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let hex = |name: &str| from_hex(vector[name].as_str().unwrap()).unwrap();
    both::verify_ml_dsa_65(&jwk, &hex("raw_to_be_signed"), &hex("raw_signature")).unwrap();
}
