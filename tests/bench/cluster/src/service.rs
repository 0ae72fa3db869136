//! The actor that is called.

use qmesh_bench_harness::load::Counter;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;

/// What the actor is told, also by other nodes.
#[derive(RactorClusterMessage)]
pub(crate) enum Message {
    #[rpc]
    Echo(Vec<u8>, RpcReplyPort<Vec<u8>>),
    Tell(Vec<u8>),
}

/// Answers with the payload, and counts messages.
pub(crate) struct Service;

// === impl Service ===

impl Actor for Service {
    type Msg = Message;
    type State = Counter;
    type Arguments = Counter;

    async fn pre_start(&self, _: ActorRef<Message>, counter: Counter) -> Result<Counter, ActorProcessingErr> {
        Ok(counter)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        counter: &mut Counter,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // A caller that has gone wants no answer.
            Message::Echo(payload, reply) => drop(reply.send(payload)),
            Message::Tell(payload) => counter.count(&payload),
        }
        Ok(())
    }
}
