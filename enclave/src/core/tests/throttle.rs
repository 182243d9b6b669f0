//! Failures by where they come from: guessing in breadth ends, whoever it is tried on.

use super::*;

/// As [`context`] limits them.
const OF_A_DEVICE: usize = 10;
const OF_A_SOURCE: usize = 20;
const LOCKOUT_MS: u64 = 30 * 60_000;

fn from(device: u8, source: u8) -> Whereabouts {
    Whereabouts {
        place: None,
        device: Some(Tag([device; 16])),
        source: Some(Tag([source; 16])),
    }
}

fn customers(world: &mut World, count: usize) -> Vec<UserId> {
    let users: Vec<UserId> = (0..count)
        .map(|n| format!("customer-{n}").parse().unwrap())
        .collect();
    users.iter().for_each(|user| world.enrol(user));
    users
}

#[test]
fn one_device_has_so_many_failures_over_all_customers() {
    let mut world = World::new();
    let users = customers(&mut world, OF_A_DEVICE + 1);
    let first_ms = world.now_ms;
    for user in &users[..OF_A_DEVICE] {
        assert_eq!(world.tried(user, false, from(1, 1)).0, Ending::Failed);
        world.now_ms += 1000;
    }
    let last = &users[OF_A_DEVICE];
    let until_ms = first_ms + LOCKOUT_MS;
    let shut = Err(Refusal::Throttled { until_ms });
    assert_eq!(world.reserve_from(last, from(1, 1)), shut);
    assert_eq!(
        world.reserve_from(last, from(1, 2)),
        shut,
        "another address"
    );
    // A name that nobody has is told the same.
    let nobody = "nobody".parse().unwrap();
    assert_eq!(world.reserve_from(&nobody, from(1, 1)), shut);
    assert!(
        world.reserve_from(last, from(2, 1)).is_ok(),
        "another device"
    );
    world.now_ms = until_ms;
    assert!(world.reserve_from(last, from(1, 1)).is_ok(), "in time");
    assert!(world.replayed() == world.state);
}

#[test]
fn one_address_has_so_many_whatever_devices_it_names() {
    let mut world = World::new();
    let users = customers(&mut world, OF_A_SOURCE + 1);
    for (n, user) in users[..OF_A_SOURCE].iter().enumerate() {
        world.tried(user, false, from(n as u8 + 10, 1));
    }
    let last = &users[OF_A_SOURCE];
    let shut = world.reserve_from(last, from(99, 1));
    assert!(matches!(shut, Err(Refusal::Throttled { .. })), "{shut:?}");
    assert!(world.reserve_from(last, from(99, 2)).is_ok());
}

#[test]
fn what_is_under_way_counts_and_a_match_does_not() {
    let mut world = World::new();
    let users = customers(&mut world, OF_A_DEVICE + 1);
    let open: Vec<_> = users[..OF_A_DEVICE]
        .iter()
        .map(|user| world.reserve_from(user, from(1, 1)).unwrap())
        .collect();
    let last = &users[OF_A_DEVICE];
    let shut = world.reserve_from(last, from(1, 1));
    assert!(matches!(shut, Err(Refusal::Throttled { .. })), "{shut:?}");
    for (user, id) in users.iter().zip(open) {
        world.conclude(user, id, true).unwrap();
    }
    assert!(world.reserve_from(last, from(1, 1)).is_ok());
}

#[test]
fn neither_a_crash_nor_leaving_gives_an_attempt_back() {
    let mut world = World::new();
    let users = customers(&mut world, OF_A_DEVICE + 1);
    for user in &users[..OF_A_DEVICE] {
        world.reserve_from(user, from(1, 1)).unwrap();
    }
    for user in &users[..5] {
        let id = redoubt_shared::ErasureId::from_bytes(world.draw());
        let erase = Command::EraseSubject {
            user: user.clone(),
            id,
            salt: [3; 32],
        };
        world.run(erase).unwrap();
    }
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    let shut = world.reserve_from(&users[OF_A_DEVICE], from(1, 1));
    assert!(matches!(shut, Err(Refusal::Throttled { .. })), "{shut:?}");
    world.now_ms += LOCKOUT_MS;
    world.run(Command::BeginTerm { term: 3 }).unwrap();
    assert!(world.state.throttle == Throttle::default(), "all is over");
}

#[test]
fn what_is_under_way_ends_soon_and_the_wait_says_so() {
    let mut world = World::new();
    let users = customers(&mut world, OF_A_DEVICE + 1);
    for user in &users[1..OF_A_DEVICE] {
        world.tried(user, false, from(1, 1));
    }
    let open = world.reserve_from(&users[0], from(1, 1)).unwrap();
    let until_ms = world.now_ms + 1000;
    let last = &users[OF_A_DEVICE];
    let shut = Err(Refusal::Throttled { until_ms });
    assert_eq!(world.reserve_from(last, from(1, 1)), shut);
    world.conclude(&users[0], open, true).unwrap();
    assert!(world.reserve_from(last, from(1, 1)).is_ok());
}

#[test]
fn an_erasure_takes_windows_along_that_are_over() {
    let mut world = World::new();
    let users = customers(&mut world, 2);
    world.tried(&users[0], false, from(1, 1));
    world.now_ms += LOCKOUT_MS;
    let id = redoubt_shared::ErasureId::from_bytes(world.draw());
    let erase = Command::EraseSubject {
        user: users[0].clone(),
        id,
        salt: [3; 32],
    };
    world.run(erase).unwrap();
    assert!(world.state.throttle == Throttle::default());
}

proptest! {
    /// Whatever is begun, ended or lost: no more failures than the limit within
    /// the time, and the counts agree with a plain count.
    #[test]
    fn no_order_of_attempts_passes_a_limit(acts in proptest::collection::vec((0u8..6, 0usize..6), 1..80)) {
        let mut world = World::new();
        let users = customers(&mut world, 6);
        let mut open: Vec<(usize, VerificationId)> = Vec::new();
        let (mut failed, start_ms) = (0, world.now_ms);
        for (act, at) in acts {
            world.now_ms += 100;
            match act {
                0..=2 => {
                    let begun = world.reserve_from(&users[at], from(1, at as u8));
                    let shut = matches!(begun, Err(Refusal::Throttled { .. }));
                    prop_assert_eq!(shut, failed + open.len() >= OF_A_DEVICE);
                    open.extend(begun.ok().map(|id| (at, id)));
                }
                3 | 4 if !open.is_empty() => {
                    let (user, id) = open.remove(at % open.len());
                    world.conclude(&users[user], id, act == 4).unwrap();
                    failed += usize::from(act == 3);
                }
                5 => {
                    world.run(Command::BeginTerm { term: 2 }).unwrap();
                    failed += open.len();
                    open.clear();
                }
                _ => {}
            }
        }
        prop_assert!(world.now_ms < start_ms + LOCKOUT_MS);
        let counted = world.state.throttle.windows().find(|(gate, _)| *gate == Gate::Tenant);
        prop_assert_eq!(counted.map_or(0, |(_, window)| window.failures as usize), failed);
        prop_assert_eq!(world.state.throttle.under_way().count(), open.len());
        prop_assert!(world.replayed() == world.state);
    }
}
