//! Where the tenant's pages are: read from the configuration the appliance attests.

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::api::from_b64u;
use crate::client::Bank;

/// Origins of the tenant's login and approval pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// Where customers log in.
    pub login: String,
    /// Where customers approve payments.
    pub approval: String,
}

impl Origins {
    /// The origins of the relying party that the appliance names to this bank.
    pub async fn discover(bank: &Bank) -> Result<Self> {
        let options = bank.register_options("origin-discovery").await?;
        let rp_id = options["rp"]["id"]
            .as_str()
            .context("creation options without rp.id")?;
        let reply = bank.attestation(&[0x5a; 16]).await?;
        Self::of_rp(&config(&reply)?, rp_id)
    }

    fn of_rp(config: &Value, rp_id: &str) -> Result<Self> {
        let mut tenants = config["tenants"].as_array().into_iter().flatten();
        let tenant = tenants
            .find(|tenant| tenant["rp"]["id"] == rp_id)
            .ok_or_else(|| anyhow!("the configuration names no tenant with rp id {rp_id}"))?;
        let first = |name: &str| {
            let origin = tenant["rp"][name][0].as_str();
            origin
                .map(str::to_owned)
                .ok_or_else(|| anyhow!("tenant without {name}"))
        };
        Ok(Self {
            login: first("origins")?,
            approval: first("approval_origins").or_else(|_| first("origins"))?,
        })
    }
}

/// The payload of the signed configuration in an attestation reply.
fn config(reply: &Value) -> Result<Value> {
    let payload = reply["config"]["payload"]
        .as_str()
        .context("attestation reply without configuration")?;
    serde_json::from_slice(&from_b64u(payload)?).context("configuration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn approval_pages_fall_back_to_login_pages() {
        let config = json!({"tenants": [
            {"rp": {"id": "a.example", "origins": ["https://a.example"], "approval_origins": []}},
            {"rp": {"id": "b.example", "origins": ["https://b.example"],
                    "approval_origins": ["https://pay.b.example"]}},
        ]});
        let a = Origins::of_rp(&config, "a.example").unwrap();
        assert_eq!(a.approval, "https://a.example");
        let b = Origins::of_rp(&config, "b.example").unwrap();
        assert_eq!(b.approval, "https://pay.b.example");
        assert!(Origins::of_rp(&config, "c.example").is_err());
    }
}
