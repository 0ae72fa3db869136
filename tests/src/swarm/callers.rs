//! Those who call: each from one node, one call after the other, until their time is over.

use std::time::Duration;

use futures_util::future::join;
use qmesh::{
    Failure, Outcome, Reason, stream,
    testing::{CallKind, Ledger, Mesh},
};
use rand::{
    Rng, SeedableRng,
    distr::{Distribution as _, weighted::WeightedIndex},
    rngs::StdRng,
};
use tokio::time::{sleep, timeout};

use super::{
    pinned::Pinned,
    scenario::Scenario,
    service::{self, WorkClient},
};

/// Calls until the scenario's time is over. While its node is down, it waits.
pub(super) async fn run(mesh: &Mesh, scenario: &Scenario, number: usize) {
    let mut rng = StdRng::seed_from_u64(scenario.seed ^ (number as u64 + 1) << 40);
    let home = rng.random_range(0..scenario.nodes);
    let kinds = WeightedIndex::new(scenario.weights).expect("one of the weights is above 0");
    let start = tokio::time::Instant::now();
    let mut pinned = Pinned::of(number);
    while start.elapsed() < scenario.duration {
        sleep(scenario.pace.mul_f64(rng.random())).await;
        let Some(node) = mesh.running(home) else { continue };
        let trusted = service::is_trusted(node.name());
        let work = Work { ledger: mesh.ledger(), client: node.client(), trusted };
        drop(node);
        let limit = Duration::from_millis(rng.random_range(20..5_000));
        let millis = rng.random_range(0..scenario.work_ms);
        let kind = kinds.sample(&mut rng);
        let given_up = rng.random_bool(scenario.given_up);
        let patience = Duration::from_millis(rng.random_range(0..100));
        let call = work.one(kind, (limit, millis), (&mut pinned, &mut rng));
        if given_up {
            // Whoever gives up wants no answer.
            drop(timeout(patience, call).await);
        } else {
            call.await;
        }
    }
}

/// Who calls whom.
struct Work<'a> {
    ledger: &'a Ledger,
    client: WorkClient,
    /// Whether its node may call what is not for everybody.
    trusted: bool,
}

impl Work<'_> {
    async fn one(
        &self,
        kind: usize,
        (limit, millis): (Duration, u64),
        (pinned, rng): (&mut Pinned, &mut StdRng),
    ) {
        let Self { ledger, client, .. } = self;
        let answer = match kind {
            0 => ledger.call(CallKind::Idempotent, limit, |id| client.read(id, millis).timeout(limit)).await,
            1 => ledger.call(CallKind::Once, limit, |id| client.share(id, millis).timeout(limit)).await,
            2 => ledger.call(CallKind::Once, limit, |id| client.alone(id, millis).timeout(limit)).await,
            3 => {
                let sent =
                    ledger.call(CallKind::OneWay, limit, |id| client.note(id, millis).timeout(limit)).await;
                return drop(sent);
            }
            4 => return fetch(ledger, client, limit, millis).await,
            5 => return store(ledger, client, limit, millis).await,
            6 => return pinned.ask(ledger, client, rng, (limit, millis)).await,
            _ => return self.guarded(limit, rng.random_bool(0.5)).await,
        };
        // Its end is in the books.
        drop(answer);
    }

    /// What is not for everybody: who may not call it learns that it did not begin, and who may is never refused.
    async fn guarded(&self, limit: Duration, streams: bool) {
        let Self { ledger, client, trusted } = self;
        let failed = if streams {
            let opened = ledger.call(CallKind::Once, limit, |id| client.archive(id, 3).timeout(limit)).await;
            opened.err()
        } else {
            ledger.call(CallKind::Once, limit, |id| client.vault(id).timeout(limit)).await.err()
        };
        let refused = failed.as_ref().is_some_and(|failure| failure.reason() == Reason::Refused);
        match &failed {
            None if !trusted => ledger.violate("a call was answered that its caller may not make"),
            Some(failure) if refused && (*trusted || failure.outcome() != Outcome::NotExecuted) => {
                ledger.violate(format!("a call was refused with trust {trusted}: {failure}"));
            }
            _ => {}
        }
    }
}

/// What comes whole is whole.
async fn fetch(ledger: &Ledger, client: &WorkClient, limit: Duration, count: u64) {
    let opened = ledger.call(CallKind::Once, limit, |id| client.fetch(id, count).timeout(limit)).await;
    let Ok(items) = opened else { return };
    // A stream that was cut is a failure, and nothing more is known.
    if let Ok(Ok(items)) = timeout(Duration::from_secs(60), items.collect()).await
        && !items.iter().copied().eq(0..count)
    {
        ledger.violate(format!("a stream of {count} ended in order after {} items", items.len()));
    }
}

/// What was stored is what was sent.
async fn store(ledger: &Ledger, client: &WorkClient, limit: Duration, count: u64) {
    let (sender, receiver) = stream(4);
    let sending = async {
        for number in 0..count {
            sender.send(number).await?;
        }
        sender.finish();
        Ok::<_, Failure>(())
    };
    let storing = async {
        // Its time counts from the end of the stream that it sends.
        let ticket = ledger.start(CallKind::Once, Duration::from_secs(60));
        let answer = client.store(ticket.id(), receiver).timeout(limit).await;
        ticket.end(answer.as_ref().map(drop));
        answer
    };
    if let (Ok(()), Ok(stored)) = join(sending, storing).await
        && stored != count
        && stored != u64::MAX
    {
        ledger.violate(format!("{count} items were sent, and {stored} were stored in order"));
    }
}
