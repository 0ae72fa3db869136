//! Channels that a command line opens: each is for one call with streams, which this node makes on its behalf.
//!
//! What an endpoint on this node offers is served here. For any other, the channel is joined to one of an endpoint's:
//! frames pass as they are, so that whoever does not read stops whoever writes, and an end, a reset or a loss on one
//! side is one on the other.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use qmesh_transport::{Channel, ChannelWriter, ResetCode, WriteError};
use tokio::time::timeout;

use crate::{
    channel::{
        open::{self, OpenChannel},
        request_bytes_max,
    },
    client::{self, OwnChannel},
    control_api,
    node::{NodeInner, accept, hello::FIRST_FRAME_MAX, link::Link},
    service::Caller,
    wire::{
        frame::{Frames, kind},
        messages::Open,
    },
};

/// Channels of one command line, at a time. Further ones wait.
const RELAYS_MAX: usize = 64;

/// Accepts the channels of a command line until its session ends.
pub(crate) async fn run(node: &Arc<NodeInner>, link: &Arc<Link>) {
    let mut relays = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            accepted = link.session().accept(), if relays.len() < RELAYS_MAX => match accepted {
                Ok(channel) => relays.push(relay(node, link, channel)),
                Err(_closed) => return,
            },
            Some(()) = relays.next() => {}
        }
    }
}

async fn relay(node: &Arc<NodeInner>, link: &Arc<Link>, channel: Channel) {
    let Channel { reader, writer, .. } = channel;
    let mut frames = Frames::new(reader, FIRST_FRAME_MAX);
    let limits = &node.config().limits;
    match timeout(limits.opening_timeout, open::read_request(&mut frames)).await {
        Ok(Ok(Some(request))) if node.service(&request.service).is_some() => {
            let request = Open { guest: None, ..request };
            let serving = accept::agree(node, link, request, (frames, writer)).await;
            if let Some(serving) = serving {
                // It has counted what the command line broke.
                drop(serving.await);
            }
        }
        Ok(Ok(Some(request))) => {
            frames.set_limit(request_bytes_max(limits));
            frames.set_share(link.large_frames(limits));
            let guest = Caller::proven(link.session().peer().clone());
            elsewhere(node, guest, request, (frames, writer)).await;
        }
        // Given up before anything was said.
        Ok(Ok(None)) => {}
        Ok(Err(_)) | Err(_) => {
            frames.stop(ResetCode::PROTOCOL);
            node.counters().broken_channel();
        }
    }
}

/// Finds an endpoint on another node, and joins the channels.
async fn elsewhere(
    node: &Arc<NodeInner>,
    guest: Caller,
    request: Open,
    (mut frames, mut writer): (Frames, ChannelWriter),
) {
    if node.is_draining() {
        return accept::refuse(node, &mut writer, &accept::drains(node)).await;
    }
    let drained = node.drain().awaits();
    let ticket = match client::ticket(node, control_api::timeout(request.patience_ms)) {
        Ok(ticket) => ticket,
        Err(failure) => return accept::refuse(node, &mut writer, &failure).await,
    };
    let mut journey = client::journey(node, Some(guest), (&request.service, request.methods), ticket);
    let opened = tokio::select! {
        biased;
        opened = journey.reach_own_elsewhere() => opened,
        // The command line has given up.
        _ = writer.stopped() => return,
    };
    // The session with the endpoint's node is kept until both ends are done.
    let OwnChannel {
        open: OpenChannel { opened, frames: mut far_frames, writer: mut far_writer },
        streams,
        ..
    } = match opened {
        Ok(own) => own,
        Err(failure) => return accept::refuse(node, &mut writer, &failure).await,
    };
    if writer.write_all(open::message(kind::OPENED, &opened)).await.is_ok() {
        let joined = async {
            tokio::join!(pass(&mut frames, &mut far_writer), pass(&mut far_frames, &mut writer));
        };
        let is_cut = tokio::select! {
            biased;
            () = joined => false,
            _why = drained.cut() => true,
        };
        if is_cut {
            frames.stop(ResetCode::DRAINED);
            writer.reset(ResetCode::DRAINED);
        }
    }
    drop(streams);
}

/// Passes frames on until either end is over, and that end with them.
async fn pass(from: &mut Frames, to: &mut ChannelWriter) {
    let stopped = loop {
        let mut chunk = tokio::select! {
            biased;
            next = from.next() => match next {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    // A session that has ended needs no half-close.
                    if to.finish().is_ok() {
                        to.delivered().await;
                    }
                    return;
                }
                Err(error) => return to.reset(error.reset_code()),
            },
            stopped = to.stopped() => break stopped,
        };
        chunk.let_go();
        if let Err(stopped) = to.write_all(chunk.bytes).await {
            break stopped;
        }
    };
    from.stop(match stopped {
        WriteError::Stopped(code) => code,
        _ => ResetCode::DROPPED,
    });
}
