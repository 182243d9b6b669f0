//! Approvals take bounded room: what ended lately is counted, and what leaves makes room.

use super::approvals::{approval, give};
use super::*;
use crate::core::approval::{APPROVAL_BYTES_MAX, APPROVAL_KEPT_MS};

const SECOND: u64 = 1000;

/// What approvals take, counted one by one.
fn counted(state: &TenantState) -> u64 {
    state.approvals.values().map(|one| one.bytes()).sum()
}

#[test]
fn what_approvals_take_is_counted_through_answers_pieces_and_erasure() {
    let mut world = World::new();
    with_passkey(&mut world);
    let (now_ms, mut sizes) = (world.now_ms, Vec::new());
    for id in 1..=4 {
        let asked = approval(id, None, now_ms + 600 * SECOND);
        world.run(asked).unwrap();
        assert_eq!(world.state.approval_bytes, counted(&world.state));
        sizes.push(world.state.approval_bytes);
    }
    assert!(sizes.is_sorted() && sizes[0] > 1024);
    world.run(give(1, b"credential")).unwrap();
    assert_eq!(
        world.state.approval_bytes, sizes[3],
        "it is known for a week"
    );
    assert!(through_pieces(&world.state) == world.state);
    assert!(world.replayed() == world.state);
    let erase = Command::EraseSubject {
        user: "customer-1".parse().unwrap(),
        id: redoubt_shared::ErasureId::from_bytes([9; 16]),
        salt: [1; 32],
    };
    world.run(erase).unwrap();
    assert_eq!(world.state.approval_bytes, 0);
    assert!(world.state.approvals.is_empty());
}

/// What approvals take after a command, if `taken` bytes were taken before: as if others,
/// which are younger, took what is not this world's.
fn with_taken(world: &mut World, taken: u64, command: Command) -> Result<u64, Refusal> {
    let (mut state, facts) = (world.state.clone(), world.facts());
    state.approval_bytes = taken;
    let decision = decide(&state, &context(), command, &facts)?;
    let mut events = decision.events.iter();
    events.by_ref().for_each(|event| apply(&mut state, event));
    Ok(state.approval_bytes)
}

#[test]
fn with_all_room_taken_nothing_is_asked_until_something_leaves() {
    let mut world = World::new();
    with_passkey(&mut world);
    let ends_ms = world.now_ms + 600 * SECOND;
    world.run(approval(1, None, ends_ms)).unwrap();
    world.run(give(1, b"credential")).unwrap();
    let (full, one) = (APPROVAL_BYTES_MAX, world.state.approval_bytes);
    let full_up = Err(Refusal::TooManyApprovals);
    let next = || approval(2, None, ends_ms);
    assert_eq!(with_taken(&mut world, full - one, next()), Ok(full));
    assert_eq!(with_taken(&mut world, full - one + 1, next()), full_up);
    assert_eq!(with_taken(&mut world, full, next()), full_up);
    // The one that ended leaves with one that is asked a week later, and makes its room,
    // no more.
    world.now_ms = ends_ms + APPROVAL_KEPT_MS;
    let later = || approval(2, None, ends_ms + APPROVAL_KEPT_MS + 3600 * SECOND + 1);
    assert_eq!(with_taken(&mut world, full, later()), Ok(full));
    assert_eq!(with_taken(&mut world, full + 1, later()), full_up);
    // What is asked again by its key is found, not refused.
    let key = Some(([1; 32], [2; 32]));
    let mut world = World::new();
    with_passkey(&mut world);
    let asked = || approval(3, key, ends_ms);
    world.run(asked()).unwrap();
    assert_eq!(with_taken(&mut world, full, asked()), Ok(full));
}
