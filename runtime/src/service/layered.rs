//! The way of a call through the layers of its service: with its slot in hand, and not queued yet.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use tokio::time::Instant;

use crate::{
    layer::{LayeredAnswer, Layers, Passage, Sealed},
    metadata::Metadata,
    service::{Batch, CallScope, CancelOnDrop, Contract, Envelope, Settled, inbox::Inbox},
};

/// A call whose slot is taken. Dropped before it is queued, it gives the slot back and is refused.
struct Admitted<C: Contract> {
    inbox: Arc<Inbox<C>>,
    /// Empty once it is queued.
    call: Batch<C>,
}

/// Brings a call whose slot is taken through the layers; whoever forwards it queues it and waits for `answer`. The slot is
/// given back even if what this returns is never polled.
///
/// # Cancel safety
/// As for [`Layers::bring`].
pub(super) fn bring<C: Contract, T: LayeredAnswer>(
    layers: Arc<Layers>,
    inbox: Arc<Inbox<C>>,
    (scope, envelope): (Arc<CallScope>, Envelope<C>),
    answer: impl Future<Output = Settled<T>> + Send + 'static,
) -> (Arc<Passage>, impl Future<Output = Settled<T>> + Send) {
    let conditions = &envelope.conditions;
    let passage = Arc::<Passage>::default();
    let sealed = Sealed {
        service: C::NAME,
        method: envelope.method_name(),
        caller: Some(scope.caller.clone()),
        deadline: conditions.deadline,
        metadata: conditions.head.metadata.clone(),
        cancel: conditions.cancel.clone(),
        passage: Arc::clone(&passage),
    };
    let (cancel, granted) = (conditions.cancel.clone(), conditions.head.allowance.retries);
    let call = Admitted { inbox, call: Batch::new(scope, [envelope].into(), Instant::now()) };
    let way = async move {
        let spent = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&spent);
        let go = move |metadata| {
            call.queue(metadata);
            let cancel = CancelOnDrop(cancel);
            // An answer that a layer does not wait for may have cost all that it was given.
            told.store(granted, Relaxed);
            async move {
                let (answer, spent) = answer.await;
                cancel.done();
                told.store(spent, Relaxed);
                answer
            }
        };
        let answer = layers.bring(sealed, go).await;
        (answer, spent.load(Relaxed))
    };
    (passage, way)
}

impl<C: Contract> Admitted<C> {
    /// Queues the call, with what the layers made of its metadata.
    fn queue(mut self, metadata: Option<Arc<Metadata>>) {
        if let Some(envelope) = self.call.calls.front_mut() {
            envelope.conditions.head.metadata = metadata;
        }
        let scope = Arc::clone(&self.call.scope);
        self.inbox.push(&scope, &mut self.call.calls, Instant::now());
    }
}

impl<C: Contract> Drop for Admitted<C> {
    fn drop(&mut self) {
        self.inbox.release(self.call.calls.len());
    }
}
