use proptest::prelude::*;
use redoubt_shared::ReceiptId;

use super::*;

const HOUR: u64 = 3_600_000;
const VIENNA: Place = Place {
    lat: 4821,
    lng: 1637,
};
const GRAZ: Place = Place {
    lat: 4707,
    lng: 1544,
};
const SYDNEY: Place = Place {
    lat: -3387,
    lng: 15121,
};

fn from(place: Option<Place>, device: Option<u8>) -> Whereabouts {
    Whereabouts {
        place,
        device: device.map(|tag| Tag([tag; 16])),
        source: None,
    }
}

fn moment(at_ms: u64, ending: Ending, from: Whereabouts) -> Moment {
    Moment {
        at_ms,
        act: Act::Face,
        ending,
        from,
        risk: Risk::default(),
        receipt: ReceiptId::from_bytes([0; 16]),
        verification: None,
    }
}

fn past(moments: impl IntoIterator<Item = Moment>) -> Activity {
    Activity {
        moments: moments.into_iter().collect(),
        ..Activity::default()
    }
}

fn asked(at_ms: u64, from: Whereabouts) -> Asked {
    Asked {
        act: Act::Face,
        at_ms,
        from,
        others: 0,
    }
}

fn names(past: &Activity, now: &Asked) -> Vec<&'static str> {
    assess(past, now).names()
}

#[test]
fn a_stranger_to_the_history_is_not_unusual() {
    let now = asked(5 * HOUR, from(Some(SYDNEY), Some(1)));
    assert_eq!(names(&Activity::default(), &now), [""; 0]);
}

#[test]
fn distances_are_those_of_the_globe() {
    let km = VIENNA.km_to(SYDNEY);
    assert!((15_900.0..16_100.0).contains(&km), "{km}");
    let across = Place { lat: 0, lng: 17990 }.km_to(Place {
        lat: 0,
        lng: -17990,
    });
    assert!((22.0..23.0).contains(&across), "{across}");
    let poles = Place { lat: 9000, lng: 0 }.km_to(Place { lat: -9000, lng: 0 });
    assert!((20_010.0..20_020.0).contains(&poles), "{poles}");
}

#[test]
fn travel_is_impossible_only_faster_than_an_airliner_and_from_where_one_was() {
    let at = |ending| past([moment(0, ending, from(Some(VIENNA), None))]);
    let there = |hours| asked(hours * HOUR, from(Some(SYDNEY), None));
    assert_eq!(
        names(&at(Ending::Accepted), &there(15)),
        ["impossible_travel"]
    );
    assert_eq!(names(&at(Ending::Accepted), &there(17)), [""; 0]);
    // Somebody else's failure elsewhere says nothing of where the customer is.
    assert_eq!(names(&at(Ending::Failed), &there(1)), [""; 0]);
    let near = asked(HOUR / 60, from(Some(GRAZ), None));
    assert_eq!(names(&at(Ending::Accepted), &near), ["impossible_travel"]);
    let same = asked(
        1,
        from(
            Some(Place {
                lat: 4820,
                lng: 1600,
            }),
            None,
        ),
    );
    assert_eq!(names(&at(Ending::Accepted), &same), [""; 0]);
}

#[test]
fn a_device_is_known_once_an_accepted_attempt_came_from_it() {
    let known = |ending| past([moment(0, ending, from(None, Some(1)))]);
    let now = |device| asked(HOUR, from(None, device));
    assert_eq!(names(&known(Ending::Accepted), &now(Some(1))), [""; 0]);
    assert_eq!(
        names(&known(Ending::Accepted), &now(Some(2))),
        ["device_mismatch"]
    );
    assert_eq!(names(&known(Ending::Failed), &now(Some(2))), [""; 0]);
    // To leave it out is unusual too.
    assert_eq!(
        names(&known(Ending::Accepted), &now(None)),
        ["context_withheld"]
    );
}

#[test]
fn many_attempts_and_failures_shortly_before_speak() {
    let at = |every_ms, count: u64, ending| {
        past((0..count).map(|n| moment(n * every_ms + n * n * 37, ending, from(None, None))))
    };
    let five = at(5_000, 5, Ending::Accepted);
    assert_eq!(names(&five, &asked(31_000, from(None, None))), ["velocity"]);
    assert_eq!(
        names(&five, &asked(31_000 + HOUR, from(None, None))),
        [""; 0]
    );
    let failed = at(400_000, 2, Ending::Failed);
    assert_eq!(
        names(&failed, &asked(1_000_000, from(None, None))),
        ["repeated_failures"]
    );
    assert_eq!(names(&failed, &asked(3 * HOUR, from(None, None))), [""; 0]);
    let suspicious = at(400_000, 2, Ending::Suspicious);
    assert_eq!(
        names(&suspicious, &asked(1_000_000, from(None, None))),
        ["repeated_failures"]
    );
}

#[test]
fn an_hour_is_unusual_after_ten_others() {
    // Nine in the morning, give or take, on different days.
    let days = |count: u64| {
        past((0..count).map(|day| {
            moment(
                (24 * day * day + 9 + day % 3) * HOUR,
                Ending::Accepted,
                from(None, None),
            )
        }))
    };
    let at_three = asked((24 * 400 + 3) * HOUR, from(None, None));
    assert_eq!(names(&days(10), &at_three), ["unusual_hour"]);
    assert_eq!(names(&days(9), &at_three), [""; 0]);
    // Around midnight hours are near each other.
    let late = past((0..10u64).map(|day| {
        moment(
            (24 * day * day + 23) * HOUR,
            Ending::Accepted,
            from(None, None),
        )
    }));
    assert_eq!(
        names(&late, &asked((24 * 400 + 2) * HOUR, from(None, None))),
        [""; 0]
    );
}

#[test]
fn a_rhythm_that_no_person_keeps_speaks() {
    let even =
        past((0..5).map(|n| moment(n * 60_000 + n % 2 * 500, Ending::Accepted, from(None, None))));
    assert_eq!(
        names(&even, &asked(300_000, from(None, None))),
        ["regular_rhythm"]
    );
    assert_eq!(names(&even, &asked(340_000, from(None, None))), [""; 0]);
    let daily = past((0..5).map(|n| moment(n * 24 * HOUR, Ending::Accepted, from(None, None))));
    assert_eq!(names(&daily, &asked(120 * HOUR, from(None, None))), [""; 0]);
}

#[test]
fn a_shared_device_speaks_from_three_others_on() {
    let with = |others| Asked {
        others,
        ..asked(0, from(None, Some(1)))
    };
    assert_eq!(names(&Activity::default(), &with(2)), [""; 0]);
    assert_eq!(names(&Activity::default(), &with(3)), ["shared_device"]);
}

#[test]
fn a_payment_is_unusual_to_a_new_payee_and_of_much_more_than_ever() {
    let paid = Activity {
        payees: [Tag([1; 16])].into(),
        largest: [("EUR".to_owned(), 1_000_000)].into(),
        ..Activity::default()
    };
    let (known, new) = ([Tag([1; 16])], [Tag([1; 16]), Tag([2; 16])]);
    assert!(paid.is_unusual_payment(&new, "EUR", 3_000_001));
    assert!(!paid.is_unusual_payment(&new, "EUR", 3_000_000));
    assert!(!paid.is_unusual_payment(&known, "EUR", u64::MAX));
    // Nothing is usual in a currency that was never used.
    assert!(!paid.is_unusual_payment(&new, "USD", u64::MAX));
}

const ALL: [Signal; 9] = [
    Signal::ImpossibleTravel,
    Signal::Velocity,
    Signal::DeviceMismatch,
    Signal::RepeatedFailures,
    Signal::UnusualHour,
    Signal::RegularRhythm,
    Signal::SharedDevice,
    Signal::ContextWithheld,
    Signal::NewPayeeLargeAmount,
];

#[test]
fn bands_begin_at_three_and_seven_tenths() {
    let of = |signals: &[Signal]| Risk {
        signals: signals.to_vec(),
    };
    assert_eq!(of(&[]).band(), Band::Low);
    assert_eq!(of(&[Signal::DeviceMismatch]).band(), Band::Low);
    assert_eq!(of(&[Signal::Velocity]).band(), Band::Medium);
    let high = of(&[Signal::ImpossibleTravel, Signal::DeviceMismatch]);
    assert_eq!((high.score(), high.band()), (0.7, Band::High));
    // Nor is everything that can be unusual about a login.
    let login = of(&[
        Signal::Velocity,
        Signal::RepeatedFailures,
        Signal::UnusualHour,
        Signal::RegularRhythm,
    ]);
    assert!(login.band() < Band::High);
    // No single signal is enough to call a match suspicious.
    assert!(ALL.iter().all(|one| of(&[*one]).band() < Band::High));
}

proptest! {
    #[test]
    fn a_further_signal_never_lowers_the_score(mask in 0u16..512, more in 0usize..9) {
        let chosen = (0..9).filter(|bit| mask >> bit & 1 == 1).map(|bit| ALL[bit]);
        let less = Risk { signals: chosen.collect() };
        let mut with = less.clone();
        if !with.signals.contains(&ALL[more]) {
            with.signals.push(ALL[more]);
        }
        prop_assert!(with.score() >= less.score());
        prop_assert!((0.0..=1.0).contains(&with.score()));
    }
}

#[test]
fn attempts_of_the_other_kind_say_nothing_of_this_one() {
    let logins = (0..8).map(|n| Moment {
        act: Act::Login,
        ..moment(n * 5_000, Ending::Failed, from(None, None))
    });
    let past = past(logins);
    assert_eq!(names(&past, &asked(40_000, from(None, None))), [""; 0]);
    let login = Asked {
        act: Act::Login,
        ..asked(40_000, from(None, None))
    };
    let all = ["velocity", "repeated_failures", "regular_rhythm"];
    assert_eq!(names(&past, &login), all);
}

#[test]
fn a_voice_played_from_a_strange_device_does_not_make_it_known_for_faces() {
    let own = moment(0, Ending::Accepted, from(Some(VIENNA), Some(1)));
    let mut played = moment(HOUR, Ending::Accepted, from(Some(SYDNEY), Some(2)));
    played.act = Act::Voice;
    let face = asked(2 * HOUR, from(Some(SYDNEY), Some(2)));
    let mut voice = asked(2 * HOUR, from(Some(SYDNEY), Some(2)));
    voice.act = Act::Voice;
    let past = past([own, played]);
    assert_eq!(
        names(&past, &face),
        ["impossible_travel", "device_mismatch"]
    );
    assert_eq!(names(&past, &voice), [""; 0]);
}
