//! An approval's changes, told as they happen.
//!
//! Protects against a listener that costs more than one who asks: feeds are bounded
//! for each tenant, nothing is made before it is asked for, so that a slow reader
//! keeps nobody waiting, and what is told was read after it was durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redoubt_shared::{ApprovalId, TenantId};
use tokio::sync::watch;

use super::super::boot::Appliance;
use super::{Found, find, status};
use crate::api::{ApprovalChange, ApprovalFeed, ApprovalNews, Caller, Problem};

/// Feeds one tenant may have open.
const FEEDS_PER_TENANT: usize = 256;
/// A line that nothing is said on for longer may be cut by something between.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Who waits for which approval.
#[derive(Default)]
pub(in crate::service) struct Listeners(Mutex<HashMap<TenantId, OfTenant>>);

#[derive(Default)]
struct OfTenant {
    feeds: usize,
    approvals: HashMap<ApprovalId, watch::Sender<()>>,
}

/// One feed's place; given back when dropped.
struct Listening {
    listeners: Arc<Listeners>,
    tenant: TenantId,
    id: ApprovalId,
    changed: watch::Receiver<()>,
}

impl Listeners {
    fn all(&self) -> MutexGuard<'_, HashMap<TenantId, OfTenant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something durable happened to an approval.
    pub(in crate::service) fn tell(&self, tenant: &TenantId, id: ApprovalId) {
        if let Some(sender) = self.all().get(tenant).and_then(|of| of.approvals.get(&id)) {
            sender.send_replace(());
        }
    }

    /// The same, of several.
    pub(in crate::service) fn tell_all(&self, tenant: &TenantId, ids: &[ApprovalId]) {
        ids.iter().for_each(|id| self.tell(tenant, *id));
    }

    fn listen(self: &Arc<Self>, tenant: &TenantId, id: ApprovalId) -> Option<Listening> {
        let mut all = self.all();
        let of_tenant = all.entry(tenant.clone()).or_default();
        if of_tenant.feeds >= FEEDS_PER_TENANT {
            return None;
        }
        of_tenant.feeds += 1;
        let sender = of_tenant.approvals.entry(id);
        let changed = sender.or_insert_with(|| watch::Sender::new(())).subscribe();
        Some(Listening {
            listeners: self.clone(),
            tenant: tenant.clone(),
            id,
            changed,
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = self.listeners.all();
        let Some(of_tenant) = all.get_mut(&self.tenant) else {
            return;
        };
        of_tenant.feeds = of_tenant.feeds.saturating_sub(1);
        let sender = of_tenant.approvals.get(&self.id);
        // This receiver is still counted.
        if sender.is_some_and(|sender| sender.receiver_count() <= 1) {
            of_tenant.approvals.remove(&self.id);
        }
        if of_tenant.feeds == 0 {
            all.remove(&self.tenant);
        }
    }
}

struct Feed {
    appliance: Arc<Appliance>,
    caller: Caller,
    listening: Listening,
    told: Option<ApprovalChange>,
}

impl Appliance {
    pub(in crate::service) async fn follow_approval(
        self: Arc<Self>,
        caller: Caller,
        id: ApprovalId,
    ) -> Result<ApprovalFeed, Problem> {
        let serving = self.serving()?;
        find(&serving, &caller, id).await?;
        let listening = serving.listeners.listen(&caller.tenant, id);
        let feed = Feed {
            listening: listening.ok_or_else(Problem::too_many_listeners)?,
            appliance: self,
            caller,
            told: None,
        };
        Ok(Box::pin(futures::stream::unfold(feed, async |mut feed| {
            let news = feed.next().await?;
            Some((news, feed))
        })))
    }
}

impl Feed {
    /// Waits for news; nothing after the approval ended, and nothing from an enclave
    /// that does not serve any more.
    async fn next(&mut self) -> Option<ApprovalNews> {
        if self.told.as_ref().is_some_and(|told| told.status.ended()) {
            return None;
        }
        let beat = tokio::time::Instant::now() + HEARTBEAT;
        loop {
            // Before looking: what happens while we look is news again.
            self.listening.changed.mark_unchanged();
            let (change, left) = self.look().await?;
            if self.told.as_ref() != Some(&change) {
                self.told = Some(change.clone());
                return Some(ApprovalNews::Changed(change));
            }
            tokio::select! {
                changed = self.listening.changed.changed() => changed.ok()?,
                () = tokio::time::sleep(left) => {}
                () = tokio::time::sleep_until(beat) => return Some(ApprovalNews::Unchanged),
            }
        }
    }

    /// Where the approval stands, and how long until it expires.
    async fn look(&self) -> Option<(ApprovalChange, Duration)> {
        let serving = self.appliance.serving().ok()?;
        let id = self.listening.id;
        let Found { approval, .. } = find(&serving, &self.caller, id).await.ok()?;
        let now_ms = self.appliance.time().ok()?;
        let mut change = ApprovalChange {
            approval_id: id,
            status: status(&approval, now_ms),
            approved: 0,
            rejected: 0,
            required: approval.terms.needed,
        };
        for approver in &approval.approvers {
            change.approved += u16::from(approval.complete(approver.subject));
            change.rejected += u16::from(approver.rejected.is_some());
        }
        let left = Duration::from_millis(approval.expires_ms.saturating_sub(now_ms) + 1);
        Some((change, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_bounded_for_each_tenant_and_places_come_back() {
        let listeners = Arc::new(Listeners::default());
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let id = |n: usize| ApprovalId::from_bytes([n as u8; 16]);
        let open = |n| listeners.listen(&a, id(n)).unwrap();
        let mut feeds: Vec<Listening> = (0..FEEDS_PER_TENANT).map(open).collect();
        assert!(listeners.listen(&a, id(0)).is_none());
        assert!(listeners.listen(&b, id(0)).is_some());
        feeds.pop();
        let one = listeners.listen(&a, id(0)).unwrap();
        listeners.tell(&a, id(0));
        assert!(one.changed.has_changed().unwrap());
        assert!(!feeds[1].changed.has_changed().unwrap());
        drop((feeds, one));
        assert!(
            listeners.all().is_empty(),
            "nothing is kept of closed feeds"
        );
    }
}
