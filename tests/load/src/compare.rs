//! A comparison with a template beside a plain product of int8 vectors of as many
//! components, compiled alike; and how far int8 moves cosines.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use redoubt_enclave::biometrics::{Made, Owner, Probe, Transforms};
use redoubt_enclave::core::{Modality, SubjectHandle, Template, TenantKeySeeds};
use redoubt_shared::worker::Embedding;

use crate::cpu;
use crate::draws::Draws;
use crate::rows::Row;

/// Templates that are gone through, so that none is always at hand.
const TEMPLATES: usize = 64;
/// Of each timing: long against the tick that processor time is counted in.
const CALLS: usize = 5_000_000;
const WHOLE: usize = 100_000;
/// Pairs whose cosines are compared: this many templates, and samples for each.
const PAIRS: [u32; 2] = [2_000, 500];
const OWNER: Owner = Owner {
    subject: SubjectHandle([3; 16]),
    modality: Modality::Face,
};
const MADE: Made<'static> = Made {
    quality: 1.0,
    worker_tier: "process",
    at_ms: 0,
};

pub(crate) fn run() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for dimension in [256, 512] {
        rows.extend(times(dimension)?);
    }
    for dimension in [192, 256, 512] {
        rows.extend(differences(dimension)?);
    }
    Ok(rows)
}

/// One template, a sample of the same person, and that sample made ready.
struct Case {
    template: Template,
    sample: Embedding,
    probe: Probe,
    bytes: Vec<i8>,
}

fn transforms() -> Transforms {
    Transforms::new(&TenantKeySeeds {
        es256: [1; 32],
        mldsa65: [2; 32],
    })
}

fn cases(transforms: &Transforms, dimension: usize) -> Result<Vec<Case>> {
    let mut draws = Draws(dimension as u64);
    let case = |number| {
        let enrolled = draws.direction(dimension);
        let sample = embedding(&draws.near(&enrolled, 0.7));
        let template = transforms.protected(&OWNER, number, &embedding(&enrolled), MADE);
        let template = template.context("no template")?;
        let probe = transforms.probe(&OWNER, &template, &sample);
        Ok(Case {
            probe: probe.context("no probe")?,
            bytes: (0..dimension).map(|_| draws.word() as i8).collect(),
            template,
            sample,
        })
    };
    (1..=TEMPLATES as u32).map(case).collect()
}

/// What a plain product of int8 vectors is, summed in 32 bits.
fn product(one: &[i8], other: &[i8]) -> i32 {
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

fn times(dimension: usize) -> Result<Vec<Row>> {
    let transforms = transforms();
    let cases = cases(&transforms, dimension)?;
    let mut turn = (0..TEMPLATES).cycle();
    let mut next = || turn.next().unwrap_or_default();
    let plain = cpu::per_call(CALLS, || {
        let case = black_box(&cases[next()]);
        black_box(product(&case.template.values[..dimension], &case.bytes));
    })?;
    let ready = cpu::per_call(CALLS, || {
        let case = black_box(&cases[next()]);
        black_box(case.probe.cosine(&case.template.values));
    })?;
    let whole = cpu::per_call(WHOLE, || {
        let case = black_box(&cases[next()]);
        black_box(transforms.cosine(&OWNER, &case.template, &case.sample));
    })?;
    let peer = format!("{dimension}-d, against an int8 product of as many");
    let row = |name: &str, ours: f64, n| {
        Row::new(format!("{name}, {peer}"), ours * 1e3, plain * 1e3, "ns", n)
    };
    Ok(vec![
        row(
            "a sample made ready, compared with its template",
            ready,
            CALLS,
        )
        .at_most(1.5),
        row(
            "the whole of it: key, transform, steps, comparison",
            whole,
            WHOLE,
        ),
    ])
}

/// Half of the cosines from -0.2 to 1, half of strangers', nearly at right angles.
fn differences(dimension: usize) -> Result<Vec<Row>> {
    let (transforms, mut draws) = (transforms(), Draws(7));
    let (mut most, mut squares, mut above) = (0f64, 0f64, 0usize);
    let [templates, samples] = PAIRS;
    for number in 1..=templates {
        let enrolled = draws.direction(dimension);
        let template = transforms.protected(&OWNER, number, &embedding(&enrolled), MADE);
        let template = template.context("no template")?;
        for at in 0..samples {
            let exact = if at % 2 == 0 {
                draws.share() * 1.2 - 0.2
            } else {
                0.0
            };
            let sample = embedding(&draws.near(&enrolled, exact));
            let found = transforms.cosine(&OWNER, &template, &sample);
            let apart = (f64::from(found.context("no cosine")?) - exact).abs();
            most = most.max(apart);
            squares += apart * apart;
            above += usize::from(apart > 1e-3);
        }
    }
    let pairs = (templates * samples) as usize;
    ensure!(squares > 0.0, "int8 changes nothing: nothing was measured");
    let rms = (squares / pairs as f64).sqrt();
    let alone = |name: &str, ours, unit| {
        Row::alone(
            format!("int8 and cosines, {dimension}-d: {name}"),
            ours,
            unit,
            pairs,
        )
    };
    Ok(vec![
        alone("largest difference", most * 1e6, "millionths"),
        alone("root mean square of differences", rms * 1e6, "millionths"),
        alone(
            "pairs that differ by more than a thousandth",
            above as f64,
            "pairs",
        ),
    ])
}

pub(crate) fn embedding(vector: &[f64]) -> Embedding {
    Embedding {
        model: "m".into(),
        vector: vector.iter().map(|value| *value as f32).collect(),
    }
}
