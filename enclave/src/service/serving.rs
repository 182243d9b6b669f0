//! What a serving enclave holds, and its `Services` for the gateway.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_attestation::genesis::Tenant;
use redoubt_attestation::sign::HybridSigner;
use redoubt_shared::supervise::Phase;
use redoubt_shared::{ApprovalId, DeviceId, ErasureId, ReceiptId, TenantId, UserId};
use zeroize::Zeroizing;

use super::approvals::Listeners;
use super::boot::{Appliance, BootError, Counters, anchors};
use super::challenges::Challenges;
use super::decoys::Decoys;
use super::drawn::DrawnChallenges;
use super::freshness::NoteKeys;
use super::idle::Idle;
use super::liveness::Moves;
use super::passkey_rules::PasskeyRules;
use super::problems::{commit, internal};
use super::rotate::Epochs;
use super::spoken::Digits;
use super::watch::Tags;
use crate::api::{self, *};
use crate::biometrics::Transforms;
use crate::core::{Command, Reply};
use crate::keys::CertificateAuthority;
use crate::ledger::{Claim, Ledgers};
use crate::worker_link::WorkerLink;

/// How often the TLS leaf is renewed; it is valid for a day.
const RENEW_LEAF: Duration = Duration::from_secs(6 * 3600);

/// One tenant, as configured and keyed.
pub(super) struct TenantService {
    pub(super) config: Tenant,
    pub(super) signer: Arc<HybridSigner>,
    pub(super) decoys: Decoys,
    pub(super) transforms: Transforms,
    pub(super) tags: Tags,
    pub(super) rules: Arc<PasskeyRules>,
    /// Held by whoever suspends devices of compromised models.
    pub(super) acting: tokio::sync::Mutex<()>,
}

/// Everything behind a serving enclave's routes.
pub(super) struct Serving {
    pub(super) ledgers: Ledgers,
    pub(super) tenants: HashMap<TenantId, TenantService>,
    pub(super) ca: CertificateAuthority,
    pub(super) term: u64,
    pub(super) challenges: Challenges,
    /// Moves that faces are asked for.
    pub(super) moves: DrawnChallenges<Moves>,
    /// Digits that voices are asked for.
    pub(super) digits: DrawnChallenges<Digits>,
    pub(super) idle: Idle,
    pub(super) listeners: Arc<Listeners>,
    pub(super) note_keys: NoteKeys,
    pub(super) worker: WorkerLink,
    pub(super) epochs: Epochs,
}

impl Serving {
    pub(super) fn tenant(&self, id: &TenantId) -> Result<&TenantService, Problem> {
        self.tenants
            .get(id)
            .ok_or_else(|| internal("a caller of a tenant that is not configured"))
    }
}

impl Appliance {
    /// Presents a fresh leaf from now on.
    pub(super) fn install_leaf(&self, ca: &CertificateAuthority) -> Result<(), BootError> {
        let now_ms = self
            .clock
            .now_ms()
            .ok_or_else(|| BootError::Keys("there is no trusted time".into()))?;
        let leaf = ca.mint(&self.keys.tls, &self.config.config.server_names, now_ms)?;
        let chain = vec![leaf, ca.certificate().clone()];
        let trust = Trust::new(chain, self.keys.tls.private(), anchors(&self.config)?)?;
        *self
            .trust
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(trust);
        Ok(())
    }

    /// Renews the leaf for as long as this serving lives.
    pub(super) fn renew_leaf(self: &Arc<Self>, serving: &Arc<Serving>) {
        let (appliance, serving): (Weak<Self>, Weak<Serving>) =
            (Arc::downgrade(self), Arc::downgrade(serving));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEW_LEAF).await;
                let (Some(appliance), Some(serving)) = (appliance.upgrade(), serving.upgrade())
                else {
                    return;
                };
                if let Err(error) = appliance.install_leaf(&serving.ca) {
                    tracing::warn!(%error, "the TLS leaf was not renewed");
                }
            }
        });
    }
}

impl Appliance {
    /// One command through the ledger.
    pub(super) async fn decide(
        &self,
        serving: &Serving,
        caller: &Caller,
        command: Command,
        now_ms: u64,
    ) -> Result<(Reply, Option<Claim>), Problem> {
        let outcome = serving.ledgers.decide(&caller.tenant, command).await;
        let outcome = outcome.map_err(|error| commit(error, now_ms))?;
        Counters::add(&self.counters.decisions);
        Ok((outcome.reply, outcome.claim))
    }

    /// One command that makes a claim.
    pub(super) async fn decide_claim(
        &self,
        serving: &Serving,
        caller: &Caller,
        command: Command,
        now_ms: u64,
    ) -> Result<Claim, Problem> {
        let (_, claim) = self.decide(serving, caller, command, now_ms).await?;
        claim.ok_or_else(|| internal("a decision made no claim"))
    }
}

/// Work that several steps belong to, in its own task: a caller that hangs up
/// leaves no reservation behind, and no ceremony of an erased customer. What
/// takes one step of the ledger needs no such task.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(work).await;
    done.map_err(|_| internal("a request's task failed"))?
}

/// The appliance as the gateway sees it.
#[derive(Clone)]
pub struct Front(pub Arc<Appliance>);

impl Services for Front {
    fn phase(&self) -> Phase {
        self.0.current_phase()
    }

    fn now_ms(&self) -> Option<u64> {
        self.0.clock.now_ms()
    }

    fn trust(&self) -> Arc<Trust> {
        self.0
            .trust
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.counters.list()
    }

    async fn attestation(&self, request: AttestationRequest) -> Result<AttestationReply, Problem> {
        self.0.answer_attestation(request).await
    }

    async fn submit_share(&self, share: ShareSubmission) -> Result<ShareAccepted, Problem> {
        self.0.take_share(share).await
    }

    async fn register_options(
        &self,
        caller: Caller,
        request: RegisterOptions,
    ) -> Result<CreationOptions, Problem> {
        self.0.register_options(&caller, request).await
    }

    async fn liveness_challenge(
        &self,
        caller: Caller,
        request: ChallengeRequest,
    ) -> Result<LivenessChallenge, Problem> {
        self.0.liveness_challenge(&caller, request).await
    }

    async fn register_verify(
        &self,
        caller: Caller,
        request: Presented<RegistrationResponse>,
    ) -> Result<Registered, Problem> {
        self.0.register_verify(&caller, request).await
    }

    async fn authenticate_options(
        &self,
        caller: Caller,
        request: AuthenticateOptions,
    ) -> Result<RequestOptions, Problem> {
        self.0.authenticate_options(&caller, request).await
    }

    async fn authenticate_verify(
        &self,
        caller: Caller,
        request: PresentedLogin,
    ) -> Result<Authenticated, Problem> {
        self.0.authenticate_verify(&caller, request).await
    }

    async fn put_metadata(
        &self,
        caller: Caller,
        blob: Zeroizing<Vec<u8>>,
    ) -> Result<MetadataTaken, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.put_metadata(&caller, blob).await }).await
    }

    async fn get_metadata(&self, caller: Caller) -> Result<MetadataStatus, Problem> {
        self.0.get_metadata(&caller).await
    }

    async fn put_policy(
        &self,
        caller: Caller,
        request: PolicyUpload,
    ) -> Result<PolicyActivated, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.put_policy(&caller, request).await }).await
    }

    async fn get_policy(&self, caller: Caller) -> Result<PolicyStatus, Problem> {
        self.0.get_policy(&caller).await
    }

    async fn order_policy(
        &self,
        caller: Caller,
        request: PolicyOrder,
    ) -> Result<PolicyActivated, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.order_policy(&caller, request).await }).await
    }

    async fn try_policy(
        &self,
        caller: Caller,
        request: PolicyTrial,
    ) -> Result<PolicyDryRun, Problem> {
        self.0.try_policy(&caller, request).await
    }

    async fn related_origins(&self, caller: Caller) -> Result<RelatedOrigins, Problem> {
        self.0.related_origins(&caller)
    }

    async fn enroll_initiate(
        &self,
        caller: Caller,
        request: EnrollInitiate,
    ) -> Result<EnrollInitiated, Problem> {
        self.0.enroll_initiate(&caller, request).await
    }

    async fn enroll_submit(
        &self,
        caller: Caller,
        request: EnrollSubmit,
        samples: Vec<Sample>,
    ) -> Result<Enrolled, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.enroll_submit(&caller, request, samples).await }).await
    }

    async fn verify(
        &self,
        caller: Caller,
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.verify_sample(&caller, request).await }).await
    }

    async fn create_approval(
        &self,
        caller: Caller,
        request: ApprovalRequest,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<ApprovalCreated, Problem> {
        self.0
            .create_approval(&caller, request, idempotency_key)
            .await
    }

    async fn get_approval(&self, caller: Caller, id: ApprovalId) -> Result<api::Approval, Problem> {
        self.0.get_approval(&caller, id).await
    }

    async fn verify_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        request: Presented<AuthenticationResponse>,
    ) -> Result<ApprovalVerified, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.verify_approval(&caller, id, request).await }).await
    }

    async fn approval_options(
        &self,
        caller: Caller,
        id: ApprovalId,
        query: AnswerOptions,
    ) -> Result<RequestOptions, Problem> {
        self.0.answer_options(&caller, id, query).await
    }

    async fn approval_sample(
        &self,
        caller: Caller,
        id: ApprovalId,
        modality: Modality,
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move {
            let asked = (id, modality);
            appliance.approval_sample(&caller, asked, request).await
        })
        .await
    }

    async fn reject_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        request: Rejection,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<ApprovalVerified, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move {
            let rejected = appliance.reject_approval(&caller, id, request, idempotency_key);
            rejected.await
        })
        .await
    }

    async fn cancel_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<ApprovalVerified, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move {
            let cancelled = appliance.cancel_approval(&caller, id, idempotency_key);
            cancelled.await
        })
        .await
    }

    async fn follow_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
    ) -> Result<ApprovalFeed, Problem> {
        Arc::clone(&self.0).follow_approval(caller, id).await
    }

    async fn receipt(&self, reader: Reader, id: ReceiptId) -> Result<Document, Problem> {
        self.0.receipt(reader, id).await
    }

    async fn audit_events(
        &self,
        reader: Reader,
        query: EventsQuery,
    ) -> Result<EventsPage, Problem> {
        self.0.audit_events(reader, query).await
    }

    async fn audit_export(&self, reader: Reader, query: ExportQuery) -> Result<JsonLines, Problem> {
        self.0.audit_export(reader, query).await
    }

    async fn erase_modality(
        &self,
        caller: Caller,
        user: UserId,
        modality: Modality,
    ) -> Result<Erased, Problem> {
        self.0.erase_modality(&caller, user, modality).await
    }

    async fn renew_template(
        &self,
        caller: Caller,
        user: UserId,
        modality: Modality,
    ) -> Result<Renewed, Problem> {
        self.0.renew_template(&caller, user, modality).await
    }

    async fn erase_subject(&self, caller: Caller, user: UserId) -> Result<Erased, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move { appliance.erase_subject(&caller, user).await }).await
    }

    async fn get_erasure(&self, caller: Caller, id: ErasureId) -> Result<api::Erasure, Problem> {
        self.0.get_erasure(&caller, id).await
    }

    async fn rotate_epoch(&self, request: RotateEpoch) -> Result<EpochStatus, Problem> {
        self.0.rotate_epoch(request).await
    }

    async fn hand_over(&self, order: HandoverRequest) -> Result<HandedOver, Problem> {
        self.0.hand_over(order).await
    }

    async fn take_over(&self, request: TakeRequest) -> Result<TakingOver, Problem> {
        self.0.take_over(request).await
    }

    async fn halt_by_order(&self, request: HaltRequest) -> Result<Halted, Problem> {
        self.0.halt_by_order(request).await
    }

    async fn epoch_status(&self) -> Result<EpochStatus, Problem> {
        self.0.epoch_status().await
    }

    async fn checkpoint(&self, caller: Caller, note: String) -> Result<(), Problem> {
        self.0.checkpoint(&caller, note).await
    }

    async fn introspect(
        &self,
        caller: Caller,
        token: SessionToken,
        form: IntrospectionForm,
    ) -> Result<Introspected, Problem> {
        self.0.introspect(&caller, &token, form).await
    }

    async fn revoke_token(
        &self,
        caller: Caller,
        token: SessionToken,
    ) -> Result<SessionsEnded, Problem> {
        self.0.revoke_token(&caller, &token).await
    }

    async fn end_sessions(
        &self,
        caller: Caller,
        scope: SessionScope,
    ) -> Result<SessionsEnded, Problem> {
        self.0.end_sessions(&caller, scope).await
    }

    async fn jwks(&self, caller: Caller) -> Result<JwkSet, Problem> {
        self.0.jwks(&caller)
    }

    async fn devices(&self, caller: Caller, user: UserId) -> Result<Devices, Problem> {
        self.0.devices(&caller, user).await
    }

    async fn history(&self, caller: Caller, user: UserId) -> Result<History, Problem> {
        self.0.history(&caller, user).await
    }

    async fn stats(&self, caller: Caller, user: UserId) -> Result<Stats, Problem> {
        self.0.stats(&caller, user).await
    }

    async fn security_alerts(
        &self,
        caller: Caller,
        query: AlertsQuery,
    ) -> Result<SecurityAlerts, Problem> {
        self.0.security_alerts(&caller, query).await
    }

    async fn describe_device(
        &self,
        caller: Caller,
        user: UserId,
        device: DeviceId,
        request: DescribeDevice,
    ) -> Result<Device, Problem> {
        self.0.describe_device(&caller, user, device, request).await
    }

    async fn set_device_state(
        &self,
        caller: Caller,
        user: UserId,
        device: DeviceId,
        request: SetDeviceState,
    ) -> Result<DeviceStateSet, Problem> {
        let appliance = Arc::clone(&self.0);
        to_its_end(async move {
            let set = appliance.set_device_state(&caller, user, device, request);
            set.await
        })
        .await
    }
}
