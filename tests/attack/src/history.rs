//! Two honest terms with two tenants: what every attack tries to undo.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use redoubt_bank::Bank;
use redoubt_e2e::Customer;
use redoubt_e2e::customer::payment;
use redoubt_e2e::process::run_ok;
use serde_json::Value;

use crate::cases::until_witnessed;
use crate::disk::Disk;
use crate::lab::Lab;
use crate::running::{End, PATIENCE, Running};

/// A receipt that a bank was given.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Of the first tenant, or of the second.
    pub of_a: bool,
    /// As it came.
    pub receipt: Value,
}

/// A payment approved by its customer.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Its approval.
    pub id: String,
    /// The customer's signed answer.
    pub assertion: Value,
}

/// What happened, and the disk at its stages.
pub struct History {
    /// After the first term.
    pub first: Disk,
    /// In the second term, before the payment was approved.
    pub pending: Disk,
    /// At the end of the second term.
    pub last: Disk,
    /// Everything acknowledged up to `last`.
    pub receipts: Vec<Kept>,
    /// Approved between `pending` and `last`.
    pub payment: Payment,
    /// An officer's memory since the second opening.
    pub memory: PathBuf,
    a: Mutex<Customer>,
    b: Mutex<Customer>,
}

impl History {
    /// The first tenant's customer.
    pub fn a(&self) -> MutexGuard<'_, Customer> {
        self.a.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The second tenant's customer.
    pub fn b(&self) -> MutexGuard<'_, Customer> {
        self.b.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lives through it.
    pub fn make(lab: &Lab) -> Result<Self> {
        let memory = lab.appliance.dir().join("officer-memory.json");
        let banks = &lab.appliance.banks;
        let mut receipts = Vec::new();

        let running = lab.start(lab.blank()?)?;
        serving(&running, lab, &memory)?;
        let mut trust = lab.appliance.trust_command(
            &running.url(),
            &lab.appliance.policy(),
            &lab.appliance.trust_dir(),
        );
        run_ok(&mut trust)?;
        let (bank_a, bank_b) = (running.bank(lab, &banks.a)?, running.bank(lab, &banks.b)?);
        let (mut a, mut b) = lab.runtime.block_on(async {
            let mut a = Customer::registered(&bank_a, &banks.a).await?;
            let mut b = Customer::registered(&bank_b, &banks.b).await?;
            logins(&mut receipts, true, &mut a, &bank_a, 3).await?;
            logins(&mut receipts, false, &mut b, &bank_b, 2).await?;
            let approved = a.approve(&bank_a, &payment("10.00")).await?;
            keep(&mut receipts, true, approved.receipt);
            anyhow::Ok((a, b))
        })?;
        let first = running.kill();

        let running = lab.start(first.clone())?;
        serving(&running, lab, &memory)?;
        let (bank_a, bank_b) = (running.bank(lab, &banks.a)?, running.bank(lab, &banks.b)?);
        let (pending, payment) = lab.runtime.block_on(async {
            logins(&mut receipts, true, &mut a, &bank_a, 2).await?;
            let asked = bank_a.approve(&a.id, &payment("250.00")).await?;
            let assertion = a.sign_approval(&asked)?;
            let pending = running.store.snapshot();
            let id = asked.approval_id;
            let approved = bank_a.approve_verify(&id, &a.id, &assertion).await?;
            keep(&mut receipts, true, approved.receipt);
            logins(&mut receipts, true, &mut a, &bank_a, 2).await?;
            logins(&mut receipts, false, &mut b, &bank_b, 2).await?;
            anyhow::Ok((pending, Payment { id, assertion }))
        })?;
        until_witnessed(lab, &running, &receipts)?;
        let last = running.kill();
        Ok(Self {
            first,
            pending,
            last,
            receipts,
            payment,
            memory,
            a: Mutex::new(a),
            b: Mutex::new(b),
        })
    }
}

fn serving(running: &Running, lab: &Lab, memory: &std::path::Path) -> Result<()> {
    let end = running.unseal(lab, Some(memory), PATIENCE)?;
    ensure!(end == End::Serving, "{end:?}");
    Ok(())
}

fn keep(receipts: &mut Vec<Kept>, of_a: bool, receipt: Value) {
    receipts.push(Kept { of_a, receipt });
}

async fn logins(
    receipts: &mut Vec<Kept>,
    of_a: bool,
    customer: &mut Customer,
    bank: &Bank,
    count: usize,
) -> Result<()> {
    for _ in 0..count {
        keep(receipts, of_a, customer.login(bank).await?.receipt);
    }
    Ok(())
}
