//! How much the ceremony adds to the one signature verification it cannot do
//! without. The floor here is loose, since tests share their processors;
//! `--nocapture` prints the figure.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::authenticator::*;
use super::expectations::*;

/// `calls` of `work`, per call.
fn round(calls: u32, mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..calls).for_each(|_| work());
    start.elapsed() / calls
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
    // Side by side and the best of many: a round that was disturbed says nothing.
    let rate = |_| {
        let bare = round(20, || key.verify(&signed, signature).unwrap());
        let ours = round(20, || drop(login.run(&response).unwrap()));
        bare.as_secs_f64() / ours.as_secs_f64()
    };
    let mut rates: Vec<f64> = (0..60).map(rate).collect();
    rates.sort_by(f64::total_cmp);
    let [middle, best] = [rates[rates.len() / 2], rates[rates.len() - 6]];
    println!("rate {middle:.3} of bare in the median, {best:.3} in the best tenth");
    assert!(best > 0.6, "{rates:?}");
}
