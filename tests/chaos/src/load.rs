//! Clients that register, log in and approve until they are cut off.

use anyhow::Result;
use redoubt_bank::{Bank, BankError};
use redoubt_e2e::Customer;
use redoubt_e2e::appliance::Tenant;
use redoubt_e2e::customer::payment;
use tokio::task::{JoinHandle, JoinSet};

use crate::draw::Draw;
use crate::kept::Kept;

/// Clients that run until an answer does not come; they come back to go on later.
pub(crate) struct Running {
    clients: JoinSet<Result<Customer>>,
    newcomer: JoinHandle<Result<Option<Customer>>>,
}

/// Starts the clients and one customer who is new.
pub(crate) fn start(
    bank: &Bank,
    tenant: &Tenant,
    customers: Vec<Customer>,
    draw: &mut Draw,
    kept: &Kept,
) -> Result<Running> {
    let mut clients = JoinSet::new();
    for customer in customers {
        clients.spawn(repeat(bank.clone(), customer, draw.fork(), kept.clone()));
    }
    let newcomer = Customer::new(tenant)?;
    Ok(Running {
        clients,
        newcomer: tokio::spawn(join(bank.clone(), newcomer, kept.clone())),
    })
}

impl Running {
    /// Waits until every client noticed. The newcomer stays behind, to have its
    /// counter checked, if its one login was acknowledged.
    pub(crate) async fn cut_off(mut self, kept: &Kept) -> Result<Vec<Customer>> {
        let mut customers = Vec::new();
        while let Some(customer) = self.clients.join_next().await {
            customers.push(customer??);
        }
        let newcomer = self.newcomer.await??;
        kept.inner().counted.extend(newcomer);
        Ok(customers)
    }
}

async fn repeat(
    bank: Bank,
    mut customer: Customer,
    mut draw: Draw,
    kept: Kept,
) -> Result<Customer> {
    loop {
        let outcome = match draw.below(3) {
            0 => match approve(&bank, &mut customer, &kept).await {
                // Kills left it more open approvals than one customer may have; they expire.
                Err(error) if error.code() == Some("too_many_requests") => Ok(()),
                outcome => outcome,
            },
            _ => login(&bank, &mut customer, &kept).await,
        };
        if let Err(error) = outcome {
            explain(&error, &kept);
            return Ok(customer);
        }
    }
}

/// Registers, logs in once, and does no more: nobody else moves this counter.
async fn join(bank: Bank, mut customer: Customer, kept: Kept) -> Result<Option<Customer>> {
    let outcome = match customer.register(&bank).await {
        Ok(registered) => {
            kept.receipt(registered.receipt)?;
            login(&bank, &mut customer, &kept).await
        }
        Err(error) => Err(error),
    };
    Ok(match outcome {
        Ok(()) => Some(customer),
        Err(error) => {
            explain(&error, &kept);
            None
        }
    })
}

pub(crate) async fn login(
    bank: &Bank,
    customer: &mut Customer,
    kept: &Kept,
) -> Result<(), BankError> {
    let receipt = customer.login(bank).await?.receipt;
    keep(kept.receipt(receipt))
}

async fn approve(bank: &Bank, customer: &mut Customer, kept: &Kept) -> Result<(), BankError> {
    let approved = customer.approve(bank, &payment("17.20")).await?;
    kept.approval(approved.approval_id);
    keep(kept.receipt(approved.receipt))
}

fn keep(outcome: Result<()>) -> Result<(), BankError> {
    outcome.map_err(|error| BankError::Unreadable {
        status: 200,
        detail: format!("{error:#}"),
    })
}

/// Cut off, told to wait, or something that should not be.
pub(crate) fn explain(error: &BankError, kept: &Kept) {
    let expected = match error {
        BankError::Transport(_) | BankError::TimedOut(_) => true,
        other => other.status() == Some(503),
    };
    if !expected {
        kept.surprise(error);
    }
}
