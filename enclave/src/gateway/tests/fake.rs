//! Services that decide nothing and remember who asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redoubt_shared::supervise::Phase;
use redoubt_shared::{
    ApprovalId, DeviceId, EnrollmentId, ErasureId, ReceiptId, SessionId, UserId, VerificationId,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::pki::NOW;
use crate::api::*;

/// Remembers; misbehaves for some users: `panic`, `slow`, `cloned`, `locked`.
pub(in crate::gateway) struct Fake {
    pub(super) phase: Mutex<Phase>,
    pub(super) now_ms: Mutex<Option<u64>>,
    pub(super) trust: Mutex<Arc<Trust>>,
    pub(super) callers: Mutex<Vec<Caller>>,
    pub(super) readers: Mutex<Vec<Reader>>,
    pub(super) samples: Mutex<Vec<usize>>,
    pub(super) exporters: Mutex<Vec<[u8; 32]>>,
    pub(super) notes: Mutex<Vec<(Caller, String)>>,
    pub(super) rotations: Mutex<Vec<RotateEpoch>>,
    pub(super) finished: AtomicU64,
}

impl Fake {
    pub(in crate::gateway) fn new(trust: Trust) -> Arc<Self> {
        Arc::new(Self {
            phase: Mutex::new(Phase::Serving),
            now_ms: Mutex::new(Some(NOW as u64 * 1000)),
            trust: Mutex::new(Arc::new(trust)),
            callers: Mutex::default(),
            readers: Mutex::default(),
            samples: Mutex::default(),
            exporters: Mutex::default(),
            notes: Mutex::default(),
            rotations: Mutex::default(),
            finished: AtomicU64::new(0),
        })
    }

    fn seen(&self, caller: Caller) {
        self.callers.lock().unwrap().push(caller);
    }

    fn erase_subject_named(&self, user: &UserId) -> Result<Erased, Problem> {
        if user.as_str() == "nobody" {
            return Err(Problem::unknown_subject());
        }
        Ok(Erased {
            erasure_id: ErasureId::from_bytes([1; 16]),
            status: ErasureStage::PendingEpoch,
            depends_on: vec![user.to_string()],
            epoch: 3,
            receipt: receipt(),
        })
    }

    async fn obey(&self, user: &str) -> Result<(), Problem> {
        match user {
            "panic" => panic!("a handler that panics"),
            "slow" => tokio::time::sleep(Duration::from_millis(600)).await,
            "cloned" => return Err(Problem::authentication_failed().because("sign_count")),
            "locked" => return Err(Problem::account_locked(Timestamp(90_000), 60_000)),
            _ => {}
        }
        self.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn receipt() -> Document {
    json!({"type": "redoubt/receipt/v1"})
}

fn options() -> RequestOptions {
    RequestOptions::passkey("a.example", &[7; 32], vec![])
}

fn transaction() -> Transaction {
    serde_json::from_value(json!({"amount": "1.00", "currency": "EUR",
        "payee": {"name": "n", "account": "a"}, "reference": "r"}))
    .unwrap()
}

impl Services for Fake {
    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap()
    }

    fn now_ms(&self) -> Option<u64> {
        *self.now_ms.lock().unwrap()
    }

    fn trust(&self) -> Arc<Trust> {
        self.trust.lock().unwrap().clone()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("decisions", 3)]
    }

    async fn attestation(&self, request: AttestationRequest) -> Result<AttestationReply, Problem> {
        self.exporters.lock().unwrap().push(request.exporter);
        Ok(AttestationReply {
            document: request.nonce.into(),
            preimage: request.exporter.to_vec().into(),
            mode: "session",
            phase: self.phase(),
            genesis: json!({}),
            config: json!({}),
            ca_certificate: None,
            head: None,
        })
    }

    async fn submit_share(&self, _: ShareSubmission) -> Result<ShareAccepted, Problem> {
        Ok(ShareAccepted {
            received: 1,
            needed: 2,
            phase: self.phase(),
        })
    }

    async fn register_options(
        &self,
        caller: Caller,
        request: RegisterOptions,
    ) -> Result<CreationOptions, Problem> {
        self.seen(caller);
        let (rp, name) = ("a.example".to_owned(), request.user_id.to_string());
        let rp = RpEntity {
            id: rp.clone(),
            name: rp,
        };
        let user = UserEntity {
            id: vec![1].into(),
            display_name: name.clone(),
            name,
        };
        Ok(CreationOptions::passkey(rp, user, &[7; 32], &[]))
    }

    async fn register_verify(
        &self,
        caller: Caller,
        request: PresentedRegistration,
    ) -> Result<Registered, Problem> {
        self.seen(caller);
        Ok(Registered {
            verified: true,
            credential_id: request.credential.raw_id,
            user_id: request.user_id,
            attestation_format: "none".to_owned(),
            aaguid: String::new(),
            device_id: DeviceId::from_bytes([1; 16]),
            receipt: receipt(),
        })
    }

    async fn authenticate_options(
        &self,
        caller: Caller,
        request: AuthenticateOptions,
    ) -> Result<RequestOptions, Problem> {
        self.seen(caller);
        let user = request.user_id.as_ref().map_or("", |user| user.as_str());
        self.obey(user).await?;
        Ok(options())
    }

    async fn authenticate_verify(
        &self,
        caller: Caller,
        request: PresentedLogin,
    ) -> Result<Authenticated, Problem> {
        self.seen(caller);
        Ok(Authenticated {
            verified: true,
            user_id: request.user_id.unwrap_or_else(|| "found".parse().unwrap()),
            credential_id: request.credential.raw_id,
            session_token: SessionToken::new("t"),
            expires_at: Timestamp(0),
            idle_seconds: 300,
            session_id: SessionId::from_bytes([1; 16]),
            device_id: DeviceId::from_bytes([1; 16]),
            security_flags: SecurityFlags {
                fraud_score: 0.0,
                anomalies: vec![],
            },
            receipt: receipt(),
        })
    }

    async fn put_metadata(
        &self,
        caller: Caller,
        blob: Zeroizing<Vec<u8>>,
    ) -> Result<MetadataTaken, Problem> {
        self.seen(caller);
        self.samples.lock().unwrap().push(blob.len());
        Ok(MetadataTaken {
            number: 1,
            previous_number: None,
            next_update: None,
            overdue: false,
            models: 0,
            compromised: vec![],
            cleared: vec![],
            suspended: 0,
        })
    }

    async fn put_policy(
        &self,
        caller: Caller,
        _: PolicyUpload,
    ) -> Result<PolicyActivated, Problem> {
        self.seen(caller);
        Err(Problem::policy_not_configured())
    }

    async fn get_policy(&self, caller: Caller) -> Result<PolicyStatus, Problem> {
        self.seen(caller);
        Ok(PolicyStatus {
            active: None,
            history: vec![],
            kept: vec![],
        })
    }

    async fn order_policy(
        &self,
        caller: Caller,
        _: PolicyOrder,
    ) -> Result<PolicyActivated, Problem> {
        self.seen(caller);
        Err(Problem::policy_not_configured())
    }

    async fn try_policy(&self, caller: Caller, _: PolicyTrial) -> Result<PolicyDryRun, Problem> {
        self.seen(caller);
        Ok(PolicyDryRun {
            tests: vec![],
            decisions: 0,
            unchanged: 0,
            changes: vec![],
        })
    }

    async fn get_metadata(&self, caller: Caller) -> Result<MetadataStatus, Problem> {
        self.seen(caller);
        Ok(MetadataStatus {
            number: None,
            next_update: None,
            overdue: false,
            compromised: 0,
            suspended: 0,
            acting: false,
            models: vec![],
        })
    }

    async fn related_origins(&self, caller: Caller) -> Result<RelatedOrigins, Problem> {
        self.seen(caller);
        Ok(RelatedOrigins { origins: vec![] })
    }

    async fn enroll_initiate(
        &self,
        caller: Caller,
        request: EnrollInitiate,
    ) -> Result<EnrollInitiated, Problem> {
        self.seen(caller);
        if !request.consent_given {
            return Err(Problem::consent_required());
        }
        Ok(EnrollInitiated {
            enrollment_id: EnrollmentId::from_bytes([1; 16]),
            session_token: SessionToken::new("t"),
            expires_at: Timestamp(0),
            instructions: String::new(),
        })
    }

    async fn enroll_submit(
        &self,
        caller: Caller,
        request: EnrollSubmit,
        samples: Vec<Sample>,
    ) -> Result<Enrolled, Problem> {
        self.seen(caller);
        let lengths = samples.iter().map(|sample| sample.as_bytes().len());
        self.samples.lock().unwrap().extend(lengths);
        Ok(Enrolled {
            enrollment_id: request.enrollment_id,
            user_id: "alice".parse().unwrap(),
            modality: Modality::Facial,
            status: "completed",
            embedding_version: "v1".to_owned(),
            quality_score: 1.0,
            liveness_result: Liveness::NotEvaluated,
            liveness_confidence: None,
            active_liveness: None,
            encrypted: true,
            enrollment_date: Timestamp(0),
            receipt: receipt(),
        })
    }

    async fn liveness_challenge(
        &self,
        caller: Caller,
        request: ChallengeRequest,
    ) -> Result<LivenessChallenge, Problem> {
        self.seen(caller);
        self.obey(request.user_id.as_str()).await?;
        let id = redoubt_shared::ChallengeId::from_bytes([1; 16]);
        let actions = [LivenessAction::TurnLeft, LivenessAction::Blink];
        Ok(match request.modality {
            ChallengeModality::Facial => LivenessChallenge::moves(id, &actions, Timestamp(0)),
            ChallengeModality::Voice => {
                LivenessChallenge::digits(id, &[4, 0, 2, 9, 1, 7], Timestamp(0))
            }
        })
    }

    async fn verify(
        &self,
        caller: Caller,
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        self.seen(caller);
        self.obey(request.user_id.as_str()).await?;
        let length = request.biometric_data.as_bytes().len();
        self.samples.lock().unwrap().push(length);
        Ok(Verification {
            verification_id: VerificationId::from_bytes([1; 16]),
            user_id: request.user_id,
            result: Verdict::Verified,
            confidence_score: 1.0,
            modality: request.modality,
            timestamp: Timestamp(0),
            liveness_passed: None,
            active_liveness: None,
            spoken_digits: None,
            quality_passed: true,
            security_flags: SecurityFlags {
                fraud_score: 0.0,
                anomalies: vec![],
            },
            action_taken: ActionTaken::Logged,
            receipt: receipt(),
        })
    }

    async fn create_approval(
        &self,
        caller: Caller,
        request: ApprovalRequest,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<ApprovalCreated, Problem> {
        self.seen(caller);
        if idempotency_key.is_some_and(|key| key.as_str() == "taken") {
            return Err(Problem::idempotency_conflict());
        }
        Ok(ApprovalCreated {
            approval_id: ApprovalId::from_bytes([1; 16]),
            status: ApprovalStatus::Pending,
            expires_at: Timestamp(0),
            transaction: request.transaction,
            options: Some(options()),
            approvers: vec![],
        })
    }

    async fn get_approval(&self, caller: Caller, id: ApprovalId) -> Result<Approval, Problem> {
        self.seen(caller);
        Ok(Approval {
            approval_id: id,
            status: ApprovalStatus::Pending,
            expires_at: Timestamp(0),
            transaction: transaction(),
            approvers: vec![],
            required: 1,
            devices: 1,
            factors: vec![Factor::Passkey],
            artefact: None,
        })
    }

    async fn verify_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        _: PresentedAuthentication,
    ) -> Result<ApprovalVerified, Problem> {
        self.seen(caller);
        Ok(ApprovalVerified {
            approval_id: id,
            status: ApprovalStatus::Approved,
            artefact: Some(json!({})),
            receipt: receipt(),
        })
    }

    async fn approval_options(
        &self,
        caller: Caller,
        _: ApprovalId,
        _: AnswerOptions,
    ) -> Result<RequestOptions, Problem> {
        self.seen(caller);
        Ok(options())
    }

    async fn approval_sample(
        &self,
        caller: Caller,
        _: ApprovalId,
        _: Modality,
        request: VerifyRequest,
    ) -> Result<Verification, Problem> {
        self.verify(caller, request).await
    }

    async fn reject_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        _: Rejection,
        key: Option<IdempotencyKey>,
    ) -> Result<ApprovalVerified, Problem> {
        self.cancel_approval(caller, id, key).await
    }

    async fn cancel_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
        _: Option<IdempotencyKey>,
    ) -> Result<ApprovalVerified, Problem> {
        self.seen(caller);
        Ok(ApprovalVerified {
            approval_id: id,
            status: ApprovalStatus::Cancelled,
            artefact: None,
            receipt: receipt(),
        })
    }

    /// Pending at once, a sign of life each 50 ms, and the end after a second.
    async fn follow_approval(
        &self,
        caller: Caller,
        id: ApprovalId,
    ) -> Result<ApprovalFeed, Problem> {
        self.seen(caller);
        let change = move |status| {
            ApprovalNews::Changed(ApprovalChange {
                approval_id: id,
                status,
                approved: 0,
                rejected: 0,
                required: 1,
            })
        };
        Ok(Box::pin(futures::stream::unfold(
            0,
            move |told| async move {
                if told > 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                let news = match told {
                    0 => change(ApprovalStatus::Pending),
                    1..20 => ApprovalNews::Unchanged,
                    20 => change(ApprovalStatus::Approved),
                    _ => return None,
                };
                Some((news, told + 1))
            },
        )))
    }

    async fn receipt(&self, reader: Reader, _: ReceiptId) -> Result<Document, Problem> {
        self.readers.lock().unwrap().push(reader);
        Ok(receipt())
    }

    async fn audit_events(
        &self,
        reader: Reader,
        query: EventsQuery,
    ) -> Result<EventsPage, Problem> {
        self.readers.lock().unwrap().push(reader);
        let event = AuditEvent {
            receipt_id: "01".repeat(16),
            kind: query.kind.unwrap_or_default(),
            time_ms: query.from.unwrap_or_default(),
            user_id: query.user_id.map(|user| user.to_string()),
            entry: 7,
            event: 1,
            claims: json!({"to": query.to, "limit": query.limit}),
        };
        Ok(EventsPage {
            events: vec![event],
            next: query.after,
            kept_from: 0,
        })
    }

    async fn audit_export(&self, reader: Reader, query: ExportQuery) -> Result<JsonLines, Problem> {
        self.readers.lock().unwrap().push(reader);
        if query
            .tenant
            .is_some_and(|tenant| tenant.as_str() == "nobody")
        {
            return Err(Problem::unknown_tenant());
        }
        let line = json!({"from": query.from, "limit": query.limit});
        Ok(JsonLines(format!("{line}\n").into_bytes()))
    }

    async fn erase_modality(
        &self,
        caller: Caller,
        user: UserId,
        modality: Modality,
    ) -> Result<Erased, Problem> {
        self.seen(caller);
        if modality == Modality::Multimodal {
            return Err(Problem::unsupported_modality());
        }
        self.erase_subject_named(&user)
    }

    async fn renew_template(
        &self,
        caller: Caller,
        user_id: UserId,
        modality: Modality,
    ) -> Result<Renewed, Problem> {
        self.seen(caller);
        if modality == Modality::Multimodal {
            return Err(Problem::unsupported_modality());
        }
        let erased = self.erase_subject_named(&user_id);
        let erased = erased.map_err(|_| Problem::not_enrolled())?;
        Ok(Renewed {
            user_id,
            modality,
            transform: 2,
            renewed_at: Timestamp(0),
            epoch: erased.epoch,
            receipt: erased.receipt,
        })
    }

    async fn erase_subject(&self, caller: Caller, user: UserId) -> Result<Erased, Problem> {
        self.seen(caller);
        self.erase_subject_named(&user)
    }

    async fn get_erasure(&self, caller: Caller, id: ErasureId) -> Result<Erasure, Problem> {
        self.seen(caller);
        Ok(Erasure {
            erasure_id: id,
            status: ErasureStage::Dark,
            scope: ErasureCovers::Subject,
            depends_on: vec![],
            epoch: 3,
            requested_at: Timestamp(0),
            dark_at: Some(Timestamp(1000)),
            statements: vec![DeletionStatement {
                statement: b"{}".to_vec().into(),
                signature: vec![7; 64].into(),
            }],
        })
    }

    async fn rotate_epoch(&self, request: RotateEpoch) -> Result<EpochStatus, Problem> {
        self.rotations.lock().unwrap().push(request);
        self.epoch_status().await
    }

    async fn hand_over(&self, _: HandoverRequest) -> Result<HandedOver, Problem> {
        Err(Problem::order_spent())
    }

    async fn take_over(&self, _: TakeRequest) -> Result<TakingOver, Problem> {
        Err(Problem::no_envelope())
    }

    async fn halt_by_order(&self, _: HaltRequest) -> Result<Halted, Problem> {
        Err(Problem::order_not_signed())
    }

    async fn epoch_status(&self) -> Result<EpochStatus, Problem> {
        Ok(EpochStatus {
            epoch: 3,
            pending_erasures: 2,
            rotation: None,
        })
    }

    async fn introspect(
        &self,
        caller: Caller,
        token: SessionToken,
        form: IntrospectionForm,
    ) -> Result<Introspected, Problem> {
        self.seen(caller);
        Ok(match form {
            IntrospectionForm::Jwt => Introspected::Jwt(token.expose().to_owned()),
            IntrospectionForm::Hybrid => Introspected::Hybrid(json!({"payload": token.expose()})),
            IntrospectionForm::Json => Introspected::Json(Introspection {
                active: false,
                session: None,
            }),
        })
    }

    async fn revoke_token(
        &self,
        caller: Caller,
        _: SessionToken,
    ) -> Result<SessionsEnded, Problem> {
        self.end_sessions(caller, SessionScope::Tenant).await
    }

    async fn end_sessions(
        &self,
        caller: Caller,
        _: SessionScope,
    ) -> Result<SessionsEnded, Problem> {
        self.seen(caller);
        let (ended, receipt) = (0, None);
        Ok(SessionsEnded { ended, receipt })
    }

    async fn jwks(&self, caller: Caller) -> Result<JwkSet, Problem> {
        self.seen(caller);
        Ok(JwkSet { keys: vec![] })
    }

    async fn devices(&self, caller: Caller, user_id: UserId) -> Result<Devices, Problem> {
        self.seen(caller);
        Ok(Devices {
            user_id,
            re_enrollment_required: false,
            devices: vec![],
        })
    }

    async fn history(&self, caller: Caller, user_id: UserId) -> Result<History, Problem> {
        self.seen(caller);
        Ok(History {
            user_id,
            attempts: vec![],
        })
    }

    async fn stats(&self, caller: Caller, user_id: UserId) -> Result<Stats, Problem> {
        self.seen(caller);
        Ok(Stats {
            user_id,
            enrolled: vec![],
            passkeys: 0,
            sessions: 0,
            logins: 0,
            logins_refused: 0,
            verifications: 0,
            verifications_rejected: 0,
            suspicious: 0,
            failures: 0,
            locked_until: None,
            last_accepted_at: None,
        })
    }

    async fn security_alerts(
        &self,
        caller: Caller,
        _: AlertsQuery,
    ) -> Result<SecurityAlerts, Problem> {
        self.seen(caller);
        Ok(SecurityAlerts { alerts: vec![] })
    }

    async fn describe_device(
        &self,
        caller: Caller,
        _: UserId,
        _: DeviceId,
        _: DescribeDevice,
    ) -> Result<Device, Problem> {
        self.seen(caller);
        Err(Problem::unknown_device())
    }

    async fn set_device_state(
        &self,
        caller: Caller,
        _: UserId,
        _: DeviceId,
        _: SetDeviceState,
    ) -> Result<DeviceStateSet, Problem> {
        self.seen(caller);
        Err(Problem::device_closed())
    }

    async fn checkpoint(&self, caller: Caller, note: String) -> Result<(), Problem> {
        let refused = note == "refuse me";
        self.notes.lock().unwrap().push((caller, note));
        if refused {
            return Err(Problem::checkpoint_refused());
        }
        Ok(())
    }
}
