//! Evidence of GPUs: the device's report, and the file it arrives in.

use redoubt_attestation::conformance::gpu_rows;
use redoubt_attestation::encode::{b64u, sha256};
use redoubt_attestation::genesis::anchor_der;
use redoubt_attestation::nvidia::{self, Expected, GpuEvidence};
use serde_json::json;

use super::{NOW_MS, Prepared, json_bytes};
use crate::paper::Paper;

/// An SPDM transcript with two measurements and three opaque fields.
fn spdm() -> Vec<u8> {
    let block = |index: u8| [&[index, 1, 51, 0, 1, 48, 0][..], &[index; 48]].concat();
    let record = [block(1), block(64)].concat();
    let opaque = [
        &[3, 0, 7, 0][..],
        b"590.12\0",
        &[6, 0, 8, 0, 0, 0xa5, 0, 0x96, 1, 0, 0, 0, 20, 0, 48, 0],
        &[3; 48],
    ];
    let opaque = opaque.concat();
    let length = (record.len() as u32).to_le_bytes();
    [
        &[0x11, 0xe0, 0x01, 0xff][..],
        &[7; 32],
        &[0, 0x11, 0x60, 0, 0, 2],
        &length[..3],
        &record,
        &[9; 32],
        &(opaque.len() as u16).to_le_bytes(),
        &opaque,
        &[1; 96],
    ]
    .concat()
}

pub(super) fn report() -> Prepared {
    let root = anchor_der(&Paper::new().root)
        .expect("a root of our own is PEM")
        .to_vec();
    let expected_root = sha256(&[&root]);
    let read = move |input: &[u8]| {
        let evidence = GpuEvidence {
            arch: None,
            nonce: [7; 32],
            report: input.to_vec(),
            certificates: vec![root.clone(), root.clone()],
        };
        let expected = Expected {
            root: expected_root,
            nonce: &[7; 32],
            now_ms: NOW_MS,
            revoked: None,
        };
        let _ = nvidia::verify(&evidence, &expected);
    };
    (Box::new(read), vec![spdm()])
}

pub(super) fn evidence() -> Prepared {
    let pem = Paper::new().root;
    let root = nvidia::root_of_pem(&pem).expect("a root of our own is PEM");
    let base64 = |bytes: &[u8]| {
        // Standard base64 where base64url differs in two digits and its padding.
        let text = b64u(bytes).replace('-', "+").replace('_', "/");
        let padding = "=".repeat((4 - text.len() % 4) % 4);
        text + &padding
    };
    let device = json!({
        "arch": "HOPPER", "nonce": "07".repeat(32), "evidence": base64(&spdm()),
        "certificate": base64(format!("{pem}{pem}").as_bytes()),
    });
    let read = move |input: &[u8]| drop(gpu_rows(input, root, NOW_MS, None));
    (
        Box::new(read),
        vec![json_bytes(&json!([device])), json_bytes(&device)],
    )
}
