//! Attempts, numbers and alerts, as the bank sees them.

use std::net::IpAddr;

use redoubt_shared::UserId;

use super::boot::Appliance;
use super::problems::commit;
use crate::api::{
    ActionTaken, AlertReason, AlertsQuery, Attempt, AttemptKind, Caller, EnrolledModality, History,
    Modality, Problem, SecurityAlert, SecurityAlerts, SecurityFlags, Stats, Timestamp, Verdict,
    VerifyRequest,
};
use crate::core::{
    self, Act, Activity, Alert, AlertKind, DeviceState, Ending, Moment, Place, Risk, Subject,
    SubjectHandle, Tag, TenantKeySeeds, TenantState, Whereabouts,
};
use crate::keys::{Prk, expand, of_tenant};

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
                fits.then(|| alert(state, one, &subject.user))
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
        let (serving, now_ms) = (self.serving()?, self.time()?);
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
    let accepted = activity.moments.iter();
    let accepted = accepted.filter(|moment| moment.ending == Ending::Accepted);
    let last_ms = accepted.map(|moment| moment.at_ms).max();
    let ids = subject.passkeys.keys().map(|id| subject.device_id(id));
    let devices: Vec<_> = ids.collect();
    let is_usable = |id: &&_| state.standing(subject, **id) == DeviceState::Active;
    let usable = devices.iter().filter(is_usable);
    let open = |id| state.sessions.open_on(handle, id, now_ms);
    let counts = activity.counts;
    Stats {
        user_id: subject.user.clone(),
        enrolled: [core::Modality::Face, core::Modality::Voice]
            .into_iter()
            .filter_map(|modality| {
                let template = state.template(&handle, modality)?;
                Some(EnrolledModality {
                    modality: modality.into(),
                    enrollment_date: Timestamp(template.enrolled_ms),
                    quality_score: template.quality,
                    embedding_version: template.model.clone(),
                    transform: template.transform,
                })
            })
            .collect(),
        passkeys: usable.count(),
        sessions: devices.iter().map(|id| open(*id)).sum(),
        logins: counts.logins,
        logins_refused: counts.logins_refused,
        verifications: counts.faces,
        verifications_rejected: counts.faces_rejected,
        suspicious: counts.suspicious,
        failures: subject.attempts.failures_at(now_ms),
        locked_until: subject.attempts.locked_at(now_ms).map(Timestamp),
        last_accepted_at: last_ms.map(Timestamp),
    }
}

fn attempt(moment: &Moment) -> Attempt {
    let (kind, modality) = match moment.act {
        Act::Login => (AttemptKind::Login, None),
        Act::Face => (AttemptKind::Verification, Some(Modality::Facial)),
        Act::Voice => (AttemptKind::Verification, Some(Modality::Voice)),
        Act::Both => (AttemptKind::Verification, Some(Modality::Multimodal)),
    };
    Attempt {
        kind,
        verification_id: moment.verification.map(|id| id.to_string()),
        result: verdict(moment.ending),
        modality,
        timestamp: Timestamp(moment.at_ms),
        security_flags: flags(&moment.risk),
        receipt_id: moment.receipt,
    }
}

fn alert(state: &TenantState, alert: &Alert, user: &UserId) -> SecurityAlert {
    let other = match alert.kind {
        AlertKind::DuplicateFace { other } => state.subjects.get(&other),
        _ => None,
    };
    SecurityAlert {
        other_user_id: other.map(|other| other.user.clone()),
        reason: match alert.kind {
            AlertKind::HighRisk => AlertReason::HighRisk,
            AlertKind::AccountLocked => AlertReason::AccountLocked,
            AlertKind::SignCountNotIncreased => AlertReason::SignCountNotIncreased,
            AlertKind::DeviceCompromised => AlertReason::DeviceCompromised,
            AlertKind::DuplicateFace { .. } => AlertReason::DuplicateFace,
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

/// Names what the bank reports, for one tenant and without the thing itself.
pub(super) struct Tags {
    prk: Prk,
}

impl Tags {
    /// Of the tenant with these seeds: as lasting as they are.
    pub(super) fn new(seeds: &TenantKeySeeds) -> Self {
        Self {
            prk: of_tenant(seeds, b"redoubt/reported/v1"),
        }
    }

    /// What the bank reports of where a sample came from, as far as it is looked at.
    pub(super) fn whereabouts(&self, request: &VerifyRequest) -> Whereabouts {
        let hundredths = |degrees: f64| (degrees * 100.0).round() as i16;
        let device = request.device_info.as_ref();
        let device = device.and_then(|device| device.device_id.as_ref());
        let source = request.ip_address.map(|address| address.to_canonical());
        Whereabouts {
            place: request.geolocation.map(|place| Place {
                lat: hundredths(place.lat),
                lng: hundredths(place.lng),
            }),
            device: device.and_then(|device| self.tag(b"device", device.as_str().as_bytes())),
            source: source.and_then(|address| match address {
                IpAddr::V4(address) => self.tag(b"source", &address.octets()),
                IpAddr::V6(address) => self.tag(b"source", &address.octets()[..8]),
            }),
        }
    }

    fn tag(&self, kind: &[u8], name: &[u8]) -> Option<Tag> {
        let mut tag = [0; 16];
        let made = expand(&self.prk, &[kind, b"\0", name], &mut tag);
        made.ok().map(|()| Tag(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(seed: u8) -> Tags {
        Tags::new(&TenantKeySeeds {
            es256: [seed; 32],
            mldsa65: [2; 32],
        })
    }

    fn from(tags: &Tags, device: &str, address: &str) -> Whereabouts {
        let request = serde_json::json!({
            "user_id": "customer", "modality": "facial", "biometric_data": "AQ",
            "device_info": {"device_id": device}, "ip_address": address,
            "geolocation": {"lat": -33.87, "lng": 151.206},
        });
        tags.whereabouts(&serde_json::from_value(request).unwrap())
    }

    #[test]
    fn what_is_reported_is_named_for_one_tenant_only() {
        let (first, restarted, other) = (tags(1), tags(1), tags(9));
        let here = from(&first, "phone", "192.0.2.1");
        assert_eq!(here, from(&restarted, "phone", "192.0.2.1"));
        assert_eq!(here, from(&first, "phone", "::ffff:192.0.2.1"));
        let place = Place {
            lat: -3387,
            lng: 15121,
        };
        assert_eq!(here.place, Some(place));
        let there = from(&other, "phone", "192.0.2.1");
        assert!(here.device != there.device && here.source != there.source);
        let neighbour = from(&first, "phone 2", "192.0.2.2");
        assert!(here.device != neighbour.device && here.source != neighbour.source);
    }

    #[test]
    fn an_address_of_version_6_is_its_network() {
        let tags = tags(1);
        let of = |address| from(&tags, "phone", address).source;
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
