//! Approvals against a model: who may answer what, in every order, and how it ends.

use redoubt_attestation::artefact::ChallengeInput;
use redoubt_shared::{ApprovalId, ErasureId};

use super::*;

const SECOND: u64 = 1000;
const FACE: Factors = Factors {
    face: true,
    voice: false,
};

/// What a test asks for; the rest is as in most approvals.
pub(super) struct Asking {
    pub(super) id: u8,
    pub(super) users: Vec<UserId>,
    pub(super) needed: u16,
    pub(super) factors: Factors,
    pub(super) amount: u64,
    pub(super) expires_ms: u64,
    pub(super) key: Option<([u8; 32], [u8; 32])>,
    pub(super) jcs: String,
}

impl Asking {
    pub(super) fn of(id: u8, users: &[&str], needed: u16) -> Self {
        Self {
            id,
            users: users.iter().map(|name| name.parse().unwrap()).collect(),
            needed,
            factors: Factors::NONE,
            amount: 2_500_000,
            expires_ms: 2_000_000,
            key: None,
            jcs: JCS.into(),
        }
    }

    pub(super) fn command(&self) -> Command {
        let ask = |user: &UserId, nonce: u8| Ask {
            nonce: [nonce; 32],
            challenge: challenge(
                user,
                nonce,
                self.expires_ms,
                ChallengeInput::PURPOSE,
                &self.jcs,
            ),
        };
        let of = |user: &UserId| AskedOf {
            user: user.clone(),
            asks: [ask(user, 1), ask(user, 2)],
        };
        Command::CreateApproval(Box::new(CreateApproval {
            id: ApprovalId::from_bytes([self.id; 16]),
            approvers: self.users.iter().map(of).collect(),
            needed: self.needed,
            factors: self.factors,
            transaction_jcs: self.jcs.clone(),
            currency: "EUR".into(),
            amount: self.amount,
            expires_ms: self.expires_ms,
            idempotency: self.key,
        }))
    }
}

const JCS: &str = r#"{"amount":"250.00"}"#;

fn input(user: &UserId, nonce: u8, expires_ms: u64, purpose: &str) -> [u8; 32] {
    challenge(user, nonce, expires_ms, purpose, JCS)
}

fn challenge(user: &UserId, nonce: u8, expires_ms: u64, purpose: &str, jcs: &str) -> [u8; 32] {
    let input = ChallengeInput {
        domain: ChallengeInput::DOMAIN.to_owned(),
        tenant: context().tenant,
        rp_id: "localhost".into(),
        user_id: user.clone(),
        purpose: purpose.to_owned(),
        expires_ms,
        nonce: [nonce; 32],
        transaction_jcs: jcs.to_owned(),
    };
    input.challenge().0
}

pub(super) fn approval(id: u8, key: Option<([u8; 32], [u8; 32])>, expires_ms: u64) -> Command {
    let asking = Asking::of(id, &["customer-1"], 1);
    Asking {
        key,
        expires_ms,
        ..asking
    }
    .command()
}

pub(super) fn give(id: u8, credential_id: &[u8]) -> Command {
    give_by(id, "customer-1", credential_id)
}

pub(super) fn give_by(id: u8, user: &str, credential_id: &[u8]) -> Command {
    let proof = Box::new(Proof {
        assertion: serde_json::json!({}),
        credential_id: credential_id.to_vec(),
        sign_count: 0,
        backup_state: false,
        tenant_keys: ["a".into(), "b".into()],
        rp_id: "localhost".into(),
        challenge: NEXT,
    });
    Command::GiveApproval {
        id: ApprovalId::from_bytes([id; 16]),
        user: user.parse().unwrap(),
        proof,
    }
}

/// Stands for the challenge that somebody is asked next.
const NEXT: [u8; 32] = [0; 32];

/// The command with [`NEXT`] filled in, as the service does.
pub(super) fn answering(state: &TenantState, mut command: Command) -> Command {
    if let Command::Ruled { answer, command } = command {
        let command = Box::new(answering(state, *command));
        return Command::Ruled { answer, command };
    }
    if let Command::GiveApproval { id, user, proof } = &mut command
        && proof.challenge == NEXT
        && let Some((handle, _)) = state.subject(user)
        && let Some(approval) = state.approvals.get(id)
        && let Some(approver) = approval.approver(handle)
        && let Some(ask) = approver.asks.get(approval.passkeys_of(handle).count())
    {
        proof.challenge = ask.challenge;
    }
    command
}

fn reject(id: u8, user: &str) -> Command {
    Command::RejectApproval {
        id: ApprovalId::from_bytes([id; 16]),
        user: user.parse().unwrap(),
        proof: None,
        idempotency: None,
    }
}

fn cancel(id: u8) -> Command {
    let id = ApprovalId::from_bytes([id; 16]);
    let idempotency = None;
    Command::CancelApproval { id, idempotency }
}

/// People named, each with passkeys of these names; `~` may be copied.
pub(super) fn people(world: &mut World, passkeys: &[(&str, &[&str])]) {
    for (nth, (user, ids)) in (0..).zip(passkeys) {
        for id in *ids {
            let record = passkey(id.as_bytes(), id.starts_with('~'));
            let command = Command::RegisterPasskey {
                user: user.parse().unwrap(),
                user_handle: [nth; 16],
                record: Box::new(record),
            };
            world.run(command).unwrap();
        }
    }
}

fn three() -> World {
    let mut world = World::new();
    people(
        &mut world,
        &[("anna", &["a"]), ("ben", &["b"]), ("cleo", &["c"])],
    );
    world
}

impl World {
    pub(super) fn approval(&self, id: u8) -> &Approval {
        &self.state.approvals[&ApprovalId::from_bytes([id; 16])]
    }
}

#[test]
fn an_approval_is_given_once_by_its_own_credential_within_its_time() {
    let mut world = World::new();
    with_passkey(&mut world);
    let soon = world.now_ms + SECOND;
    world.run(approval(1, None, soon)).unwrap();
    assert_eq!(
        world.run(give(2, b"credential")),
        Err(Refusal::UnknownApproval)
    );
    assert_eq!(
        world.run(give(1, b"other")),
        Err(Refusal::UnknownCredential)
    );
    let given = world.run(give(1, b"credential")).unwrap();
    assert_eq!(given, Reply::Granted { complete: true });
    assert_eq!(
        world.run(give(1, b"credential")),
        Err(Refusal::ApprovalSpent)
    );
    world.run(approval(3, None, soon)).unwrap();
    world.now_ms = soon;
    assert_eq!(
        world.run(give(3, b"credential")),
        Err(Refusal::ApprovalExpired)
    );
    assert!(
        world.last_claim().get("version").is_none(),
        "one answer is version 1"
    );
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Do {
    Give(usize),
    Reject(usize),
    Cancel,
    Expire,
}

const PEOPLE: [(&str, &[u8]); 3] = [("anna", b"a"), ("ben", b"b"), ("cleo", b"c")];

/// What the specification's table says, written down a second time.
#[derive(Default)]
struct Model {
    given: Vec<usize>,
    rejected: Vec<usize>,
    ended: Option<Refusal>,
}

impl Model {
    fn step(&mut self, act: Do, needed: usize) -> Option<Refusal> {
        if let Some(ended) = &self.ended {
            return (act != Do::Expire).then(|| ended.clone());
        }
        match act {
            Do::Give(who) | Do::Reject(who)
                if self.given.contains(&who) || self.rejected.contains(&who) =>
            {
                return Some(Refusal::AlreadyAnswered);
            }
            Do::Give(who) => {
                self.given.push(who);
                if self.given.len() == needed {
                    self.ended = Some(Refusal::ApprovalSpent);
                }
            }
            Do::Reject(who) => {
                self.rejected.push(who);
                if PEOPLE.len() - self.rejected.len() < needed {
                    self.ended = Some(Refusal::ApprovalRejected);
                }
            }
            Do::Cancel => self.ended = Some(Refusal::ApprovalCancelled),
            Do::Expire => self.ended = Some(Refusal::ApprovalExpired),
        }
        None
    }
}

/// Every order of four acts of three people, bank and time, for one, two and three needed.
#[test]
fn every_order_of_answers_ends_as_the_table_says() {
    let acts: Vec<Do> = (0..3)
        .flat_map(|who| [Do::Give(who), Do::Reject(who)])
        .chain([Do::Cancel, Do::Expire])
        .collect();
    let base = three();
    let mut walked = 0;
    for needed in 1..=3u16 {
        let mut orders = vec![Vec::new()];
        for _ in 0..4 {
            let longer = |order: &Vec<Do>| {
                let order = order.clone();
                acts.iter().map(move |act| [&order[..], &[*act]].concat())
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        for order in orders {
            let mut world = World {
                state: base.state.clone(),
                log: Vec::new(),
                now_ms: base.now_ms,
                drawn: 1 << 20,
                ..World::new()
            };
            world
                .run(Asking::of(1, &["anna", "ben", "cleo"], needed).command())
                .unwrap();
            let mut model = Model::default();
            for act in &order {
                let expected = model.step(*act, needed.into());
                let outcome = match *act {
                    Do::Give(who) => world.run(give_by(1, PEOPLE[who].0, PEOPLE[who].1)),
                    Do::Reject(who) => world.run(reject(1, PEOPLE[who].0)),
                    Do::Cancel => world.run(cancel(1)),
                    Do::Expire => {
                        world.now_ms = 3_000_000;
                        Ok(Reply::Done)
                    }
                };
                assert_eq!(
                    outcome.err(),
                    expected,
                    "{needed} of 3, {act:?} in {order:?}"
                );
            }
            walked += 1;
            let open = world.approval(1).open(world.now_ms).err();
            assert_eq!(open, model.ended, "{order:?}");
        }
    }
    assert_eq!(walked, 3 * 8usize.pow(4));
}

#[test]
fn the_last_answer_names_those_before_it_by_digest() {
    let mut world = three();
    world
        .run(Asking::of(1, &["anna", "ben", "cleo"], 2).command())
        .unwrap();
    let first = world.run(give_by(1, "cleo", b"c")).unwrap();
    assert_eq!(first, Reply::Granted { complete: false });
    let granted = world.last_claim();
    assert_eq!(
        (&granted["decision"], &granted["version"]),
        (&"granted".into(), &2.into())
    );
    assert!(granted.get("tenant_key_es256").is_none());
    let text = granted.to_string();
    let second = world.run(give_by(1, "anna", b"a")).unwrap();
    assert_eq!(second, Reply::Granted { complete: true });
    let claim = world.last_claim();
    assert_eq!(claim["decision"], "approved");
    assert_eq!(claim["grants"][0]["receipt_id"], granted["receipt_id"]);
    let digest = redoubt_attestation::encode::sha256(&[text.as_bytes()]);
    assert_eq!(claim["grants"][0]["claim"], digest.to_string());
    assert_eq!(claim["asked"]["needed"], 2);
    assert!(world.approval(1).grants.is_empty());
    assert!(world.replayed() == world.state);
}

#[test]
fn nobody_is_asked_twice_and_no_impossible_terms_are_taken() {
    let mut world = three();
    let mut refused = |users: &[&str], needed| {
        world
            .run(Asking::of(1, users, needed).command())
            .unwrap_err()
    };
    assert_eq!(refused(&["anna", "anna"], 2), Refusal::OnePersonTwice);
    assert_eq!(refused(&["anna", "ben"], 3), Refusal::ImpossibleTerms);
    assert_eq!(refused(&["anna", "ben"], 0), Refusal::ImpossibleTerms);
    assert_eq!(refused(&[], 0), Refusal::ImpossibleTerms);
    assert_eq!(refused(&["anna"; 17], 2), Refusal::ImpossibleTerms);
    assert_eq!(refused(&["anna", "nobody"], 1), Refusal::UnknownUser);
}

#[test]
fn one_key_under_two_names_is_one_device() {
    let mut world = three();
    let record = crate::passkeys::CredentialRecord {
        public_key: b"key of a".to_vec(),
        ..passkey(b"copied", false)
    };
    let ben = world
        .state
        .subject(&"ben".parse().unwrap())
        .unwrap()
        .1
        .user_handle;
    let command = Command::RegisterPasskey {
        user: "ben".parse().unwrap(),
        user_handle: ben,
        record: Box::new(record),
    };
    world.run(command).unwrap();
    world
        .run(Asking::of(1, &["anna", "ben"], 2).command())
        .unwrap();
    world.run(give_by(1, "anna", b"a")).unwrap();
    assert_eq!(
        world.run(give_by(1, "ben", b"copied")),
        Err(Refusal::SharedDevice)
    );
    let given = world.run(give_by(1, "ben", b"b"));
    assert_eq!(given, Ok(Reply::Granted { complete: true }));
}

fn above(limit: u64) -> TermContext {
    TermContext {
        second_device_above: Some([("EUR".to_owned(), limit)].into()),
        ..context()
    }
}

#[test]
fn above_a_limit_two_devices_answer_and_copies_are_one() {
    let mut world = World::new();
    people(
        &mut world,
        &[
            ("anna", &["a", "~x", "~y"]),
            ("ben", &["b"]),
            ("cleo", &["~c", "~d"]),
        ],
    );
    let limit = above(2_500_000);
    let ask = |id, user: &str, amount| {
        Asking {
            amount,
            ..Asking::of(id, &[user], 1)
        }
        .command()
    };
    // At the limit one is enough; a hair above it two.
    world.run_under(&limit, ask(1, "ben", 2_500_000)).unwrap();
    let refused = world.run_under(&limit, ask(2, "ben", 2_500_001));
    assert_eq!(refused, Err(Refusal::SecondDeviceNeeded));
    let refused = world.run_under(&limit, ask(2, "cleo", 2_500_001));
    assert_eq!(
        refused,
        Err(Refusal::SecondDeviceNeeded),
        "two copies are one device"
    );
    world.run_under(&limit, ask(2, "anna", 2_500_001)).unwrap();
    let first = world.run(give_by(2, "anna", b"~x"));
    assert_eq!(first, Ok(Reply::Granted { complete: false }));
    assert_eq!(
        world.run(give_by(2, "anna", b"~x")),
        Err(Refusal::SecondDeviceNeeded)
    );
    assert_eq!(
        world.run(give_by(2, "anna", b"~y")),
        Err(Refusal::SecondDeviceNeeded)
    );
    let second = world.run(give_by(2, "anna", b"a"));
    assert_eq!(second, Ok(Reply::Granted { complete: true }));
    // A currency without a limit always takes two.
    let dollars = TermContext {
        second_device_above: Some([("USD".to_owned(), u64::MAX)].into()),
        ..context()
    };
    let refused = world.run_under(&dollars, ask(3, "ben", 1));
    assert_eq!(refused, Err(Refusal::SecondDeviceNeeded));
}

#[test]
fn two_devices_cannot_answer_one_challenge() {
    let mut world = World::new();
    people(&mut world, &[("anna", &["a", "b"])]);
    let asking = Asking {
        amount: 2_500_001,
        ..Asking::of(1, &["anna"], 1)
    };
    world
        .run_under(&above(2_500_000), asking.command())
        .unwrap();
    // Both were verified against the first challenge before either was decided.
    let stale = answering(&world.state, give_by(1, "anna", b"b"));
    let first = world.run(give_by(1, "anna", b"a"));
    assert_eq!(first, Ok(Reply::Granted { complete: false }));
    assert_eq!(world.run(stale), Err(Refusal::AnsweredMeanwhile));
    let second = world.run(give_by(1, "anna", b"b"));
    assert_eq!(second, Ok(Reply::Granted { complete: true }));
}

fn put_out(world: &World, user: &str, credential_id: &[u8]) -> Command {
    let user: UserId = user.parse().unwrap();
    let (_, subject) = world.state.subject(&user).unwrap();
    let device = subject.device_id(credential_id);
    Command::SetDeviceState(Box::new(SetDeviceState {
        user,
        device,
        next: DeviceState::Compromised,
        reason: "stolen".into(),
        source: "bank",
    }))
}

#[test]
fn an_answer_goes_with_its_device() {
    let mut world = World::new();
    people(&mut world, &[("anna", &["a", "b"]), ("ben", &["c"])]);
    world
        .run(Asking::of(1, &["anna", "ben"], 2).command())
        .unwrap();
    world.run(give_by(1, "anna", b"a")).unwrap();
    let stolen = put_out(&world, "anna", b"a");
    world.run(stolen).unwrap();
    let second = world.run(give_by(1, "ben", b"c"));
    assert_eq!(second, Ok(Reply::Granted { complete: false }));
    let again = world.run(give_by(1, "anna", b"b"));
    assert_eq!(again, Ok(Reply::Granted { complete: true }));
}

#[test]
fn with_a_device_goes_all_that_its_person_answered() {
    let mut world = World::new();
    people(
        &mut world,
        &[("anna", &["a", "b", "c"]), ("ben", &["d", "e"])],
    );
    let asking = Asking {
        amount: 2_500_001,
        ..Asking::of(1, &["anna", "ben"], 2)
    };
    world
        .run_under(&above(2_500_000), asking.command())
        .unwrap();
    for device in [b"a", b"b"] {
        world.run(give_by(1, "anna", device)).unwrap();
    }
    let stolen = put_out(&world, "anna", b"a");
    world.run(stolen).unwrap();
    // Both again, so that neither challenge counts twice.
    let mut challenges = Vec::new();
    for (user, device) in [("anna", b"b"), ("anna", b"c"), ("ben", b"d"), ("ben", b"e")] {
        let reply = world.run(give_by(1, user, device)).unwrap();
        let complete = device == b"e";
        assert_eq!(reply, Reply::Granted { complete }, "{user}");
        challenges.push(world.last_claim()["challenge"].to_string());
    }
    challenges.sort();
    challenges.dedup();
    assert_eq!(challenges.len(), 4);
    let named = world.last_claim()["grants"].as_array().unwrap().len();
    assert_eq!(named, 3, "and only those that count are named");
}

#[test]
fn large_transactions_share_no_piece() {
    let mut world = World::new();
    people(&mut world, &[("anna", &["a"])]);
    let large = "x".repeat(32 * 1024);
    for id in 0..40 {
        world.run(Asking::of(id, &["anna"], 1).command()).unwrap();
    }
    let ids: Vec<_> = world.state.approvals.keys().copied().collect();
    for id in ids {
        let mut approval = Approval::clone(&world.state.approvals[&id]);
        approval.transaction_jcs.clone_from(&large);
        world
            .state
            .approvals
            .insert(id, std::sync::Arc::new(approval));
    }
    world.state.approval_bytes = world.state.approvals.values().map(|one| one.bytes()).sum();
    let largest = world
        .state
        .pieces()
        .map(|piece| postcard::to_allocvec(&piece).unwrap().len());
    assert!(largest.max().unwrap() < 256 * 1024);
    assert!(through_pieces(&world.state) == world.state);
}

/// A comparison of the first customer's face for approval 1, and its claim.
fn face(world: &mut World, accepted: bool) -> serde_json::Value {
    sampled(world, Means::Face, accepted)
}

/// The same with whatever it is made with.
fn sampled(world: &mut World, means: Means, accepted: bool) -> serde_json::Value {
    let id = VerificationId::from_bytes(world.draw());
    let reserve = Command::ReserveAttempt {
        user: user(),
        means,
        id,
        from: Whereabouts::default(),
    };
    world.run(reserve).unwrap();
    let comparison = comparison(accepted);
    let approval = ApprovalId::from_bytes([1; 16]);
    let user = user();
    let command = Command::ConcludeApprovalSample {
        approval,
        user,
        id,
        comparison,
    };
    world.run(command).unwrap();
    let verdict = world.last_claim();
    assert_eq!(verdict["approval_id"], approval.to_string());
    verdict
}

#[test]
fn with_a_face_goes_all_that_its_person_answered() {
    let mut world = World::new();
    people(&mut world, &[("customer-1", &["a", "b"])]);
    world.enrol(&user());
    let asking = Asking {
        factors: FACE,
        amount: 2_500_001,
        ..Asking::of(1, &["customer-1"], 1)
    };
    world
        .run_under(&above(2_500_000), asking.command())
        .unwrap();
    face(&mut world, true);
    world.run(give(1, b"a")).unwrap();
    let id = ErasureId::from_bytes([7; 16]);
    let user = user();
    world
        .run(Command::EraseModality {
            user,
            modality: Modality::Face,
            id,
        })
        .unwrap();
    assert!(world.approval(1).grants.is_empty());
    world.enrol(&super::user());
    world.run(give(1, b"a")).unwrap();
    assert_eq!(world.run(give(1, b"b")), Err(Refusal::FaceNeeded));
    face(&mut world, true);
    let last = world.run(give(1, b"b"));
    assert_eq!(last, Ok(Reply::Granted { complete: true }));
}

#[test]
fn a_face_comes_before_the_last_passkey_and_spends_an_attempt() {
    let mut world = World::new();
    with_passkey(&mut world);
    let asking = Asking {
        factors: FACE,
        ..Asking::of(1, &["customer-1"], 1)
    };
    assert_eq!(world.run(asking.command()), Err(Refusal::NotEnrolled));
    world.enrol(&user());
    world.run(asking.command()).unwrap();
    assert_eq!(world.run(give(1, b"credential")), Err(Refusal::FaceNeeded));
    assert_eq!(face(&mut world, false)["verdict"], "rejected");
    assert_eq!(world.run(give(1, b"credential")), Err(Refusal::FaceNeeded));
    let (_, subject) = world.state.subject(&user()).unwrap();
    assert_eq!(subject.attempts.failures, 1, "the budget is the same");
    let verdict = face(&mut world, true);
    let given = world.run(give(1, b"credential"));
    assert_eq!(given, Ok(Reply::Granted { complete: true }));
    let claim = world.last_claim();
    assert_eq!(claim["grants"][0]["receipt_id"], verdict["receipt_id"]);
    assert_eq!(
        claim["asked"]["factors"],
        serde_json::json!(["passkey", "face"])
    );
    // Of an approval that ended, it is a verdict and nothing more.
    assert_eq!(face(&mut world, true)["verdict"], "verified");
    assert!(world.approval(1).grants.is_empty());
}

const VOICE: Factors = Factors {
    face: false,
    voice: true,
};

#[test]
fn a_voice_stands_for_no_face_and_a_face_for_no_voice() {
    for (factors, right, wrong) in [
        (FACE, Means::Face, Means::Voice),
        (VOICE, Means::Voice, Means::Face),
    ] {
        let mut world = World::new();
        with_passkey(&mut world);
        let asking = Asking {
            factors,
            ..Asking::of(1, &["customer-1"], 1)
        };
        let needed = match right {
            Means::Face => Refusal::FaceNeeded,
            _ => Refusal::VoiceNeeded,
        };
        enrol_sample(&mut world, wrong.modalities()[0]);
        assert_eq!(world.run(asking.command()), Err(Refusal::NotEnrolled));
        enrol_sample(&mut world, right.modalities()[0]);
        world.run(asking.command()).unwrap();
        sampled(&mut world, wrong, true);
        assert!(world.approval(1).grants.is_empty(), "{wrong:?}");
        assert_eq!(world.run(give(1, b"credential")), Err(needed.clone()));
        // Somebody else's is an attempt like any other.
        sampled(&mut world, right, false);
        let (_, subject) = world.state.subject(&user()).unwrap();
        assert_eq!(subject.attempts.failures, 1);
        assert_eq!(world.run(give(1, b"credential")), Err(needed));
        let verdict = sampled(&mut world, right, true);
        let given = world.run(give(1, b"credential"));
        assert_eq!(given, Ok(Reply::Granted { complete: true }));
        let claim = world.last_claim();
        assert_eq!(claim["grants"][0]["receipt_id"], verdict["receipt_id"]);
        assert!(world.replayed() == world.state);
    }
}

#[test]
fn an_approval_may_ask_for_both_and_then_takes_no_one_of_them_twice() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.enrol(&user());
    enrol_sample(&mut world, Modality::Voice);
    let factors = Factors {
        face: true,
        voice: true,
    };
    let asking = Asking {
        factors,
        ..Asking::of(1, &["customer-1"], 1)
    };
    world.run(asking.command()).unwrap();
    sampled(&mut world, Means::Voice, true);
    sampled(&mut world, Means::Voice, true);
    assert_eq!(world.approval(1).grants.len(), 1, "the first counts");
    assert_eq!(world.run(give(1, b"credential")), Err(Refusal::FaceNeeded));
    face(&mut world, true);
    let given = world.run(give(1, b"credential"));
    assert_eq!(given, Ok(Reply::Granted { complete: true }));
    let claim = world.last_claim();
    assert_eq!(
        claim["asked"]["factors"],
        serde_json::json!(["passkey", "face", "voice"])
    );
    assert_eq!(claim["grants"].as_array().unwrap().len(), 2);
}

#[test]
fn with_a_voice_goes_all_that_its_person_answered() {
    let mut world = World::new();
    people(&mut world, &[("customer-1", &["a", "b"])]);
    world.enrol(&user());
    enrol_sample(&mut world, Modality::Voice);
    let asking = Asking {
        factors: VOICE,
        amount: 2_500_001,
        ..Asking::of(1, &["customer-1"], 1)
    };
    world
        .run_under(&above(2_500_000), asking.command())
        .unwrap();
    sampled(&mut world, Means::Voice, true);
    world.run(give(1, b"a")).unwrap();
    let erase = |modality, id| Command::EraseModality {
        user: user(),
        modality,
        id: ErasureId::from_bytes([id; 16]),
    };
    world.run(erase(Modality::Face, 7)).unwrap();
    assert_eq!(
        world.approval(1).grants.len(),
        2,
        "a face was not asked for"
    );
    world.run(erase(Modality::Voice, 8)).unwrap();
    assert!(world.approval(1).grants.is_empty());
    enrol_sample(&mut world, Modality::Voice);
    world.run(give(1, b"a")).unwrap();
    assert_eq!(world.run(give(1, b"b")), Err(Refusal::VoiceNeeded));
    sampled(&mut world, Means::Voice, true);
    let last = world.run(give(1, b"b"));
    assert_eq!(last, Ok(Reply::Granted { complete: true }));
}

fn enrol_sample(world: &mut World, modality: Modality) {
    let id = EnrollmentId::from_bytes(world.draw());
    let token_hash = [1; 32];
    let begin = Command::BeginEnrollment {
        modality,
        user: user(),
        id,
        token_hash,
        consent_given: true,
    };
    world.run(begin).unwrap();
    world
        .run(Command::ReserveEnrollmentSample { id, token_hash })
        .unwrap();
    let complete = Command::CompleteEnrollment {
        id,
        template: Box::new(template(world.next_transform(&user()))),
        liveness: None,
        performed: None,
        searched: None,
    };
    world.run(complete).unwrap();
}

/// What was asked and answered before there were voices reads as it did.
#[test]
fn terms_and_answers_of_before_voices_keep_their_bytes() {
    let terms = |factors| Terms {
        factors,
        ..Terms::PLAIN
    };
    let both = Factors {
        face: true,
        voice: true,
    };
    let all = [Factors::NONE, FACE, VOICE, both];
    for (byte, factors) in all.into_iter().enumerate() {
        let golden = [1, 1, 1, byte as u8];
        assert_eq!(postcard::to_stdvec(&terms(factors)).unwrap(), golden);
        let read: Terms = redoubt_shared::frame::decode_canonical(&golden).unwrap();
        assert_eq!(read, terms(factors));
    }
    assert!(postcard::from_bytes::<Terms>(&[1, 1, 1, 4]).is_err());
    let passkey = GrantedBy {
        credential_id: b"a".to_vec(),
        key: [3; 32],
        backup_eligible: false,
    };
    // An option of a passkey was none for a face.
    for (with, was) in [
        (GrantedWith::Face, Some(None)),
        (GrantedWith::Passkey(passkey.clone()), Some(Some(passkey))),
        (GrantedWith::Voice, None),
    ] {
        let bytes = postcard::to_stdvec(&with).unwrap();
        match was {
            Some(was) => assert_eq!(bytes, postcard::to_stdvec(&was).unwrap()),
            None => assert_eq!(bytes, [2]),
        }
    }
}

#[test]
fn a_signed_rejection_answers_its_own_challenge() {
    let mut world = World::new();
    with_passkey(&mut world);
    world.run(approval(1, None, 2_000_000)).unwrap();
    let signed = |purpose| Command::RejectApproval {
        id: ApprovalId::from_bytes([1; 16]),
        user: user(),
        proof: Some(Box::new(Proof {
            assertion: serde_json::json!({"signature": "x"}),
            credential_id: b"credential".to_vec(),
            sign_count: 0,
            backup_state: false,
            tenant_keys: ["a".into(), "b".into()],
            rp_id: "localhost".into(),
            challenge: input(&user(), 1, 2_000_000, purpose),
        })),
        idempotency: None,
    };
    let crossed = world.run(signed(ChallengeInput::PURPOSE));
    assert_eq!(
        crossed,
        Err(Refusal::ApprovalExpired),
        "an approval's challenge rejects nothing"
    );
    world.run(signed(ChallengeInput::REJECTION)).unwrap();
    let claim = world.last_claim();
    assert_eq!(
        (&claim["decision"], &claim["closes"]),
        (&"rejected".into(), &true.into())
    );
    assert_eq!(claim["challenge_input"]["purpose"], "rejection");
    assert_eq!(claim["tenant_key_es256"], "a");
    assert_eq!(
        world.run(give(1, b"credential")),
        Err(Refusal::ApprovalRejected)
    );
}

#[test]
fn an_idempotency_key_finds_what_it_did_for_a_day() {
    let mut world = World::new();
    with_passkey(&mut world);
    let create = |id, request| approval(id, Some(([1; 32], [request; 32])), 2_000_000);
    let first = world.run(create(1, 1)).unwrap();
    assert_eq!(world.run(create(2, 1)).unwrap(), first);
    assert_eq!(world.run(create(3, 2)), Err(Refusal::IdempotencyConflict));
    let cancel = |key, request| Command::CancelApproval {
        id: ApprovalId::from_bytes([1; 16]),
        idempotency: Some(([key; 32], [request; 32])),
    };
    assert_eq!(
        world.run(cancel(1, 9)),
        Err(Refusal::IdempotencyConflict),
        "a key of a creation"
    );
    world.run(cancel(2, 9)).unwrap();
    assert_eq!(world.run(cancel(2, 9)).unwrap(), first, "again: the same");
    assert_eq!(world.run(cancel(3, 9)), Err(Refusal::ApprovalCancelled));
    assert_eq!(world.state.idempotency.len(), 2);
    world.now_ms += IDEMPOTENCY_MS - 1;
    assert_eq!(world.run(create(4, 2)), Err(Refusal::IdempotencyConflict));
    world.now_ms += 1;
    world.run(create(4, 2)).unwrap();
    assert_eq!(
        world.state.idempotency.len(),
        1,
        "what ended left the state"
    );
    world.now_ms += IDEMPOTENCY_MS;
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert!(world.state.idempotency.is_empty() && world.state.idempotency_ends.is_empty());
    assert!(
        world
            .state
            .approvals
            .values()
            .all(|approval| approval.keys.is_empty())
    );
    assert!(world.replayed() == world.state);
}

/// However it ended, an approval leaves with all that points to it.
#[test]
fn an_approval_is_known_for_a_week_after_its_time() {
    let mut world = World::new();
    with_passkey(&mut world);
    let ends = world.now_ms + 300_000;
    world.run(approval(1, None, ends)).unwrap();
    world.run(give(1, b"credential")).unwrap();
    world
        .run(approval(2, Some(([1; 32], [1; 32])), ends))
        .unwrap();
    let cancel = Command::CancelApproval {
        id: ApprovalId::from_bytes([2; 16]),
        idempotency: None,
    };
    world.run(cancel).unwrap();
    world.run(approval(3, None, ends)).unwrap();
    // The next one is asked a week after their end, or up to an hour before that.
    let ends_of_next = ends + 3_600_000;
    world
        .run(approval(4, None, ends_of_next + APPROVAL_KEPT_MS))
        .unwrap();
    assert_eq!(world.state.approvals.len(), 4);
    world
        .run(approval(5, None, ends_of_next + APPROVAL_KEPT_MS + 1))
        .unwrap();
    let left: Vec<u8> = world
        .state
        .approvals
        .keys()
        .map(|id| id.as_bytes()[0])
        .collect();
    assert_eq!(left, [4, 5]);
    assert_eq!(
        (
            world.state.approvals_of.len(),
            world.state.approval_ends.len()
        ),
        (2, 2)
    );
    assert!(world.state.idempotency.is_empty(), "its key goes with it");
    let (_, subject) = world.state.subject(&user()).unwrap();
    assert_eq!(
        subject.approvals.len(),
        2,
        "one that nobody answered is open no more"
    );
    assert_eq!(
        world.run(give(3, b"credential")),
        Err(Refusal::UnknownApproval)
    );
    // Nobody asks for anything, and a term begins.
    world.now_ms = ends_of_next + 2 * APPROVAL_KEPT_MS + 2;
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    assert!(world.state.approvals.is_empty() && world.state.approval_ends.is_empty());
    assert!(world.replayed() == world.state);
}

/// What entries and snapshots of the version before hold goes on.
#[test]
fn an_approval_of_before_goes_on_and_its_key_gets_an_end() {
    let mut world = World::new();
    with_passkey(&mut world);
    let (handle, _) = world.state.subject(&user()).unwrap();
    let transaction = Transaction {
        amount: "250.00".into(),
        currency: "EUR".into(),
        payee_name: "P".into(),
        payee_account: "A".into(),
        reference: "R".into(),
    };
    let id = ApprovalId::from_bytes([1; 16]);
    let challenge = input(&user(), 1, 2_000_000, ChallengeInput::PURPOSE);
    let old = Recorded {
        owner: Some(handle),
        content: Content::State(Box::new(Event::ApprovalCreated {
            id,
            handle,
            transaction: Box::new(transaction.clone()),
            transaction_jcs: JCS.into(),
            nonce: [1; 32],
            challenge,
            expires_ms: 2_000_000,
            idempotency: Some(([7; 32], [8; 32])),
        })),
    };
    apply(&mut world.state, &old);
    let mut snapshot = TenantState::default();
    for piece in world.state.pieces() {
        match piece {
            Piece::ApprovalsAsked(_) => snapshot.absorb(Piece::Approvals(vec![(
                id,
                ApprovalV1 {
                    subject: handle,
                    transaction: transaction.clone(),
                    transaction_jcs: JCS.into(),
                    nonce: [1; 32],
                    challenge,
                    expires_ms: 2_000_000,
                    status: ApprovalStatus::Pending,
                    idempotency: Some([7; 32]),
                },
            )])),
            Piece::IdempotencyKept(_) => {
                snapshot.absorb(Piece::Idempotency(vec![([7; 32], [8; 32], id)]))
            }
            piece => snapshot.absorb(piece),
        }
    }
    assert!(
        snapshot == world.state,
        "an old snapshot and old entries give one state"
    );
    world.run(Command::BeginTerm { term: 2 }).unwrap();
    let end = world.state.idempotency[&[7; 32]].expires_ms;
    assert_eq!(end, world.now_ms + IDEMPOTENCY_MS);
    assert_eq!(
        world.run(give(1, b"credential")),
        Ok(Reply::Granted { complete: true })
    );
}

#[test]
fn an_erased_approver_leaves_nothing_and_the_others_go_on() {
    let mut world = three();
    let keyed = Asking {
        key: Some(([1; 32], [2; 32])),
        ..Asking::of(1, &["anna", "ben", "cleo"], 2)
    };
    world.run(keyed.command()).unwrap();
    world.run(give_by(1, "anna", b"a")).unwrap();
    let erase = |user: &str, id: u8| Command::EraseSubject {
        user: user.parse().unwrap(),
        id: ErasureId::from_bytes([id; 16]),
        salt: [id; 32],
    };
    let (anna, _) = world.state.subject(&"anna".parse().unwrap()).unwrap();
    world.run(erase("anna", 1)).unwrap();
    let bytes = postcard::to_stdvec(&world.state.pieces().collect::<Vec<_>>()).unwrap();
    assert!(!bytes.windows(16).any(|part| part == anna.0));
    assert!(
        world.state.idempotency.is_empty(),
        "the digest of a request names people"
    );
    // Anna's answer is gone with her: two others are needed, and both are left.
    assert_eq!(
        world.run(give_by(1, "ben", b"b")),
        Ok(Reply::Granted { complete: false })
    );
    assert_eq!(
        world.run(give_by(1, "cleo", b"c")),
        Ok(Reply::Granted { complete: true })
    );
    assert_eq!(world.last_claim()["asked"]["approvers"], 3);
    world
        .run(Asking::of(2, &["ben", "cleo"], 2).command())
        .unwrap();
    world.run(erase("ben", 2)).unwrap();
    let refused = world.run(give_by(2, "cleo", b"c"));
    assert_eq!(
        refused,
        Err(Refusal::ApprovalExpired),
        "it cannot be given any more"
    );
    world.run(erase("cleo", 3)).unwrap();
    assert!(world.state.approvals.is_empty() && world.state.approvals_of.is_empty());
    assert!(world.replayed() == world.state);
}
