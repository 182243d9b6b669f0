//! The pure heart: from state, command and facts to events, or a refusal.

mod approve;
mod attempt;
mod device;
mod duplicate;
mod enroll;
mod erase;
mod metadata;
mod passkey;
mod policy;
mod renew;
mod risk;
mod session;
mod stranger;

pub use passkey::CREDENTIAL_UNKNOWN;
use redoubt_attestation::encode::sha256;
use redoubt_shared::UserId;
use serde_json::Value;

use super::claims::{self, TermContext};
use super::command::{Command, Facts, Reply};
use super::event::{Content, Event, Recorded, SubjectKey};
use super::refusal::Refusal;
use super::ruling::Answer;
use super::state::{Subject, SubjectHandle, TenantState};

/// Nobody's events are sealed like a customer's, but never erased.
const NOBODY_DOMAIN: &[u8] = b"redoubt/nobody/v1";

/// What a command leads to.
pub struct Decision {
    /// To be recorded, in order. Empty: nothing changes.
    pub events: Vec<Recorded>,
    /// For the caller, once the events are durable.
    pub reply: Reply,
}

/// Decides one command. Pure: same arguments, same answer.
pub fn decide(
    state: &TenantState,
    context: &TermContext,
    command: Command,
    facts: &Facts,
) -> Result<Decision, Refusal> {
    let cx = Cx {
        state,
        context,
        facts,
        answer: None,
    };
    match command {
        Command::Ruled { answer, command } => {
            let answer = Some(&*answer);
            decide_one(&Cx { answer, ..cx }, *command)
        }
        command => decide_one(&cx, command),
    }
}

fn decide_one(cx: &Cx<'_>, command: Command) -> Result<Decision, Refusal> {
    match command {
        Command::OpenTenant { keys } => {
            let tenant = cx.context.tenant.clone();
            Ok(cx.done(vec![unowned(Event::TenantOpened { tenant, keys })]))
        }
        Command::BeginTerm { term } => Ok(cx.begin_term(term)),
        Command::Restore { entries } => Ok(cx.restore(entries)),
        Command::RegisterPasskey {
            user,
            user_handle,
            record,
        } => passkey::register(cx, user, user_handle, record),
        Command::ConcludeLogin {
            user,
            credential_id,
            sign_count,
            backup_state,
            user_verified,
            session,
        } => {
            let used = passkey::Used {
                credential_id,
                sign_count,
                backup_state,
            };
            passkey::conclude_login(cx, user, used, user_verified, &session)
        }
        Command::RefuseLogin {
            user,
            credential_id,
            reason,
        } => Ok(passkey::refuse_login(cx, user, &credential_id, reason)),
        Command::EndSession { hash } => session::end_one(cx, hash),
        Command::EndSessions { user, device } => session::end_of_subject(cx, user, device),
        Command::EndAllSessions => Ok(session::end_all(cx)),
        Command::DescribeDevice(asked) => device::describe(cx, *asked),
        Command::SetDeviceState(asked) => device::set_state(cx, *asked),
        Command::BeginEnrollment {
            user,
            modality,
            id,
            token_hash,
            consent_given,
        } => enroll::begin(cx, user, modality, (id, token_hash), consent_given),
        Command::ReserveEnrollmentSample { id, token_hash } => enroll::reserve(cx, id, token_hash),
        Command::RefuseApproval {
            id,
            user,
            credential_id,
            reason,
        } => approve::refuse(cx, id, user, &credential_id, reason),
        Command::ReleaseEnrollmentSample {
            id,
            worker_tier,
            reason,
        } => enroll::release(cx, id, reason, worker_tier.as_deref()),
        Command::CompleteEnrollment {
            id,
            template,
            liveness,
            performed,
            searched,
        } => {
            let looked = (liveness, performed.as_ref(), searched.as_ref());
            enroll::complete(cx, id, template, looked)
        }
        Command::RenewTemplate {
            user,
            modality,
            from,
            template,
        } => renew::template(cx, user, modality, from, template),
        Command::ReserveAttempt {
            user,
            means,
            id,
            from,
        } => attempt::reserve(cx, user, means, id, from),
        Command::ReleaseAttempt {
            user,
            id,
            worker_tier,
            reason,
        } => attempt::release(cx, user, id, reason, worker_tier.as_deref()),
        Command::ConcludeAttempt {
            user,
            id,
            comparison,
        } => attempt::conclude(cx, user, id, &comparison, None),
        Command::EraseModality { user, modality, id } => erase::modality(cx, user, modality, id),
        Command::EraseSubject { user, id, salt } => erase::subject(cx, user, id, salt),
        Command::MarkDark {
            erasures,
            statements,
            depends_on,
        } => erase::mark_dark(cx, erasures, statements, depends_on),
        Command::TakeMetadata { metadata } => metadata::take(cx, metadata),
        Command::JudgeModels => Ok(metadata::judge(cx)),
        Command::TakeBundle { bundle, signers } => policy::take(cx, bundle, &signers),
        Command::ChooseBundle {
            version,
            after,
            signers,
        } => policy::choose(cx, version, after, &signers),
        // One answer belongs to one command.
        Command::Ruled { command, .. } => decide_one(cx, *command),
        Command::ConcludeModels { models } => Ok(metadata::conclude(cx, &models)),
        Command::RefuseUnnamedLogin { reason } => Ok(passkey::refuse_unnamed(cx, reason)),
        Command::CreateApproval(asked) => approve::create(cx, *asked),
        Command::GiveApproval { id, user, proof } => {
            let (given, challenge) = approve::Given::of(*proof);
            approve::give(cx, id, user, given, challenge)
        }
        Command::RejectApproval {
            id,
            user,
            proof,
            idempotency,
        } => {
            let given = proof.map(|proof| approve::Given::of(*proof));
            approve::reject(cx, id, user, given, idempotency)
        }
        Command::CancelApproval { id, idempotency } => approve::cancel(cx, id, idempotency),
        Command::ConcludeApprovalSample {
            approval,
            user,
            id,
            comparison,
        } => approve::sample(cx, approval, user, id, &comparison),
    }
}

/// What every decision looks at.
struct Cx<'a> {
    state: &'a TenantState,
    context: &'a TermContext,
    facts: &'a Facts,
    answer: Option<&'a Answer>,
}

impl Cx<'_> {
    fn done(&self, events: Vec<Recorded>) -> Decision {
        Decision {
            events,
            reply: Reply::Done,
        }
    }

    fn subject(&self, user: &UserId) -> Result<(SubjectHandle, &Subject), Refusal> {
        self.state.subject(user).ok_or(Refusal::UnknownUser)
    }

    fn begin_term(&self, term: u64) -> Decision {
        let event = Event::TermBegan {
            term,
            at_ms: self.facts.now_ms,
            max_failures: self.context.max_failures,
            lockout_ms: self.context.lockout_ms,
        };
        let handle = SubjectHandle::NOBODY;
        let seeds = self.state.keys.as_ref();
        let seeds = seeds.filter(|_| !self.state.subjects.contains_key(&handle));
        let opened = seeds.map(|seeds| {
            let key = sha256(&[NOBODY_DOMAIN, &seeds.es256, &seeds.mldsa65]).0;
            let key = SubjectKey::new(key);
            unowned(Event::SubjectOpened { handle, key })
        });
        self.done(std::iter::once(unowned(event)).chain(opened).collect())
    }

    fn restore(&self, (found, lost): (u64, u64)) -> Decision {
        let event = Event::Restored {
            at_ms: self.facts.now_ms,
            max_failures: self.context.max_failures,
            lockout_ms: self.context.lockout_ms,
        };
        let lost = lost.saturating_sub(found);
        let own = serde_json::json!({ "entries_found": found, "entries_lost": lost });
        self.done(vec![
            unowned(event),
            self.claim_about_nobody("restore", own),
        ])
    }

    /// Events that open a subject, if the bank's name is new.
    fn open_subject(&self, user: &UserId, user_handle: [u8; 16]) -> (SubjectHandle, Vec<Recorded>) {
        if let Some((handle, _)) = self.state.subject(user) {
            return (handle, Vec::new());
        }
        let handle = self.facts.handle;
        let opened = Event::SubjectOpened {
            handle,
            key: SubjectKey::new(self.facts.subject_key),
        };
        let named = Event::SubjectNamed {
            handle,
            user: user.clone(),
            user_handle,
        };
        let mut events = vec![unowned(opened), owned(handle, named)];
        events.extend(erase::take_up(self, user, handle));
        (handle, events)
    }

    /// A claim of this command, sealed under its subject's key.
    fn claim(
        &self,
        owner: SubjectHandle,
        kind: &str,
        user: &UserId,
        worker_tier: Option<&str>,
        own: Value,
    ) -> Recorded {
        let (context, facts) = (self.context, self.facts);
        let text = claims::text(
            context,
            facts,
            kind,
            Some(user),
            self.bundle(),
            worker_tier,
            own,
        );
        self.claimed(Some(owner), text)
    }

    /// The same without a name, sealed as a customer's is.
    fn claim_of_nobody(&self, kind: &str, own: Value) -> Recorded {
        let text = claims::text(
            self.context,
            self.facts,
            kind,
            None,
            self.bundle(),
            None,
            own,
        );
        self.claimed(Some(SubjectHandle::NOBODY), text)
    }

    /// A claim about nobody: it outlives every subject.
    fn claim_about_nobody(&self, kind: &str, own: Value) -> Recorded {
        let bundle = self.bundle();
        let text = claims::text(self.context, self.facts, kind, None, bundle, None, own);
        self.claimed(None, text)
    }

    /// Which of the tenant's bundles is in force.
    fn bundle(&self) -> Option<[u8; 32]> {
        self.state.bundles.active().map(|bundle| bundle.digest)
    }

    fn claimed(&self, owner: Option<SubjectHandle>, text: String) -> Recorded {
        Recorded {
            owner,
            content: Content::Claims { text },
        }
    }
}

fn unowned(event: Event) -> Recorded {
    Recorded {
        owner: None,
        content: Content::State(Box::new(event)),
    }
}

fn owned(owner: SubjectHandle, event: Event) -> Recorded {
    Recorded {
        owner: Some(owner),
        content: Content::State(Box::new(event)),
    }
}
