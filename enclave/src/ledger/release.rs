//! Waiting for witnesses, with what their proofs need brought from the store.

use std::time::Duration;

use super::commit::Core;
use super::errors::HaltReason;
use super::store::StoreClient;
use super::witnessing::Witnessing;

/// How long witnesses are waited for before it is looked again at what their proofs need.
const BRING: Duration = Duration::from_millis(250);

impl Core {
    /// Waits until witnesses let go of what is durable now.
    pub(super) async fn release(
        &mut self,
        store: &mut StoreClient,
        witnessing: &mut Witnessing,
        wrote: bool,
    ) -> Result<(), HaltReason> {
        while witnessing.present() {
            // What cannot be brought now is tried again.
            let _ = self.bring(store, None, &witnessing.positions()).await;
            let note = || self.appliance_note();
            let released = witnessing.release(&self.appliance_book, &note, wrote);
            if let Ok(released) = tokio::time::timeout(BRING, released).await {
                return released;
            }
        }
        Ok(())
    }

    /// Waits until a quorum of witnesses has cosigned this very head.
    pub async fn witnessed(
        &mut self,
        store: &mut StoreClient,
        witnessing: &mut Witnessing,
    ) -> Result<(), HaltReason> {
        while witnessing.present() {
            let _ = self.bring(store, None, &witnessing.positions()).await;
            let note = || self.appliance_note();
            let opened = witnessing.open(&self.appliance_book, &note);
            if let Ok(opened) = tokio::time::timeout(BRING, opened).await {
                return opened;
            }
        }
        Ok(())
    }
}
