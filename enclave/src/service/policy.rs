//! A tenant's own policy: taken, tried, asked.
//!
//! Protects against a policy that nobody meant: it is in force only after k of the
//! tenant's signers signed it, everything in it compiled, and its own tests passed.

use std::sync::Arc;

use redoubt_attestation::genesis::{PolicySigners, SignedFile, SignedFileError};
use redoubt_shared::{LedgerId, TenantId};

use super::boot::{Appliance, Counters};
use super::problems::{commit, internal};
use super::receipts::to_json;
use super::serving::Serving;
use crate::api::{
    Caller, Document, PolicyActivated, PolicyActivation, PolicyAnswer, PolicyChange, PolicyDryRun,
    PolicyOrder, PolicyStatus, PolicyTrial, PolicyUpload, PolicyVersion, Problem, Timestamp,
};
use crate::core::{
    Activation, Answer, Bundle, Bundles, Command, Decided, Question, Refusal, Reply, Ruling,
};
use crate::ledger::{Claim, CommitError};
use crate::rego::{BundleError, PolicyBundle, PolicyRollback, Refused};

/// How often a decision is asked again because its facts changed meanwhile.
const ROUNDS: usize = 4;

impl Appliance {
    pub(super) async fn put_policy(
        &self,
        caller: &Caller,
        request: PolicyUpload,
    ) -> Result<PolicyActivated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let signed = Signed::read(&serving, caller, &request.bundle)?;
        let bundle = PolicyBundle::read(&signed.payload, &caller.tenant, signed.ledger);
        let bundle = bundle.map_err(unread)?;
        let version = bundle.version;
        let texts = bundle.texts();
        let turn = self.evaluators.turn(&caller.tenant);
        let turn = turn.ok_or_else(Problem::busy)?;
        let checked = self.evaluators.check(turn, texts.clone()).await;
        let tests = checked.map_err(|error| unfit(&error))?;
        let bundle = Box::new(Bundle {
            version,
            digest: signed.digest,
            modules: texts,
        });
        let command = Command::TakeBundle {
            bundle,
            signers: signed.signers,
        };
        let claim = self.decide_claim(&serving, caller, command, now_ms).await?;
        activated(&serving, caller, &claim, tests).await
    }

    pub(super) async fn order_policy(
        &self,
        caller: &Caller,
        request: PolicyOrder,
    ) -> Result<PolicyActivated, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let signed = Signed::read(&serving, caller, &request.order)?;
        let order = PolicyRollback::read(&signed.payload, &caller.tenant, signed.ledger);
        let order = order.map_err(unread)?;
        let command = Command::ChooseBundle {
            version: order.version,
            after: order.after,
            signers: signed.signers,
        };
        let claim = self.decide_claim(&serving, caller, command, now_ms).await?;
        activated(&serving, caller, &claim, Vec::new()).await
    }

    pub(super) async fn get_policy(&self, caller: &Caller) -> Result<PolicyStatus, Problem> {
        let bundles = bundles(&*self.serving()?, &caller.tenant).await?;
        let mut history: Vec<_> = bundles.activations.values().map(|one| shown(one)).collect();
        history.reverse();
        let kept = bundles.kept.values().map(|bundle| PolicyVersion {
            version: bundle.version,
            digest: hex::encode(bundle.digest),
        });
        Ok(PolicyStatus {
            active: history.first().cloned(),
            kept: kept.collect(),
            history,
        })
    }

    pub(super) async fn try_policy(
        &self,
        caller: &Caller,
        request: PolicyTrial,
    ) -> Result<PolicyDryRun, Problem> {
        let serving = self.serving()?;
        let (_, ledger) = signers(&serving, caller)?;
        let payload = request.bundle.to_string();
        let bundle = PolicyBundle::read(payload.as_bytes(), &caller.tenant, ledger);
        let bundle = bundle.map_err(unread)?;
        let turn = self.evaluators.dry_turn(&caller.tenant);
        let turn = turn.ok_or_else(Problem::busy)?;
        let tenant = caller.tenant.clone();
        let look = serving.ledgers.look(move |core| -> Vec<Arc<Decided>> {
            let core = core.tenants.get(&tenant);
            let decisions = core
                .into_iter()
                .flat_map(|core| core.state.decisions.values());
            decisions.cloned().collect()
        });
        let decisions = look.await.map_err(|error| commit(error, 0))?;
        let inputs = decisions.iter().map(|one| one.input.to_json().to_string());
        let tried = self
            .evaluators
            .try_out(turn, bundle.texts(), inputs.collect());
        let (tests, rulings) = tried.await.map_err(|error| unfit(&error))?;
        let pairs = decisions.iter().zip(rulings);
        let mut changes: Vec<_> = pairs
            .filter_map(|(was, would)| change(was, would))
            .collect();
        changes.reverse();
        Ok(PolicyDryRun {
            tests,
            decisions: decisions.len() as u64,
            unchanged: (decisions.len() - changes.len()) as u64,
            changes,
        })
    }

    /// A decision on which the tenant's own policy has a say: asked when the decision
    /// asks for it, and again when the facts changed meanwhile. Facts that never stand
    /// still are a no.
    pub(super) async fn decide_ruled(
        &self,
        serving: &Serving,
        caller: &Caller,
        command: impl Fn() -> Command,
        now_ms: u64,
    ) -> Result<(Reply, Option<Claim>), Problem> {
        let mut next = command();
        for round in 0..=ROUNDS + 1 {
            match serving.ledgers.decide(&caller.tenant, next).await {
                Err(CommitError::Refused(Refusal::PolicyAsks(question))) => {
                    let answer = match round < ROUNDS {
                        true => self.ask_policy(serving, &caller.tenant, *question).await?,
                        false => Answer::Unsettled,
                    };
                    next = Command::Ruled {
                        answer: Box::new(answer),
                        command: Box::new(command()),
                    };
                }
                outcome => {
                    let outcome = outcome.map_err(|error| commit(error, now_ms))?;
                    Counters::add(&self.counters.decisions);
                    return Ok((outcome.reply, outcome.claim));
                }
            }
        }
        Err(internal("a decision that never ended"))
    }

    async fn ask_policy(
        &self,
        serving: &Serving,
        tenant: &TenantId,
        question: Question,
    ) -> Result<Answer, Problem> {
        let bundles = bundles(serving, tenant).await?;
        let bundle = bundles.active().filter(|one| one.digest == question.bundle);
        let ruling = match bundle {
            Some(bundle) => {
                let input = question.input.to_json().to_string();
                self.evaluators.rule(tenant, bundle, input).await
            }
            // Another is in force by now: the decision will ask that one.
            None => Ruling::failed("policy_changed"),
        };
        Ok(Answer::Given { question, ruling })
    }
}

/// A document that enough of the tenant's policy signers signed.
struct Signed {
    payload: Vec<u8>,
    /// The tenant's own, which it must name.
    ledger: LedgerId,
    digest: [u8; 32],
    signers: Vec<String>,
}

impl Signed {
    fn read(serving: &Serving, caller: &Caller, document: &Document) -> Result<Self, Problem> {
        let (own, ledger) = signers(serving, caller)?;
        let not_signed = |error: SignedFileError| refused("not_signed", &error.to_string());
        let file = SignedFile::parse(document.to_string().as_bytes()).map_err(not_signed)?;
        let verified = file.verify(&own.signers, own.threshold.into());
        let payload = verified.map_err(not_signed)?;
        let digest = file.digest().map_err(not_signed)?.0;
        let signers = file.signers().collect();
        Ok(Self {
            payload,
            ledger,
            digest,
            signers,
        })
    }
}

/// A tenant's signers, and the ledger that what they sign must name.
fn signers<'a>(
    serving: &'a Serving,
    caller: &Caller,
) -> Result<(&'a PolicySigners, LedgerId), Problem> {
    let config = &serving.tenant(&caller.tenant)?.config;
    let signers = config.policy_signers.as_ref();
    let signers = signers.ok_or_else(Problem::policy_not_configured)?;
    Ok((signers, config.ledger))
}

async fn bundles(serving: &Serving, tenant: &TenantId) -> Result<Bundles, Problem> {
    let tenant = tenant.clone();
    let look = serving.ledgers.look(move |core| {
        let core = core.tenants.get(&tenant);
        core.map(|core| core.state.bundles.clone())
            .unwrap_or_default()
    });
    look.await.map_err(|error| commit(error, 0))
}

/// The reply to a claim that says what is in force from now on.
async fn activated(
    serving: &Serving,
    caller: &Caller,
    claim: &Claim,
    tests: Vec<String>,
) -> Result<PolicyActivated, Problem> {
    let bundles = bundles(serving, &caller.tenant).await?;
    let receipt = crate::core::receipt_of(&claim.text);
    let mut activations = bundles.activations.values();
    let ours = activations.find(|one| Some(one.receipt) == receipt);
    let ours = ours.ok_or_else(|| internal("an activation that is not there"))?;
    let shown = shown(ours);
    Ok(PolicyActivated {
        activation: shown.activation,
        version: shown.version,
        digest: shown.digest,
        tests,
        receipt: to_json(&claim.receipt())?,
    })
}

fn shown(activation: &Activation) -> PolicyActivation {
    PolicyActivation {
        activation: activation.ordinal,
        version: activation.version,
        digest: activation.digest.map(hex::encode),
        activated_at: Timestamp(activation.at_ms),
        rollback: activation.rollback,
        receipt_id: activation.receipt.to_string(),
    }
}

/// A decision whose effect would be another.
fn change(was: &Decided, would_be: Ruling) -> Option<PolicyChange> {
    let answer = |ruling: &Ruling| PolicyAnswer {
        effect: ruling.effect.name(),
        reasons: ruling.reasons.clone(),
    };
    (was.ruling.effect != would_be.effect).then(|| PolicyChange {
        receipt_id: was.receipt.to_string(),
        decided_at: Timestamp(was.at_ms),
        input: was.input.to_json(),
        was: answer(&was.ruling),
        would_be: answer(&would_be),
    })
}

fn unread(error: BundleError) -> Problem {
    let text = error.to_string();
    let detail = text.split_once(": ").map_or(&*text, |(_, detail)| detail);
    refused(error.code(), detail)
}

fn unfit(error: &Refused) -> Problem {
    refused(&error.code, &error.detail)
}

/// A bundle or an order that is not obeyed.
pub(super) fn refused(code: &str, detail: &str) -> Problem {
    Problem::policy_refused().detail(format!("{code}: {detail}"))
}
