//! What the appliance acknowledged so far: all of it may be demanded back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use redoubt_e2e::Customer;
use serde_json::Value;

/// Shared by every client of the load.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(crate) struct Inner {
    /// Every acknowledged receipt, in the order of their coming.
    pub(crate) receipts: Vec<Value>,
    /// Every approval that was given.
    pub(crate) approvals: Vec<String>,
    /// Ledger to the largest tree an acknowledged receipt stands in.
    pub(crate) sizes: BTreeMap<String, u64>,
    /// Customers whose last login was acknowledged.
    pub(crate) counted: Vec<Customer>,
    /// Answers that neither a kill nor a restart explains.
    pub(crate) surprises: Vec<String>,
}

impl Kept {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a receipt that was just acknowledged.
    pub(crate) fn receipt(&self, receipt: Value) -> Result<()> {
        let (ledger, size) = place(&receipt)?;
        let mut inner = self.inner();
        let largest = inner.sizes.entry(ledger).or_default();
        *largest = size.max(*largest);
        inner.receipts.push(receipt);
        Ok(())
    }

    pub(crate) fn approval(&self, id: String) {
        self.inner().approvals.push(id);
    }

    pub(crate) fn surprise(&self, what: impl std::fmt::Display) {
        self.inner().surprises.push(what.to_string());
    }
}

/// The ledger a receipt's entry is in, and the size of the tree it was proven in.
pub(crate) fn place(receipt: &Value) -> Result<(String, u64)> {
    let header = receipt["header"].as_str().context("a receipt's header")?;
    let ledger = header.get(2..34).context("a header's ledger id")?;
    let size = receipt["tree_size"].as_u64();
    Ok((ledger.to_owned(), size.context("a receipt's tree_size")?))
}
