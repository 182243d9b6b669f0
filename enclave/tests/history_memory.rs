//! Ten thousand whole histories, in a process of their own: what they cost.

use redoubt_enclave::core::{
    Act, Content, Ending, Event, HISTORY_MAX, Moment, Place, Recorded, Risk, Signal, SubjectHandle,
    SubjectKey, Tag, TenantState, Whereabouts, apply,
};
use redoubt_shared::{ReceiptId, VerificationId};

const CUSTOMERS: u64 = 10_000;
/// Most bytes of memory that one remembered attempt may cost, indexes among them.
const EACH: u64 = 320;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn half(n: u64) -> [u8; 16] {
    let mut out = [0; 16];
    // Spread, as random names are.
    out[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    out
}

fn event(state: &mut TenantState, event: Event) {
    let content = Content::State(Box::new(event));
    let owner = None;
    apply(state, &Recorded { owner, content });
}

#[test]
fn a_whole_history_costs_a_few_kilobytes() {
    let mut state = TenantState::default();
    for n in 0..CUSTOMERS {
        let opened = Event::SubjectOpened {
            handle: SubjectHandle(half(n)),
            key: SubjectKey::new([1; 32]),
        };
        event(&mut state, opened);
    }
    let before = resident_bytes();
    // More than are kept, so that the oldest give way.
    for at in 0..2 * HISTORY_MAX as u64 {
        for n in 0..CUSTOMERS {
            let moment = Moment {
                at_ms: at,
                act: Act::Face,
                ending: Ending::Accepted,
                from: Whereabouts {
                    place: Some(Place { lat: 1, lng: 2 }),
                    device: Some(Tag(half(n))),
                    source: None,
                },
                risk: Risk {
                    signals: vec![Signal::Velocity],
                },
                receipt: ReceiptId::from_bytes(half(at)),
                verification: Some(VerificationId::from_bytes(half(n))),
            };
            let noted = Event::AttemptNoted {
                handle: SubjectHandle(half(n)),
                moment: Box::new(moment),
            };
            event(&mut state, noted);
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    let kept = CUSTOMERS * HISTORY_MAX as u64;
    println!("{} bytes an attempt", grown / kept);
    let known = state.watch.activity(&SubjectHandle(half(7))).unwrap();
    assert_eq!(known.moments.len(), HISTORY_MAX);
    assert!(grown < kept * EACH, "{grown}");
    assert!(grown > kept * 64, "the measure does not measure: {grown}");
}
