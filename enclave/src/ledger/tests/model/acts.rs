//! Commands, as banks and customers give rise to them.

use proptest::prelude::*;
use redoubt_attestation::artefact::ChallengeInput;
use redoubt_shared::{
    ApprovalId, DeviceId, EnrollmentId, ErasureId, SessionId, UserId, VerificationId,
};

use crate::core::*;
use crate::ledger::tests::tenant;
use crate::passkeys::{Algorithm, AttestationFormat, CredentialRecord};

/// By whom, of few.
type Who = u8;

#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Begin(Who),
    Enrol(Who),
    Register(Who),
    Login(Who),
    RefuseLogin(Who),
    Reserve(Who),
    Conclude(Who, bool),
    Release(Who),
    Ask(Who),
    Give(Who),
    Renew(Who),
    EraseModality(Who),
    Erase(Who),
    MarkDark,
    EndSessions(Who),
    EndAllSessions,
    SetDevice(Who, DeviceState),
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let who = 0u8..3;
    prop_oneof![
        1 => who.clone().prop_map(Act::Begin),
        4 => who.clone().prop_map(Act::Enrol),
        2 => who.clone().prop_map(Act::Register),
        2 => who.clone().prop_map(Act::Login),
        1 => who.clone().prop_map(Act::RefuseLogin),
        4 => who.clone().prop_map(Act::Reserve),
        3 => (who.clone(), any::<bool>()).prop_map(|(who, yes)| Act::Conclude(who, yes)),
        1 => who.clone().prop_map(Act::Release),
        2 => who.clone().prop_map(Act::Ask),
        2 => who.clone().prop_map(Act::Give),
        2 => who.clone().prop_map(Act::Renew),
        1 => who.clone().prop_map(Act::EraseModality),
        1 => who.prop_map(Act::Erase),
        1 => Just(Act::MarkDark),
        1 => (0u8..3).prop_map(Act::EndSessions),
        1 => Just(Act::EndAllSessions),
        1 => (0u8..3, device_state()).prop_map(|(who, state)| Act::SetDevice(who, state)),
    ]
}

fn device_state() -> impl Strategy<Value = DeviceState> {
    use DeviceState::*;
    prop_oneof![
        Just(Active),
        Just(Suspended),
        Just(Revoked),
        Just(Compromised)
    ]
}

pub(super) fn name(who: Who) -> UserId {
    format!("customer-{who}").parse().unwrap()
}

/// What callers remember of what they asked.
#[derive(Default)]
pub(super) struct Callers {
    drawn: u64,
    attempts: Vec<(Who, VerificationId)>,
    approvals: Vec<(Who, ApprovalId)>,
    erasures: Vec<ErasureId>,
    /// Whose receipts may have gone dark.
    pub(super) erased: Vec<String>,
}

impl Callers {
    fn draw(&mut self) -> [u8; 16] {
        self.drawn += 1;
        let mut out = [0xcc; 16];
        out[..8].copy_from_slice(&self.drawn.to_be_bytes());
        out
    }

    fn session(&mut self) -> OpenSession {
        let id = self.draw();
        OpenSession {
            id: SessionId::from_bytes(id),
            hash: [id, id].concat().try_into().unwrap(),
            client: [4; 32],
            idle_ms: 300_000,
            absolute_ms: 3_600_000,
        }
    }

    fn attempt(&mut self, who: Who) -> VerificationId {
        let at = self.attempts.iter().position(|(of, _)| *of == who);
        match at {
            Some(at) => self.attempts.remove(at).1,
            None => VerificationId::from_bytes([0; 16]),
        }
    }

    /// The commands of an act, given the state as last seen.
    pub(super) fn commands(&mut self, act: Act, state: &TenantState, now_ms: u64) -> Vec<Command> {
        let modality = [Modality::Face, Modality::Voice][self.drawn as usize % 2];
        let begin = |who, id| Command::BeginEnrollment {
            modality,
            user: name(who),
            id,
            token_hash: [who; 32],
            consent_given: true,
        };
        vec![match act {
            Act::Begin(who) => begin(who, EnrollmentId::from_bytes(self.draw())),
            Act::Enrol(who) => {
                let id = EnrollmentId::from_bytes(self.draw());
                let token_hash = [who; 32];
                let template = Box::new(template(next_transform(state, who)));
                return vec![
                    begin(who, id),
                    Command::ReserveEnrollmentSample { id, token_hash },
                    Command::CompleteEnrollment {
                        id,
                        template,
                        liveness: None,
                        performed: None,
                        searched: None,
                    },
                ];
            }
            Act::Register(who) => Command::RegisterPasskey {
                user: name(who),
                user_handle: state
                    .subject(&name(who))
                    .map_or([who; 16], |(_, subject)| subject.user_handle),
                record: Box::new(record(self.draw().to_vec())),
            },
            Act::Login(who) => {
                let (credential_id, sign_count) = passkey(state, who);
                Command::ConcludeLogin {
                    user: name(who),
                    credential_id,
                    sign_count,
                    backup_state: false,
                    user_verified: true,
                    session: Box::new(self.session()),
                }
            }
            Act::EndSessions(who) => Command::EndSessions {
                user: name(who),
                device: None,
            },
            Act::EndAllSessions => Command::EndAllSessions,
            Act::SetDevice(who, next) => Command::SetDeviceState(Box::new(SetDeviceState {
                user: name(who),
                device: state
                    .subject(&name(who))
                    .map_or(DeviceId::from_bytes([0; 16]), |(_, subject)| {
                        subject.device_id(&passkey(state, who).0)
                    }),
                next,
                reason: "asked for".into(),
                source: "bank",
            })),
            Act::RefuseLogin(who) => Command::RefuseLogin {
                user: name(who),
                credential_id: vec![who],
                reason: "signature",
            },
            Act::Reserve(who) => {
                let id = VerificationId::from_bytes(self.draw());
                self.attempts.push((who, id));
                let user = name(who);
                Command::ReserveAttempt {
                    means: [Means::Face, Means::Voice, Means::Both][self.drawn as usize % 3],
                    user,
                    id,
                    from: Default::default(),
                }
            }
            Act::Conclude(who, accepted) => Command::ConcludeAttempt {
                user: name(who),
                id: self.attempt(who),
                comparison: comparison(accepted),
            },
            Act::Release(who) => Command::ReleaseAttempt {
                user: name(who),
                id: self.attempt(who),
                worker_tier: None,
                reason: "no_face",
            },
            Act::Ask(who) => {
                let id = ApprovalId::from_bytes(self.draw());
                self.approvals.push((who, id));
                Command::CreateApproval(Box::new(asked(who, id, now_ms + 300_000)))
            }
            Act::Give(who) => {
                let mine = self.approvals.iter().rev().find(|(of, _)| *of == who);
                let id = mine.map_or(ApprovalId::from_bytes([0; 16]), |(_, id)| *id);
                let (credential_id, sign_count) = passkey(state, who);
                let proof = Box::new(Proof {
                    assertion: serde_json::json!({}),
                    credential_id,
                    sign_count,
                    backup_state: false,
                    tenant_keys: ["a".into(), "b".into()],
                    rp_id: "localhost".into(),
                    challenge: asked_of(state, id),
                });
                Command::GiveApproval {
                    id,
                    user: name(who),
                    proof,
                }
            }
            Act::Renew(who) => {
                let next = next_transform(state, who);
                Command::RenewTemplate {
                    user: name(who),
                    modality,
                    from: next - 1,
                    template: Box::new(template(next)),
                }
            }
            Act::EraseModality(who) => {
                let id = self.erasure();
                let user = name(who);
                Command::EraseModality { user, modality, id }
            }
            Act::Erase(who) => {
                let id = self.erasure();
                self.erased.push(name(who).to_string());
                let (user, salt) = (name(who), [who; 32]);
                Command::EraseSubject { user, id, salt }
            }
            Act::MarkDark => Command::MarkDark {
                erasures: self.erasures.iter().rev().take(3).copied().collect(),
                statements: vec![Deletion {
                    statement: format!("{}", self.drawn),
                    signature: vec![1],
                }],
                depends_on: Vec::new(),
            },
        }]
    }

    fn erasure(&mut self) -> ErasureId {
        let id = ErasureId::from_bytes(self.draw());
        self.erasures.push(id);
        id
    }
}

/// The customer's first passkey and its next counter.
fn passkey(state: &TenantState, who: Who) -> (Vec<u8>, u32) {
    let subject = state.subject(&name(who));
    let record = subject.and_then(|(_, subject)| subject.passkeys.values().next());
    record.map_or((vec![0], 0), |record| {
        (record.id.clone(), record.sign_count + 1)
    })
}

/// The challenge of an approval of one person.
fn asked_of(state: &TenantState, id: ApprovalId) -> [u8; 32] {
    let approval = state.approvals.get(&id);
    let ask = approval.and_then(|approval| approval.approvers.first()?.asks.first().copied());
    ask.map_or([0; 32], |ask| ask.challenge)
}

fn asked(who: Who, id: ApprovalId, expires_ms: u64) -> CreateApproval {
    let input = ChallengeInput {
        domain: ChallengeInput::DOMAIN.to_owned(),
        tenant: tenant(),
        rp_id: "localhost".into(),
        user_id: name(who),
        purpose: ChallengeInput::PURPOSE.to_owned(),
        expires_ms,
        nonce: [1; 32],
        transaction_jcs: "{}".into(),
    };
    let ask = Ask {
        nonce: [1; 32],
        challenge: input.challenge().0,
    };
    CreateApproval {
        id,
        approvers: vec![AskedOf {
            user: name(who),
            asks: [ask, ask],
        }],
        needed: 1,
        factors: Default::default(),
        currency: "EUR".into(),
        amount: 2_500_000,
        transaction_jcs: "{}".into(),
        expires_ms,
        idempotency: Some(([who; 32], [2; 32])),
    }
}

fn record(id: Vec<u8>) -> CredentialRecord {
    CredentialRecord {
        id,
        public_key: vec![1],
        algorithm: Algorithm::DEFAULT[0],
        sign_count: 0,
        uv_initialized: true,
        transports: vec![],
        backup_eligible: false,
        backup_state: false,
        attestation_format: AttestationFormat::None,
        attestation_trusted: false,
        aaguid: [0; 16],
        created_ms: 1,
    }
}

/// The number that this customer's next template is under.
fn next_transform(state: &TenantState, who: Who) -> u32 {
    let handle = state.users.get(&name(who));
    let next = handle.and_then(|handle| state.next_transform(handle));
    next.unwrap_or(1)
}

fn template(transform: u32) -> Template {
    Template {
        version: 2,
        model: "m".into(),
        transform,
        dimension: 2,
        scale: 1.0,
        values: vec![1, 2],
        quality: 0.9,
        worker_tier: "process".into(),
        enrolled_ms: 1,
    }
}

fn comparison(accepted: bool) -> Comparison {
    let sample = SampleUse {
        model: "m".into(),
        worker_tier: "process".into(),
        template_tier: "process".into(),
        quality: 0.9,
        liveness: None,
        performed: None,
        spoken: None,
    };
    Comparison {
        accepted,
        confidence: 0.5,
        sample,
        parts: Vec::new(),
        from: crate::core::Whereabouts::default(),
    }
}
