//! A hundred thousand open sessions, in a process of their own: what they cost.

use redoubt_enclave::core::{
    Content, Event, KeyCustody, Recorded, Session, SubjectHandle, TenantState, apply,
};
use redoubt_shared::{DeviceId, SessionId};

const SESSIONS: u64 = 100_000;
/// Most bytes of memory that one open session may cost, indexes among them.
const EACH: u64 = 1024;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn wide(n: u64) -> [u8; 32] {
    let mut out = [0; 32];
    // Spread, as hashes are.
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    out[..8].copy_from_slice(&spread);
    out
}

fn half(n: u64) -> [u8; 16] {
    wide(n)[..16].try_into().unwrap()
}

#[test]
fn a_hundred_thousand_sessions_stay_within_a_hundred_megabytes() {
    let mut state = TenantState::default();
    let before = resident_bytes();
    for n in 0..SESSIONS {
        let session = Session {
            id: SessionId::from_bytes(half(n)),
            subject: SubjectHandle(half(n / 4)),
            device: DeviceId::from_bytes(half(n)),
            client: [1; 32],
            opened_ms: n,
            idle_ms: 300_000,
            expires_ms: n + 43_200_000,
            key: KeyCustody::Synced,
            user_verified: true,
        };
        let opened = Event::SessionOpened {
            hash: wide(n),
            session: Box::new(session),
        };
        let content = Content::State(Box::new(opened));
        let owner = None;
        apply(&mut state, &Recorded { owner, content });
    }
    let grown = resident_bytes().saturating_sub(before);
    println!("{} bytes each", grown / SESSIONS);
    assert_eq!(state.sessions.len() as u64, SESSIONS);
    assert!(grown < SESSIONS * EACH, "{grown}");
    assert!(
        grown > SESSIONS * 100,
        "the measure does not measure: {grown}"
    );
    // After their time each login takes so many away, and a new term all.
    let last = Session {
        opened_ms: u64::MAX / 2,
        expires_ms: u64::MAX,
        ..Session::clone(state.sessions.get(&wide(0)).unwrap())
    };
    let opened = Event::SessionOpened {
        hash: [7; 32],
        session: Box::new(last),
    };
    let content = Content::State(Box::new(opened));
    let owner = None;
    apply(&mut state, &Recorded { owner, content });
    assert_eq!(state.sessions.len() as u64, SESSIONS - 64 + 1);
    let began = Event::TermBegan {
        term: 2,
        at_ms: u64::MAX / 2,
        max_failures: 3,
        lockout_ms: 1,
    };
    let content = Content::State(Box::new(began));
    apply(&mut state, &Recorded { owner, content });
    assert_eq!(state.sessions.len(), 1);
}
