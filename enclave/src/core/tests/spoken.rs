//! Digits that a voice read: what claims say of them, of a customer and of nobody alike.

use super::*;

/// A verdict on a voice alone or beside a face, and the claim about it.
fn told(
    world: &mut World,
    user: &UserId,
    means: Means,
    spoken: Option<Result<(), SpokenLapse>>,
) -> (Ending, serde_json::Value) {
    let id = VerificationId::from_bytes(world.draw());
    let reserve = Command::ReserveAttempt {
        user: user.clone(),
        means,
        id,
        from: Whereabouts::default(),
    };
    world.run(reserve).unwrap();
    let sample = SampleUse {
        spoken,
        ..sample_of("m")
    };
    let comparison = Comparison {
        sample,
        // Policy requires digits: the voice was barred before.
        ..comparison(!matches!(spoken, Some(Err(_))))
    };
    let conclude = Command::ConcludeAttempt {
        user: user.clone(),
        id,
        comparison,
    };
    match world.run(conclude).unwrap() {
        Reply::Verdict { ending, .. } => (ending, world.last_claim()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_says_whether_digits_were_read_and_nothing_where_none_were_asked_for() {
    let lapses = [
        (SpokenLapse::WordsCount, "words_count"),
        (SpokenLapse::OtherDigits, "other_digits"),
        (SpokenLapse::SeveralPeople, "several_people"),
    ];
    for (lapse, word) in lapses {
        let mut world = World::new();
        world.enrol(&user());
        world.enrol_voice(&user());
        for means in [Means::Voice, Means::Both] {
            let (ending, claim) = told(&mut world, &user(), means, Some(Err(lapse)));
            assert_eq!(ending, Ending::Failed);
            assert_eq!(claim["spoken_digits"], "failed");
            assert_eq!(claim["spoken_digits_lapse"], word);
            let (ending, claim) = told(&mut world, &user(), means, Some(Ok(())));
            assert_eq!(ending, Ending::Accepted);
            assert_eq!(claim["spoken_digits"], "passed");
            assert!(claim.get("spoken_digits_lapse").is_none());
            let (_, claim) = told(&mut world, &user(), means, None);
            assert!(claim.get("spoken_digits").is_none());
            assert!(claim.get("active_liveness").is_none());
        }
    }
}

/// A wrong answer costs what a wrong voice costs.
#[test]
fn three_wrong_readings_lock() {
    let mut world = World::new();
    world.enrol_voice(&user());
    let wrong = Some(Err(SpokenLapse::OtherDigits));
    for _ in 0..3 {
        told(&mut world, &user(), Means::Voice, wrong);
    }
    assert!(world.last_claim()["locked_until_ms"].is_u64());
}

#[test]
fn a_stranger_s_reading_is_recorded_as_a_customer_s() {
    let mut world = World::new();
    let (es256, mldsa65) = ([1; 32], [2; 32]);
    let keys = TenantKeySeeds { es256, mldsa65 };
    world.run(Command::OpenTenant { keys }).unwrap();
    world.run(Command::BeginTerm { term: 1 }).unwrap();
    world.enrol_voice(&user());
    let stranger: UserId = "stranger".parse().unwrap();
    for spoken in [Ok(()), Err(SpokenLapse::SeveralPeople)] {
        let (ending, theirs) = told(&mut world, &stranger, Means::Voice, Some(spoken));
        assert_eq!(ending, Ending::Failed, "whatever they read");
        let (_, own) = told(&mut world, &user(), Means::Voice, Some(spoken));
        for member in ["spoken_digits", "spoken_digits_lapse"] {
            assert_eq!(theirs.get(member), own.get(member), "{member}");
        }
        let members = |claim: &serde_json::Value| -> Vec<String> {
            claim.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(members(&theirs), members(&own));
    }
}
