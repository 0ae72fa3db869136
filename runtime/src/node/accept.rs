//! Channels that a peer opens: the first frame says what each is for.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use prost::Message;
use qmesh_transport::{Channel, ChannelWriter, ResetCode};
use tokio::time::timeout;

use crate::{
    call_tree::Allowance,
    channel::{
        open::{self, Callers, negotiate},
        request_bytes_max,
        serve::{Agreed, ServedChannel},
    },
    events::{self, MeshEvent},
    failure::{Failure, Reason},
    node::{NodeInner, Peer, gossip, hello::FIRST_FRAME_MAX, link::Link, questions},
    service::Caller,
    supervisor::Work,
    wire::{
        frame::{FrameError, Frames, kind},
        messages::Open,
    },
};

/// Accepts channels until the session ends; returns why.
pub(crate) async fn run(node: &Arc<NodeInner>, peer: &Arc<Peer>, link: &Arc<Link>) -> String {
    let mut openings = FuturesUnordered::new();
    let openings_max = node.config().limits.openings;
    loop {
        tokio::select! {
            biased;
            Some(()) = openings.next() => {}
            accepted = link.session().accept(), if openings.len() < openings_max => match accepted {
                Ok(channel) => openings.push(receive(node, peer, link, channel)),
                Err(closed) => return closed.to_string(),
            },
        }
    }
}

async fn receive(node: &Arc<NodeInner>, peer: &Peer, link: &Arc<Link>, channel: Channel) {
    let Channel { reader, writer, .. } = channel;
    let mut frames = Frames::new(reader, FIRST_FRAME_MAX);
    let broken = match timeout(node.config().limits.opening_timeout, frames.first()).await {
        Ok(Ok(Some((kind::OPEN, payload)))) => match Open::decode(payload) {
            Ok(request) => return serve(node, peer, link, request, (frames, writer)).await,
            Err(error) => error.to_string(),
        },
        Ok(Ok(Some((kind::GOSSIP, payload)))) => {
            node.gopher_map().received(peer.id(), payload);
            let work = Box::pin(gossip::read(Arc::clone(node), peer.id(), frames));
            return report(node, peer, peer.start_channel(link.place(), work).await);
        }
        Ok(Ok(Some((kind::QUESTION, question)))) => {
            if let Some(answering) = questions::asked(node, link, question, writer).await {
                report(node, peer, peer.start_channel(link.place(), answering).await);
            }
            return;
        }
        Ok(Ok(Some((kind, _)))) => FrameError::Unexpected(kind).to_string(),
        // A channel that its opener gave up before it said anything.
        Ok(Ok(None)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no first frame in time".to_owned(),
    };
    frames.stop(ResetCode::PROTOCOL);
    report(node, peer, Err(broken));
}

fn report(node: &NodeInner, peer: &Peer, ended: Result<(), String>) {
    if let Err(why) = ended {
        node.counters().broken_channel();
        let event = || MeshEvent::ChannelBroken { peer: node.name_of(peer.id()), why: events::why(why) };
        node.events().tell_at(&node.events().broken_channels, event);
    }
}

async fn serve(
    node: &Arc<NodeInner>,
    peer: &Peer,
    link: &Arc<Link>,
    request: Open,
    channel: (Frames, ChannelWriter),
) {
    if let Some(serving) = agree(node, link, request, channel).await {
        report(node, peer, peer.start_channel(link.place(), serving).await);
    }
}

/// Answers whoever opens a call channel; what is left is to serve it, unless it was refused.
pub(crate) async fn agree(
    node: &Arc<NodeInner>,
    link: &Arc<Link>,
    request: Open,
    (mut frames, mut writer): (Frames, ChannelWriter),
) -> Option<Work> {
    let limits = node.config().limits.clone();
    let caller = Caller::proven(link.session().peer().clone());
    let negotiated = guest(&request).and_then(|guest| {
        let endpoint = endpoint(node, &request.service)?;
        let agreed =
            negotiate(&request, &*endpoint, &limits, Callers { caller: &caller, guest: guest.as_ref() })?;
        Ok((endpoint, guest, agreed))
    });
    // Decoded it may be 25 times what came, and the peer may not read the answer for a while.
    drop(request);
    let (endpoint, guest, (codec, methods, opened)) = match negotiated {
        Ok(negotiated) => negotiated,
        Err(failure) => {
            refuse(node, &mut writer, &failure).await;
            return None;
        }
    };
    let answered =
        timeout(limits.opening_timeout, writer.write_all(open::message(kind::OPENED, &opened))).await;
    if !matches!(answered, Ok(Ok(()))) {
        return None;
    }
    frames.set_limit(request_bytes_max(&limits));
    frames.set_share(link.large_frames(&limits));
    let link = link.serves();
    let agreed = Agreed { codec, methods, limits, allowance: Allowance::of(node.config()) };
    let serving = endpoint.serve(ServedChannel { link, frames, writer, caller, guest, agreed });
    let owner = Arc::clone(node);
    Some(Box::pin(async move {
        serving.await.map_err(|error| {
            owner.counters().broken_channel();
            error.to_string()
        })
    }))
}

/// Tells whoever opens a call channel why there is none.
pub(crate) async fn refuse(node: &NodeInner, writer: &mut ChannelWriter, failure: &Failure) {
    // Whoever asked may have gone, or not read.
    let told = writer.write_all(open::refusal(failure));
    if let Ok(Ok(())) = timeout(node.config().limits.opening_timeout, told).await {
        drop(writer.finish());
    }
}

/// The command line for which the peer calls.
fn guest(request: &Open) -> Result<Option<Caller>, Failure> {
    let strange = || Failure::not_executed(Reason::Protocol, "the guest that is named cannot be one");
    let named = request.guest.clone();
    named.map(|guest| Caller::guest_elsewhere(guest).ok_or_else(strange)).transpose()
}

/// Why nothing new begins here.
pub(crate) fn drains(node: &NodeInner) -> Failure {
    Failure::not_executed(Reason::Unavailable, format!("{} drains", node.name()))
}

fn endpoint(node: &NodeInner, service: &str) -> Result<Arc<dyn crate::service::Endpoint>, Failure> {
    if node.is_draining() {
        return Err(drains(node));
    }
    if node.is_warming(service) {
        let detail = format!("{service} warms up on {}", node.name());
        return Err(Failure::not_executed(Reason::Unavailable, detail));
    }
    node.service(service).ok_or_else(|| {
        let known = node.own_service_names();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let detail = format!("{} has no service {service}; it has {known}", node.name());
        Failure::not_executed(Reason::UnknownService, detail)
    })
}
