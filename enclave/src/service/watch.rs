//! Attempts, numbers and alerts, as the bank sees them.

use std::net::IpAddr;

use redoubt_attestation::encode::sha256;
use redoubt_shared::UserId;

use super::boot::Appliance;
use super::problems::commit;
use super::serving::Serving;
use crate::api::{
    ActionTaken, AlertReason, AlertsQuery, Attempt, AttemptKind, Caller, EnrolledModality, History,
    Modality, Problem, SecurityAlert, SecurityAlerts, SecurityFlags, Stats, Timestamp, Verdict,
    VerifyRequest,
};
use crate::core::{
    Act, Activity, Alert, AlertKind, Ending, Moment, Place, Risk, Subject, SubjectHandle, Tag,
    TenantState, Whereabouts,
};

const DEVICE_DOMAIN: &[u8] = b"redoubt/reported-device/v1\0";
const SOURCE_DOMAIN: &[u8] = b"redoubt/reported-source/v1\0";
/// Alerts in one reply.
const ALERTS: std::ops::RangeInclusive<u16> = 1..=500;
const ALERTS_DEFAULT: u16 = 100;

impl Appliance {
    pub(super) async fn history(&self, caller: &Caller, user: UserId) -> Result<History, Problem> {
        let of = user.clone();
        let shown = |state: &TenantState, handle: SubjectHandle, _: &Subject, _: u64| {
            let activity = state.watch.activity(&handle);
            activity.map_or_else(Vec::new, |activity| {
                activity.moments.iter().rev().map(attempt).collect()
            })
        };
        let attempts = self.of_subject(caller, of, shown).await?;
        Ok(History {
            user_id: user,
            attempts,
        })
    }

    pub(super) async fn stats(&self, caller: &Caller, user: UserId) -> Result<Stats, Problem> {
        self.of_subject(caller, user, stats).await
    }

    pub(super) async fn security_alerts(
        &self,
        caller: &Caller,
        query: AlertsQuery,
    ) -> Result<SecurityAlerts, Problem> {
        let (serving, now_ms) = (self.serving()?, self.time()?);
        let limit = query.limit.unwrap_or(ALERTS_DEFAULT);
        if !ALERTS.contains(&limit) {
            return Err(Problem::malformed_request().detail("limit: use 1 to 500."));
        }
        let tenant = caller.tenant.clone();
        let shown = move |state: &TenantState| {
            let all = state.watch.alerts();
            let named = all.filter_map(|one| {
                let subject = state.subjects.get(&one.subject)?;
                let asked = query.user_id.as_ref();
                let fits = asked.is_none_or(|user| *user == subject.user);
                fits.then(|| alert(one, &subject.user))
            });
            named.take(limit.into()).collect()
        };
        let alerts = serving
            .ledgers
            .look(move |core| Some(shown(&core.tenants.get(&tenant)?.state)))
            .await
            .map_err(|error| commit(error, now_ms))?;
        Ok(SecurityAlerts {
            alerts: alerts.unwrap_or_default(),
        })
    }

    /// Something of one customer, as the core knows it now.
    async fn of_subject<T: Send + 'static>(
        &self,
        caller: &Caller,
        user: UserId,
        shown: impl Fn(&TenantState, SubjectHandle, &Subject, u64) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (serving, now_ms): (_, u64) = (self.serving()?, self.time()?);
        let serving: &Serving = &serving;
        let tenant = caller.tenant.clone();
        serving
            .ledgers
            .look(move |core| {
                let state = &core.tenants.get(&tenant)?.state;
                let (handle, subject) = state.subject(&user)?;
                Some(shown(state, handle, subject, now_ms))
            })
            .await
            .map_err(|error| commit(error, now_ms))?
            .ok_or_else(Problem::unknown_subject)
    }
}

fn stats(state: &TenantState, handle: SubjectHandle, subject: &Subject, now_ms: u64) -> Stats {
    let none = Activity::default();
    let activity = state.watch.activity(&handle);
    let activity = activity.map_or(&none, |activity| activity);
    let last = activity.moments.iter().rev();
    let last = last
        .filter(|moment| moment.ending == Ending::Accepted)
        .map(|one| one.at_ms);
    let until_ms = subject.attempts.locked_until_ms;
    let until_ms = until_ms.filter(|until_ms| *until_ms > now_ms);
    let ids = subject.passkeys.keys().map(|id| subject.device_id(id));
    let devices: Vec<_> = ids.collect();
    let usable = devices.iter().filter(|id| state.device(**id).may_be_used());
    let open = |id| state.sessions.open_on(handle, id, now_ms);
    let counts = activity.counts;
    Stats {
        user_id: subject.user.clone(),
        enrolled: subject
            .face
            .iter()
            .map(|face| EnrolledModality {
                modality: Modality::Facial,
                enrollment_date: Timestamp(face.enrolled_ms),
                quality_score: face.quality,
                embedding_version: face.model.clone(),
            })
            .collect(),
        passkeys: usable.count(),
        sessions: devices.iter().map(|id| open(*id)).sum(),
        logins: counts.logins,
        logins_refused: counts.logins_refused,
        verifications: counts.faces,
        verifications_rejected: counts.faces_rejected,
        suspicious: counts.suspicious,
        failures: subject.attempts.failures,
        locked_until: until_ms.map(Timestamp),
        last_accepted_at: last.max().map(Timestamp),
    }
}

fn attempt(moment: &Moment) -> Attempt {
    let kind = match moment.act {
        Act::Login => AttemptKind::Login,
        Act::Face => AttemptKind::Verification,
    };
    Attempt {
        kind,
        verification_id: moment.verification.map(|id| id.to_string()),
        result: verdict(moment.ending),
        modality: (moment.act == Act::Face).then_some(Modality::Facial),
        timestamp: Timestamp(moment.at_ms),
        security_flags: flags(&moment.risk),
        receipt_id: moment.receipt,
    }
}

fn alert(alert: &Alert, user: &UserId) -> SecurityAlert {
    SecurityAlert {
        reason: match alert.kind {
            AlertKind::HighRisk => AlertReason::HighRisk,
            AlertKind::AccountLocked => AlertReason::AccountLocked,
            AlertKind::SignCountNotIncreased => AlertReason::SignCountNotIncreased,
            AlertKind::DeviceCompromised => AlertReason::DeviceCompromised,
        },
        user_id: user.clone(),
        timestamp: Timestamp(alert.at_ms),
        security_flags: flags(&alert.risk),
        action_taken: ActionTaken::AlertSent,
        receipt_id: alert.receipt,
    }
}

pub(super) fn verdict(ending: Ending) -> Verdict {
    match ending {
        Ending::Accepted => Verdict::Verified,
        Ending::Failed => Verdict::Rejected,
        Ending::Suspicious => Verdict::Suspicious,
    }
}

pub(super) fn flags(risk: &Risk) -> SecurityFlags {
    SecurityFlags {
        fraud_score: risk.score(),
        anomalies: risk.names().into_iter().map(str::to_owned).collect(),
    }
}

/// What the bank reports of where a sample came from, as far as risk looks at it.
pub(super) fn whereabouts(request: &VerifyRequest) -> Whereabouts {
    let hundredths = |degrees: f64| (degrees * 100.0).round() as i16;
    let device = request.device_info.as_ref();
    let device = device.and_then(|device| device.device_id.as_ref());
    Whereabouts {
        place: request.geolocation.map(|place| Place {
            lat: hundredths(place.lat),
            lng: hundredths(place.lng),
        }),
        device: device.map(|device| tag(DEVICE_DOMAIN, device.as_str().as_bytes())),
        source: request
            .ip_address
            .map(|address| match address.to_canonical() {
                IpAddr::V4(address) => tag(SOURCE_DOMAIN, &address.octets()),
                IpAddr::V6(address) => tag(SOURCE_DOMAIN, &address.octets()[..8]),
            }),
    }
}

fn tag(domain: &[u8], text: &[u8]) -> Tag {
    let digest = sha256(&[domain, text]).0;
    let mut tag = [0; 16];
    tag.copy_from_slice(&digest[..16]);
    Tag(tag)
}
