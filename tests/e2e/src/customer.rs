//! A customer of a tenant, with a passkey that signs fast.

use anyhow::{Result, ensure};
use redoubt_bank::api::{Approved, Authenticated, PendingApproval, Registered};
use redoubt_bank::{Bank, BankError, PremadeKey, Transaction, random_name};
use serde_json::Value;

use crate::appliance::Tenant;

/// One customer.
pub struct Customer {
    /// The bank's name for them.
    pub id: String,
    /// Their passkey.
    pub key: PremadeKey,
    origin: &'static str,
    approval_origin: &'static str,
}

impl Customer {
    /// A new customer with a registered passkey.
    pub async fn registered(bank: &Bank, tenant: &Tenant) -> Result<Self> {
        let mut customer = Self::new(tenant)?;
        ensure!(customer.register(bank).await?.verified);
        Ok(customer)
    }

    /// A new customer whom the appliance does not know yet.
    pub fn new(tenant: &Tenant) -> Result<Self> {
        Ok(Self {
            id: random_name("customer"),
            key: PremadeKey::generate()?,
            origin: tenant.origin,
            approval_origin: tenant.approval_origin,
        })
    }

    /// Registers the passkey.
    pub async fn register(&mut self, bank: &Bank) -> Result<Registered, BankError> {
        let options = bank.register_options(&self.id).await?;
        let created = self.key.create(self.origin, &options)?;
        bank.register_verify(&self.id, &created).await
    }

    /// A signed answer to fresh login options.
    pub async fn login_assertion(&mut self, bank: &Bank) -> Result<Value, BankError> {
        let options = bank.login_options(&self.id).await?;
        self.key.get(self.origin, &options)
    }

    /// A whole login.
    pub async fn login(&mut self, bank: &Bank) -> Result<Authenticated, BankError> {
        let signed = self.login_assertion(bank).await?;
        bank.login_verify(&self.id, &signed).await
    }

    /// A signed answer to a pending approval.
    pub fn sign_approval(&mut self, pending: &PendingApproval) -> Result<Value, BankError> {
        self.key.get(self.approval_origin, &pending.options)
    }

    /// A whole approval.
    pub async fn approve(
        &mut self,
        bank: &Bank,
        transaction: &Transaction,
    ) -> Result<Approved, BankError> {
        let pending = bank.approve(&self.id, transaction).await?;
        let signed = self.sign_approval(&pending)?;
        bank.approve_verify(&pending.approval_id, &self.id, &signed)
            .await
    }
}

/// A payment with a reference of its own.
pub fn payment(amount: &str) -> Transaction {
    Transaction {
        amount: amount.to_owned(),
        currency: "EUR".into(),
        payee: redoubt_bank::api::Payee {
            name: "Northwind Tooling GmbH".into(),
            account: "DE89370400440532013000".into(),
        },
        reference: random_name("INVOICE"),
    }
}

/// The call was refused with this code.
pub fn expect_code<T: std::fmt::Debug>(outcome: Result<T, BankError>, code: &str) -> Result<()> {
    match outcome {
        Err(error) if error.code() == Some(code) => Ok(()),
        Err(error) => anyhow::bail!("expected {code}, got: {error}"),
        Ok(answer) => anyhow::bail!("expected {code}, but it was accepted: {answer:?}"),
    }
}
