//! SIGKILL over QUIC in the middle of each call shape: whoever survives knows what is known within two seconds.

use anyhow::{Context, Result};
use qmesh::{Outcome, Reason, prelude::*, stream};
use qmesh_tests::{
    Process, Stalls, millis, secs,
    shapes::{self, Seen, ShapesClient, Witness},
    watch,
};
use tokio::time::{Instant, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_qmesh-tests-endpoint");

/// Whoever survives knows within this time.
const KNOWN: std::time::Duration = secs(2);

/// What a call became of whose server was killed.
type Ended = (Outcome, Reason);

const LOST: Ended = (Outcome::Unknown, Reason::ConnectionLost);

/// A process that serves, and a client of it.
struct Server {
    process: Process,
    client: Node,
    shapes: ShapesClient,
    _data_dir: tempfile::TempDir,
}

impl Server {
    async fn start() -> Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let process = Process::start(BINARY, data_dir.path(), "server").await?;
        let identity = Identity::dev(data_dir.path())?;
        let client = Node::builder("client").identity(identity).config(Config::local()).start().await?;
        watch::endpoints(&client, "tests.Shapes", 1).await;
        watch::settled(&client, "server").await;
        let shapes = client.client();
        Ok(Self { process, client, shapes, _data_dir: data_dir })
    }

    /// Kills it, and waits for what becomes of the call: it has two seconds, beside what the machine took.
    async fn kill<T>(self, what: &str, outcome: impl Future<Output = T>) -> Result<T> {
        let (stalls, killed_at) = (Stalls::watch(), Instant::now());
        self.process.kill().await?;
        let outcome = timeout(secs(20), outcome).await.with_context(|| format!("{what}: no outcome"))?;
        let (took, lost) = (killed_at.elapsed(), stalls.lost());
        assert!(took < KNOWN + lost, "{what}: known after {took:?}, of which the machine slept {lost:?}");

        // What is called now is known not to have run.
        let failure = self.shapes.ask().timeout(millis(300)).await.expect_err("nobody serves");
        assert_eq!(failure.outcome(), Outcome::NotSent, "{what}: {failure}");
        self.client.shutdown().await;
        Ok(outcome)
    }
}

fn ended(failure: &Failure) -> Ended {
    (failure.outcome(), failure.reason())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_every_call_with_an_outcome() -> Result<()> {
    tokio::try_join!(asked(), told(), uploaded(), downloaded(), both_ways())?;
    Ok(())
}

async fn asked() -> Result<()> {
    let server = Server::start().await?;
    let call = server.shapes.ask();
    tokio::pin!(call);
    timeout(millis(300), &mut call).await.expect_err("it never answers");
    let failure = server.kill("ask", call).await?.expect_err("its server was killed");
    assert_eq!(ended(&failure), LOST, "{failure}");
    Ok(())
}

/// Sends until the server's credit is used up: what waits then was never sent.
async fn told() -> Result<()> {
    let server = Server::start().await?;
    let shapes = server.shapes.clone();
    let mut sent = 0_u64;
    while timeout(secs(2), shapes.tell(sent)).await.is_ok_and(|sent| sent.is_ok()) {
        sent += 1;
    }
    assert!(sent > 8000, "{sent} were taken");
    let waiting = shapes.tell(sent).timeout(millis(1500));
    let failure = server.kill("tell", waiting).await?.expect_err("its server was killed");
    assert_eq!(failure.outcome(), Outcome::NotSent, "{failure}");
    Ok(())
}

async fn uploaded() -> Result<()> {
    let server = Server::start().await?;
    let (say, said) = stream(4);
    let answer = server.shapes.upload(said);
    let talk = async {
        for number in 0.. {
            if let Err(failure) = say.send(number).await {
                return failure;
            }
        }
        unreachable!("numbers have no end");
    };
    let both = futures_util::future::join(answer, talk);
    tokio::pin!(both);
    timeout(millis(300), &mut both).await.expect_err("it goes on");
    let (answer, sender) = server.kill("upload", both).await?;
    assert_eq!(ended(&answer.expect_err("its server was killed")), LOST);
    assert_eq!(ended(&sender), LOST, "{sender}");
    Ok(())
}

async fn downloaded() -> Result<()> {
    let server = Server::start().await?;
    let mut heard = server.shapes.download().await?;
    for number in 0..20 {
        assert_eq!(heard.recv().await, Ok(Some(number)));
    }
    let rest = async {
        loop {
            match heard.recv().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    };
    let failure = server.kill("download", rest).await?.expect_err("it never looks complete");
    assert_eq!(ended(&failure), LOST, "{failure}");
    Ok(())
}

async fn both_ways() -> Result<()> {
    let server = Server::start().await?;
    let (say, said) = stream(4);
    let mut heard = server.shapes.both(said).await?;
    for number in 0..20 {
        say.send(number).await?;
        assert_eq!(heard.recv().await, Ok(Some(number)));
    }
    let (received, sent) = server
        .kill("both", async {
            let received = heard.recv().await;
            say.closed().await;
            (received, say.send(1).await)
        })
        .await?;
    assert_eq!(ended(&received.expect_err("its server was killed")), LOST);
    assert_eq!(ended(&sent.expect_err("its server was killed")), LOST);
    Ok(())
}

/// Kills a process that calls in this shape once `middle` was seen, and waits until `end` was.
async fn kill_caller(
    shape: &str,
    middle: impl Fn(&[Seen]) -> bool,
    end: impl Fn(&[Seen]) -> bool,
) -> Result<Vec<Seen>> {
    let data_dir = tempfile::tempdir()?;
    let (identity, witness) = (Identity::dev(data_dir.path())?, Witness::default());
    let server = Node::builder("server").identity(identity).config(Config::local());
    let server = server.serve(shapes::server(witness.clone())).start().await?;
    let caller = Process::call(BINARY, data_dir.path(), "caller", shape).await?;
    let begun = timeout(secs(20), witness.until(middle)).await;
    begun.with_context(|| format!("{shape} does not begin: {:?}", witness.seen()))?;
    tokio::time::sleep(millis(200)).await;

    let (stalls, killed_at) = (Stalls::watch(), Instant::now());
    caller.kill().await?;
    let known = timeout(secs(20), witness.until(end)).await;
    known.with_context(|| format!("{shape}: {:?} is all that is known", tail(&witness)))?;
    let (took, lost) = (killed_at.elapsed(), stalls.lost());
    assert!(took < KNOWN + lost, "{shape}: known after {took:?}, of which the machine slept {lost:?}");
    // Whatever else the handlers see of it, they see now.
    tokio::time::sleep(millis(200)).await;
    // What one-way sends are left in its queue are not waited for.
    drop(server);
    let seen = witness.seen();
    assert!(!seen.contains(&Seen::Whole), "{shape}: a cut stream looks complete");
    Ok(seen)
}

fn tail(witness: &Witness) -> Vec<Seen> {
    let seen = witness.seen();
    seen[seen.len().saturating_sub(5)..].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_caller_is_known_to_every_handler() -> Result<()> {
    const CUT: Seen = Seen::Cut(Reason::ConnectionLost);
    const GONE: Seen = Seen::Gone(Reason::ConnectionLost);
    let count = |seen: &[Seen], what| seen.iter().filter(|seen| **seen == what).count();
    let has = |what: Seen| move |seen: &[Seen]| seen.contains(&what);
    let items = move |seen: &[Seen]| count(seen, Seen::Item) > 100;

    let asked = kill_caller("ask", has(Seen::Began), has(Seen::Dropped));
    let altered = kill_caller("alter", has(Seen::Began), has(Seen::Cancelled));
    let told = kill_caller("tell", |seen| seen.len() > 20, |_| true);
    let uploaded = kill_caller("upload", items, has(CUT));
    let downloaded = kill_caller("download", has(Seen::Began), has(GONE));
    let both = kill_caller("both", items, move |seen| seen.contains(&CUT) && seen.contains(&GONE));
    let (_, altered, told, ..) = tokio::try_join!(asked, altered, told, uploaded, downloaded, both)?;

    assert_eq!(altered, [Seen::Began, Seen::Cancelled], "what waited in the queue never began");
    let in_order = (0..).map(Seen::Told).zip(&told).all(|(expected, seen)| expected == *seen);
    assert!(in_order, "what was told came in order, and once: {told:?}");
    Ok(())
}
