//! How much the ceremony adds to the one signature verification it cannot do
//! without. The floor here is loose, since tests share their processors;
//! `--nocapture` prints the figure.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::authenticator::*;
use super::expectations::*;

/// The best of several rounds of `work`, per call.
fn best(rounds: usize, calls: u32, mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        start.elapsed() / calls
    };
    (0..rounds).map(round).min().unwrap()
}

#[test]
fn an_assertion_costs_little_more_than_its_signature() {
    let mut authenticator = Authenticator::new();
    let login = Login::of(&mut authenticator);
    let response = authenticator.assert();
    let signed = [
        response.response.authenticator_data.as_slice(),
        &sha256(response.response.client_data_json.as_slice()),
    ]
    .concat();
    let signature = response.response.signature.as_slice();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, authenticator.key.point());
    let bare = best(20, 50, || key.verify(&signed, signature).unwrap());
    let ours = best(20, 50, || drop(login.run(&response).unwrap()));
    let ratio = bare.as_secs_f64() / ours.as_secs_f64();
    println!("bare {bare:?}, ours {ours:?}, rate {ratio:.3} of bare");
    assert!(ratio > 0.6, "bare {bare:?}, ours {ours:?}");
}
