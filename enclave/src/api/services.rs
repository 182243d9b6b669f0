//! The one seam between the gateway and what decides.
//!
//! Protects against: a gateway that decides. It parses, authenticates the
//! session and admits; every use case below is someone else's to answer, with
//! typed values in and a typed reply or one [`Problem`] out.

use std::future::Future;
use std::sync::Arc;

use redoubt_shared::supervise::Phase;
use redoubt_shared::{ApprovalId, DeviceId, ErasureId, ReceiptId, UserId};
use zeroize::Zeroizing;

use super::*;

/// Everything the gateway may ask. The gateway has checked phase, certificate
/// and role by its route table before any call that takes a [`Caller`].
pub trait Services: Send + Sync + 'static {
    /// Where the enclave stands.
    fn phase(&self) -> Phase;

    /// The appliance's own time in Unix milliseconds; nothing when it is not
    /// known, and then no client certificate can be accepted.
    fn now_ms(&self) -> Option<u64>;

    /// The TLS material in force. The same `Arc` as long as nothing changed.
    fn trust(&self) -> Arc<Trust>;

    /// Counters for the supervisor, from a fixed list of names.
    fn counters(&self) -> Vec<(&'static str, u64)>;

    /// A fresh document bound to the asking session.
    fn attestation(
        &self,
        request: AttestationRequest,
    ) -> impl Future<Output = Result<AttestationReply, Problem>> + Send;

    /// Takes one officer's share.
    fn submit_share(
        &self,
        share: ShareSubmission,
    ) -> impl Future<Output = Result<ShareAccepted, Problem>> + Send;

    /// Options to create a passkey.
    fn register_options(
        &self,
        caller: Caller,
        request: RegisterOptions,
    ) -> impl Future<Output = Result<CreationOptions, Problem>> + Send;

    /// Registers the created passkey.
    fn register_verify(
        &self,
        caller: Caller,
        request: PresentedRegistration,
    ) -> impl Future<Output = Result<Registered, Problem>> + Send;

    /// Options to use a passkey.
    fn authenticate_options(
        &self,
        caller: Caller,
        request: AuthenticateOptions,
    ) -> impl Future<Output = Result<RequestOptions, Problem>> + Send;

    /// Verifies the use of a passkey.
    fn authenticate_verify(
        &self,
        caller: Caller,
        request: PresentedLogin,
    ) -> impl Future<Output = Result<Authenticated, Problem>> + Send;

    /// Takes a FIDO metadata BLOB and acts on it.
    fn put_metadata(
        &self,
        caller: Caller,
        blob: Zeroizing<Vec<u8>>,
    ) -> impl Future<Output = Result<MetadataTaken, Problem>> + Send;

    /// The FIDO metadata in force.
    fn get_metadata(
        &self,
        caller: Caller,
    ) -> impl Future<Output = Result<MetadataStatus, Problem>> + Send;

    /// Takes a bundle of the tenant's own policy and puts it in force.
    fn put_policy(
        &self,
        caller: Caller,
        request: PolicyUpload,
    ) -> impl Future<Output = Result<PolicyActivated, Problem>> + Send;

    /// What is and was in force.
    fn get_policy(
        &self,
        caller: Caller,
    ) -> impl Future<Output = Result<PolicyStatus, Problem>> + Send;

    /// Goes back to an earlier bundle, or to none.
    fn order_policy(
        &self,
        caller: Caller,
        request: PolicyOrder,
    ) -> impl Future<Output = Result<PolicyActivated, Problem>> + Send;

    /// What a bundle would have changed; nothing is recorded.
    fn try_policy(
        &self,
        caller: Caller,
        request: PolicyTrial,
    ) -> impl Future<Output = Result<PolicyDryRun, Problem>> + Send;

    /// Pages outside the RP ID's domain that may use its passkeys.
    fn related_origins(
        &self,
        caller: Caller,
    ) -> impl Future<Output = Result<RelatedOrigins, Problem>> + Send;

    /// Starts an enrolment.
    fn enroll_initiate(
        &self,
        caller: Caller,
        request: EnrollInitiate,
    ) -> impl Future<Output = Result<EnrollInitiated, Problem>> + Send;

    /// Takes the samples of an enrolment.
    fn enroll_submit(
        &self,
        caller: Caller,
        request: EnrollSubmit,
        samples: Vec<Sample>,
    ) -> impl Future<Output = Result<Enrolled, Problem>> + Send;

    /// Draws a challenge for a customer before a camera or a microphone.
    fn liveness_challenge(
        &self,
        caller: Caller,
        request: ChallengeRequest,
    ) -> impl Future<Output = Result<LivenessChallenge, Problem>> + Send;

    /// Compares a sample with a template.
    fn verify(
        &self,
        caller: Caller,
        request: VerifyRequest,
    ) -> impl Future<Output = Result<Verification, Problem>> + Send;

    /// Asks for the approval of a transaction.
    fn create_approval(
        &self,
        caller: Caller,
        request: ApprovalRequest,
        idempotency_key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<ApprovalCreated, Problem>> + Send;

    /// An approval as it stands.
    fn get_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
    ) -> impl Future<Output = Result<Approval, Problem>> + Send;

    /// Takes the customer's answer to an approval.
    fn verify_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        request: PresentedAuthentication,
    ) -> impl Future<Output = Result<ApprovalVerified, Problem>> + Send;

    /// Options for an answer of one of those asked.
    fn approval_options(
        &self,
        caller: Caller,
        id: ApprovalId,
        query: AnswerOptions,
    ) -> impl Future<Output = Result<RequestOptions, Problem>> + Send;

    /// Compares a sample with the template of somebody whose face, or voice, an approval
    /// asks for.
    fn approval_sample(
        &self,
        caller: Caller,
        id: ApprovalId,
        modality: Modality,
        request: VerifyRequest,
    ) -> impl Future<Output = Result<Verification, Problem>> + Send;

    /// Takes a customer's rejection.
    fn reject_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        request: Rejection,
        idempotency_key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<ApprovalVerified, Problem>> + Send;

    /// Takes an approval back.
    fn cancel_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        idempotency_key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<ApprovalVerified, Problem>> + Send;

    /// Tells of an approval's changes, each once it is durable.
    fn follow_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
    ) -> impl Future<Output = Result<ApprovalFeed, Problem>> + Send;

    /// A receipt with its evidence.
    fn receipt(
        &self,
        reader: Reader,
        id: ReceiptId,
    ) -> impl Future<Output = Result<Document, Problem>> + Send;

    /// Claims of a tenant's ledger, by filter.
    fn audit_events(
        &self,
        reader: Reader,
        query: EventsQuery,
    ) -> impl Future<Output = Result<EventsPage, Problem>> + Send;

    /// Entries of a tenant's ledger with everything to check them.
    fn audit_export(
        &self,
        reader: Reader,
        query: ExportQuery,
    ) -> impl Future<Output = Result<JsonLines, Problem>> + Send;

    /// Erases one modality of a customer.
    fn erase_modality(
        &self,
        caller: Caller,
        user: UserId,
        modality: Modality,
    ) -> impl Future<Output = Result<Erased, Problem>> + Send;

    /// Puts a customer's template under another transform.
    fn renew_template(
        &self,
        caller: Caller,
        user: UserId,
        modality: Modality,
    ) -> impl Future<Output = Result<Renewed, Problem>> + Send;

    /// Erases a customer.
    fn erase_subject(
        &self,
        caller: Caller,
        user: UserId,
    ) -> impl Future<Output = Result<Erased, Problem>> + Send;

    /// An erasure as it stands.
    fn get_erasure(
        &self,
        caller: Caller,
        id: ErasureId,
    ) -> impl Future<Output = Result<Erasure, Problem>> + Send;

    /// Begins a new epoch, under new officers if the request names them. The
    /// gateway has checked that an officer asks.
    fn rotate_epoch(
        &self,
        request: RotateEpoch,
    ) -> impl Future<Output = Result<EpochStatus, Problem>> + Send;

    /// Gives the secret to the enclave that an officers' order names. The gateway
    /// has checked that an officer asks.
    fn hand_over(
        &self,
        order: HandoverRequest,
    ) -> impl Future<Output = Result<HandedOver, Problem>> + Send;

    /// Takes what another enclave left for this one. The gateway has checked that
    /// an officer asks.
    fn take_over(
        &self,
        request: TakeRequest,
    ) -> impl Future<Output = Result<TakingOver, Problem>> + Send;

    /// Ends this enclave for good, by an officers' order that names it. The gateway has
    /// checked that an officer asks.
    fn halt_by_order(
        &self,
        request: HaltRequest,
    ) -> impl Future<Output = Result<Halted, Problem>> + Send;

    /// Where epochs stand, for officers.
    fn epoch_status(&self) -> impl Future<Output = Result<EpochStatus, Problem>> + Send;

    /// Judges a checkpoint that a tenant's client brought along, before its
    /// request is answered.
    fn checkpoint(
        &self,
        caller: Caller,
        note: String,
    ) -> impl Future<Output = Result<(), Problem>> + Send;

    /// What a session token stands for. Costs no entry of the ledger.
    fn introspect(
        &self,
        caller: Caller,
        token: SessionToken,
        form: IntrospectionForm,
    ) -> impl Future<Output = Result<Introspected, Problem>> + Send;

    /// Ends the session of a token.
    fn revoke_token(
        &self,
        caller: Caller,
        token: SessionToken,
    ) -> impl Future<Output = Result<SessionsEnded, Problem>> + Send;

    /// Ends sessions of a device, a customer or the whole tenant.
    fn end_sessions(
        &self,
        caller: Caller,
        scope: SessionScope,
    ) -> impl Future<Output = Result<SessionsEnded, Problem>> + Send;

    /// The tenant's public keys.
    fn jwks(&self, caller: Caller) -> impl Future<Output = Result<JwkSet, Problem>> + Send;

    /// A customer's devices.
    fn devices(
        &self,
        caller: Caller,
        user: UserId,
    ) -> impl Future<Output = Result<Devices, Problem>> + Send;

    /// A customer's latest attempts.
    fn history(
        &self,
        caller: Caller,
        user: UserId,
    ) -> impl Future<Output = Result<History, Problem>> + Send;

    /// A customer in numbers.
    fn stats(
        &self,
        caller: Caller,
        user: UserId,
    ) -> impl Future<Output = Result<Stats, Problem>> + Send;

    /// What the security team is told.
    fn security_alerts(
        &self,
        caller: Caller,
        query: AlertsQuery,
    ) -> impl Future<Output = Result<SecurityAlerts, Problem>> + Send;

    /// Describes a device.
    fn describe_device(
        &self,
        caller: Caller,
        user: UserId,
        device: DeviceId,
        request: DescribeDevice,
    ) -> impl Future<Output = Result<Device, Problem>> + Send;

    /// Suspends, resumes, revokes or flags a device.
    fn set_device_state(
        &self,
        caller: Caller,
        user: UserId,
        device: DeviceId,
        request: SetDeviceState,
    ) -> impl Future<Output = Result<DeviceStateSet, Problem>> + Send;
}
