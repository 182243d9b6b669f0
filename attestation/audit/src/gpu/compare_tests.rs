//! Devices whose firmware is known, and whose is not.

use std::collections::BTreeMap;

use super::super::rim::tests::{resource, tag};
use super::*;

fn device() -> VerifiedGpu {
    let measurements = (1..=64).map(|index| (index, vec![index; 48]));
    VerifiedGpu {
        measurements: measurements.collect(),
        driver_version: Some("590.12".into()),
        vbios_version: Some("96.00.A5.00.01".into()),
        firmware: None,
        nvdec0_disabled: false,
        status_checked: false,
    }
}

/// A file for these measurements (SPDM's index) with the device's own values.
fn rim(version: &str, active: &[u8]) -> Rim {
    let rows: Vec<String> = (1..=64)
        .map(|index| resource(index - 1, active.contains(&index), &[[index; 48]]))
        .collect();
    Rim::parse(tag(version, &rows).as_bytes()).unwrap()
}

fn rims() -> [Rim; 2] {
    [rim("590.12", &[8, 36]), rim("96.00.a5.00.01", &[1, 2, 3])]
}

fn code(gpu: &VerifiedGpu, rims: &[Rim]) -> &'static str {
    compare(gpu, rims).map_or_else(|refusal| refusal.code(), |_| "equal")
}

#[test]
fn a_device_that_meets_every_active_value_is_accepted() {
    let compared = compare(&device(), &rims()).unwrap();
    assert_eq!(compared.equal, [1, 2, 3, 8, 36]);
    assert!(compared.passed_over.is_empty());
    assert_eq!(compared.without.len(), 59);
    // Inactive values say nothing: another value there is no difference.
    let mut gpu = device();
    gpu.measurements.insert(20, vec![0; 48]);
    assert_eq!(code(&gpu, &rims()), "equal");
    // One of several values is enough.
    let mut either = rims();
    let values = [[9; 48], [1; 48], [7; 48]];
    either[1].active.insert(1, values.to_vec());
    assert_eq!(code(&device(), &either), "equal");
    gpu.measurements.insert(1, vec![7; 48]);
    assert_eq!(code(&gpu, &either), "equal");
    assert_eq!(code(&gpu, &rims()), "measurement_differs");
}

#[test]
fn each_active_value_that_is_not_met_is_named() {
    let rims = rims();
    for index in [1, 2, 3, 8, 36] {
        let missing = |gpu: &mut VerifiedGpu| drop(gpu.measurements.remove(&index));
        let other = |gpu: &mut VerifiedGpu| drop(gpu.measurements.insert(index, vec![0; 48]));
        let short = |gpu: &mut VerifiedGpu| drop(gpu.measurements.insert(index, vec![index; 47]));
        let changes: [&dyn Fn(&mut VerifiedGpu); 3] = [&missing, &other, &short];
        for change in changes {
            let mut gpu = device();
            change(&mut gpu);
            let refused = compare(&gpu, &rims).unwrap_err();
            assert_eq!(refused, RimRefusal::Differs(vec![index]));
        }
    }
    let mut gpu = device();
    gpu.measurements = BTreeMap::new();
    let refused = compare(&gpu, &rims).unwrap_err();
    assert_eq!(refused, RimRefusal::Differs(vec![1, 2, 3, 8, 36]));
}

#[test]
fn the_decoder_that_is_switched_off_is_passed_over_and_nothing_else() {
    let mut gpu = device();
    gpu.nvdec0_disabled = true;
    assert!(compare(&gpu, &rims()).unwrap().passed_over.is_empty());
    gpu.measurements.insert(36, vec![0; 48]);
    let compared = compare(&gpu, &rims()).unwrap();
    assert_eq!(
        (compared.passed_over, compared.equal),
        (vec![36], vec![1, 2, 3, 8])
    );
    gpu.measurements.insert(8, vec![0; 48]);
    let refused = compare(&gpu, &rims()).unwrap_err();
    assert_eq!(refused, RimRefusal::Differs(vec![8]));
}

#[test]
fn both_parts_are_needed_each_once_and_for_the_version_that_runs() {
    let [driver, vbios] = rims();
    assert_eq!(code(&device(), &[]), "rim_missing");
    assert_eq!(
        code(&device(), std::slice::from_ref(&driver)),
        "rim_missing"
    );
    assert_eq!(code(&device(), std::slice::from_ref(&vbios)), "rim_missing");
    let newer = rim("590.13", &[8]);
    assert_eq!(
        code(&device(), &[newer.clone(), vbios.clone()]),
        "rim_missing"
    );
    // One for another machine does not disturb.
    assert_eq!(
        code(&device(), &[newer, driver.clone(), vbios.clone()]),
        "equal"
    );
    let twice = [driver.clone(), vbios.clone(), driver.clone()];
    assert_eq!(code(&device(), &twice), "rim_twice");
    let both = [driver, rim("96.00.A5.00.01", &[1, 8])];
    assert_eq!(compare(&device(), &both), Err(RimRefusal::Conflict(8)));
    let mut silent = device();
    silent.driver_version = None;
    assert_eq!(code(&silent, &[vbios]), "rim_missing");
}

#[test]
fn only_files_that_officers_named_are_read() {
    let good = tag("1", &[resource(0, true, &[[1; 48]])]).into_bytes();
    let bomb = b"<!DOCTYPE x><x/>".to_vec();
    let named = BTreeSet::from([sha256(&[&good])]);
    let code = |files: &[Vec<u8>], named: &BTreeSet<Digest32>| {
        read(files, named).map_err(|refusal| refusal.code())
    };
    assert_eq!(code(std::slice::from_ref(&good), &named).unwrap().len(), 1);
    assert_eq!(
        code(std::slice::from_ref(&good), &BTreeSet::new()),
        Err("rim_not_pinned")
    );
    let both = [good.clone(), bomb.clone()];
    assert_eq!(code(&both, &named), Err("rim_not_pinned"));
    let mut bent = good;
    bent.push(b' ');
    assert_eq!(code(&[bent], &named), Err("rim_not_pinned"));
    let named = BTreeSet::from([sha256(&[&bomb])]);
    assert_eq!(code(&[bomb], &named), Err("rim_xml"));
}
