//! What changed, for whoever listens: one channel for all accounts, filtered by each reader.

use api::events::Event;
use domain::ids::AccountId;
use tokio::sync::broadcast;

/// Changes that a slow reader may be behind; then it is told to read the lists again.
const BACKLOG: usize = 256;

/// The channel.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<(AccountId, Event)>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG) }
    }
}

impl Hub {
    /// Tells the readers of `account`.
    pub(crate) fn publish(&self, account: AccountId, event: Event) {
        // Nobody listening is no error.
        let _ = self.sender.send((account, event));
    }

    /// Whether anybody listens, so that nobody makes events in vain.
    pub(crate) fn is_heard(&self) -> bool {
        0 < self.sender.receiver_count()
    }

    /// The changes of all accounts from now on; [`next_of`] picks one's own.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<(AccountId, Event)> {
        self.sender.subscribe()
    }
}

/// The next change of `account`; `None` when the control plane stops.
pub(crate) async fn next_of(
    receiver: &mut broadcast::Receiver<(AccountId, Event)>,
    account: AccountId,
) -> Option<Event> {
    loop {
        match receiver.recv().await {
            Ok((of, event)) if of == account => return Some(event),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return Some(Event::Lagged),
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}
