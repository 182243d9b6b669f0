//! What a tenant's policy officers sign: bundles of rules, and orders to go back.

use redoubt_enclave::rego::{PolicyBundle, PolicyRollback};
use redoubt_shared::{LedgerId, TenantId};
use serde_json::json;

use super::{Prepared, json_bytes};

/// Signatures are another target's: a payload is read once they are good.
pub(super) fn payload() -> Prepared {
    let (tenant, ledger) = ("bank-a", LedgerId::from_bytes([5; 16]));
    let bundle = json!({
        "type": "redoubt/policy-bundle/v1", "tenant": tenant, "ledger": "05".repeat(16), "version": 1,
        "modules": [{"path": "rules.rego", "rego": "package redoubt\ndecision := \"allow\"\n"}],
    });
    let order = json!({
        "type": "redoubt/policy-rollback/v1", "tenant": tenant, "ledger": "05".repeat(16),
        "version": 1, "after": 3,
    });
    let seeds = vec![json_bytes(&bundle), json_bytes(&order)];
    let tenant: TenantId = tenant.parse().expect("a name of a tenant");
    let read = PolicyBundle::read(&seeds[0], &tenant, ledger);
    assert!(read.is_ok(), "the seed is a good bundle: {read:?}");
    let read = PolicyRollback::read(&seeds[1], &tenant, ledger);
    assert!(read.is_ok(), "the seed is a good order: {read:?}");
    let read = move |input: &[u8]| {
        let _ = PolicyBundle::read(input, &tenant, ledger).map(PolicyBundle::texts);
        let _ = PolicyRollback::read(input, &tenant, ledger);
    };
    (Box::new(read), seeds)
}
