//! The services' side.

use std::sync::Arc;

use anyhow::Result;
use bytes::BytesMut;
use qmesh_bench_harness::{
    host::Host,
    load::{Counter, Order},
};
use tokio::{io::AsyncRead, task::JoinSet};

use super::{
    Writer,
    frames::{self, Frames, ONE_WAY, ORDER},
    outbox::{self, Outbox},
};

/// Items go out when so much has gathered.
const WRITE_BYTES: usize = 64 * 1024;
/// The id of an item: nobody looks at it.
const ITEM: u32 = 0;

/// Where a call is handled.
#[derive(Clone, Copy, Debug)]
pub(in crate::systems) enum Handling {
    /// In the reader.
    InReader,
    /// In a task of its own.
    InTask,
}

/// Serves one stream to its end; whoever opened it may also end it by breaking the connection.
pub(in crate::systems) async fn serve(
    reader: impl AsyncRead + Unpin,
    writer: impl Writer,
    host: Host,
    handling: Handling,
) {
    let frames = Frames::new(reader);
    let ended = match handling {
        Handling::InReader => in_reader(frames, writer, host).await,
        Handling::InTask => in_tasks(frames, writer).await,
    };
    if let Err(error) = ended {
        eprintln!("a stream ended: {error:#}");
    }
}

async fn in_reader<R>(mut frames: Frames<R>, mut writer: impl Writer, host: Host) -> Result<()>
where
    R: AsyncRead + Unpin,
{
    let mut counter: Option<Counter> = None;
    let mut replies = BytesMut::new();
    while frames.fill().await? {
        while let Some((id, payload)) = frames.next() {
            match id {
                ONE_WAY => counter.get_or_insert_with(|| host.counter()).handle(&payload).await,
                ORDER => return deliver(Order::decode(&payload)?, writer).await,
                id => frames::put(&mut replies, id, &payload),
            }
        }
        if !replies.is_empty() {
            writer.write(outbox::take(&mut replies)).await?;
        }
    }
    Ok(())
}

/// Sends the items of an order.
async fn deliver(order: Order, mut writer: impl Writer) -> Result<()> {
    let (mut flow, mut items) = (order.flow()?, BytesMut::new());
    while let Some(item) = flow.next() {
        frames::put(&mut items, ITEM, item);
        if items.len() >= WRITE_BYTES {
            writer.write(outbox::take(&mut items)).await?;
        }
    }
    writer.write(items.freeze()).await?;
    writer.finish().await
}

#[expect(clippy::disallowed_methods, reason = "the least that a task a call can cost")]
async fn in_tasks<R>(mut frames: Frames<R>, writer: impl Writer) -> Result<()>
where
    R: AsyncRead + Unpin,
{
    let replies = Arc::<Outbox>::default();
    let mut writing = JoinSet::new();
    writing.spawn({
        let replies = replies.clone();
        // The stream ends with its reader, which says why.
        async move { replies.write_to(writer).await.unwrap_or_default() }
    });
    while frames.fill().await? {
        while let Some((id, payload)) = frames.next() {
            let replies = replies.clone();
            tokio::spawn(async move {
                replies.push(id, &payload);
            });
        }
    }
    Ok(())
}
