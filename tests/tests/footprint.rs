//! What hostile peers make a real node hold, over QUIC, as its process's resident memory.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use qmesh::{Address, Identity};
use qmesh_tests::{
    Process, millis, secs,
    stranger::{Stranger, frame, header, kind, open, opening, read_frame},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep, timeout},
};

const BINARY: &str = env!("CARGO_BIN_EXE_qmesh-tests-endpoint");
const MIB: u64 = 1 << 20;

/// A node in a process of its own, and where it is.
struct Target {
    process: Process,
    address: Address,
    identity: Identity,
    _data_dir: tempfile::TempDir,
}

impl Target {
    async fn start() -> Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let process = Process::start_patient(BINARY, data_dir.path(), "target").await?;
        let identity = Identity::dev(data_dir.path())?;
        let address = address(data_dir.path())?;
        let target = Self { process, address, identity, _data_dir: data_dir };
        // Whatever the first sessions of all cost is no peer's.
        let stranger = Stranger::over_quic(&target.identity, target.address.clone())?;
        for _ in 0..20 {
            drop(stranger.introduce("dev").await?);
        }
        Ok(target)
    }

    /// The most that it holds while `attack` goes on, beyond what it held before.
    async fn grows_by(&self, attack: impl Future<Output = Result<()>>) -> Result<u64> {
        let before = self.process.resident_bytes()?;
        let mut most = before;
        let mut attack = std::pin::pin!(attack);
        loop {
            tokio::select! {
                ended = &mut attack => {
                    ended?;
                    return Ok(most.max(self.process.resident_bytes()?) - before);
                }
                () = sleep(millis(50)) => most = most.max(self.process.resident_bytes()?),
            }
        }
    }
}

fn address(data_dir: &Path) -> Result<Address> {
    let file = data_dir.join("nodes/target/address");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(text.lines().next().context("it tells no address")?.parse()?)
}

/// Peers without a certificate of the mesh: some whose handshake never ends, some that are refused.
#[tokio::test]
async fn a_peer_without_a_certificate_costs_less_than_a_megabyte() -> Result<()> {
    const PEERS: u64 = 48;
    let target = Target::start().await?;
    let socket = target.address.socket().context("a socket address")?;
    let elsewhere = tempfile::tempdir()?;
    let foreign = Identity::dev(elsewhere.path())?;
    let attack = async {
        let dials = (0..PEERS).map(async |number| {
            if number % 2 == 0 {
                let stranger = Stranger::over_quic(&foreign, target.address.clone())?;
                ensure!(stranger.knock().await.is_err(), "another authority's certificate was believed");
                return Ok(());
            }
            // What the node says never comes back.
            let relay = UdpSocket::bind("127.0.0.1:0").await?;
            let stranger = Stranger::over_quic(&foreign, Address::quic(relay.local_addr()?))?;
            let forward = async {
                let mut buffer = vec![0; 65_536];
                for _ in 0..100 {
                    let (length, _) = relay.recv_from(&mut buffer).await?;
                    relay.send_to(&buffer[..length], socket).await?;
                }
                Ok::<_, anyhow::Error>(())
            };
            let dialled = timeout(secs(4), async { tokio::join!(forward, stranger.knock()).1.is_ok() }).await;
            ensure!(!dialled.unwrap_or(false), "a handshake ended that cannot");
            Ok(())
        });
        join_all(dials).await.into_iter().collect()
    };
    let grown = target.grows_by(attack).await?;
    let each = grown / PEERS;
    println!("{PEERS} peers without a certificate: {} KiB, {} KiB each", grown >> 10, each >> 10);
    assert!(each < MIB / 2, "{each} bytes for each peer");
    target.process.end().await
}

/// A member that opens as many channels as it may, begins calls of the largest size on each, ends none, and reads nothing.
#[tokio::test]
async fn a_member_costs_no_more_than_its_share() -> Result<()> {
    // Of `QuicConfig::local`, and what the table in ARCHITECTURE.md grants each channel.
    const CHANNELS: u64 = 4096;
    const SESSION_WINDOW: u64 = 16 * MIB;
    const SEND_WINDOW: u64 = 8 * MIB;
    const LARGE_FRAMES: u64 = 64 * MIB;
    const CHANNEL_BYTES: u64 = 32 << 10;
    let target = Target::start().await?;
    let stranger = Stranger::over_quic(&target.identity, target.address.clone())?;
    let (session, _control) = stranger.introduce("dev").await?;
    let (mut opened, mut sent) = (0_u64, 0_u64);
    let attack = async {
        let request =
            frame(kind::OPEN, &opening("tests.Work", "msgpack", &[("whoami", "whoami() -> String")]));
        let floods = [4 << 20, 60 << 10].map(|length| header(kind::CALL, length, &vec![0; 59 << 10]));
        let mut held = Vec::new();
        let end = Instant::now() + secs(40);
        while opened < CHANNELS - 1 && Instant::now() < end {
            let mut channel = open(&*session, request.clone()).await?;
            let (kind, _) = read_frame(&mut channel).await?.context("no answer")?;
            ensure!(kind == kind::OPENED, "the channel was refused");
            opened += 1;
            held.push(channel);
        }
        // Until the windows are full.
        for (channel, flood) in held.iter_mut().zip(floods.iter().cycle()) {
            if timeout(millis(2), channel.writer.write_all(flood.clone())).await.is_ok() {
                sent += flood.len() as u64;
            }
        }
        sleep(secs(1)).await;
        Ok(())
    };
    let grown = target.grows_by(attack).await?;
    let share = SESSION_WINDOW + SEND_WINDOW + LARGE_FRAMES + opened * CHANNEL_BYTES;
    println!(
        "a hostile member: {opened} channels, {} KiB sent whole: {} KiB of its {} KiB",
        sent >> 10,
        grown >> 10,
        share >> 10
    );
    ensure!(opened > 500, "only {opened} channels in time");
    assert!(grown < share, "{grown} bytes; the share is {share}");
    target.process.end().await
}

/// A member that asks for a gigabyte on several channels, and reads none of it.
#[tokio::test]
async fn answers_that_nobody_reads_cost_no_more_than_their_share() -> Result<()> {
    const CHANNELS: usize = 4;
    const CALLS: u8 = 64;
    // `Limits::unread_answers_bytes_max`, and what is on its way: the send window of `QuicConfig::local`.
    const SHARE: u64 = (64 + 8) * MIB;
    // An answer that is made, as a value and as bytes, and what the allocator keeps of such ones.
    const SLACK: u64 = 32 * MIB;
    let target = Target::start().await?;
    let stranger = Stranger::over_quic(&target.identity, target.address.clone())?;
    let (session, _control) = stranger.introduce("dev").await?;
    let attack = async {
        let method = ("text", "text(bytes: usize, millis: u64) -> String");
        let request = frame(kind::OPEN, &opening("tests.Work", "msgpack", &[method]));
        // 4,000,000 bytes after 100 ms: they all run before one of them answers. Ten seconds remain.
        let call =
            |number| frame(kind::CALL, &[number, 0, 0x90, 0x4e, 0x92, 0xce, 0x00, 0x3d, 0x09, 0x00, 100]);
        let calls: Vec<u8> = (0..CALLS).flat_map(call).collect();
        let mut held = Vec::new();
        for _ in 0..CHANNELS {
            let mut channel = open(&*session, request.clone()).await?;
            let (kind, _) = read_frame(&mut channel).await?.context("no answer")?;
            ensure!(kind == kind::OPENED, "the channel was refused");
            channel.writer.write_all(calls.clone().into()).await?;
            held.push(channel);
        }
        sleep(secs(3)).await;
        // Others are served meanwhile.
        let bystander = Stranger::over_quic(&target.identity, target.address.clone())?;
        let (session, _control) = bystander.introduce("dev").await?;
        let whoami = opening("tests.Work", "msgpack", &[("whoami", "whoami() -> String")]);
        let mut channel = open(&*session, frame(kind::OPEN, &whoami)).await?;
        read_frame(&mut channel).await?.context("no answer")?;
        channel.writer.write_all(frame(kind::CALL, &[0, 0, 0x90, 0x4e, 0x90])).await?;
        let (_, answer) = timeout(secs(5), read_frame(&mut channel)).await??.context("no answer")?;
        ensure!(answer[..2] == [0, 0], "the bystander's call failed: {answer:?}");
        Ok(())
    };
    let grown = target.grows_by(attack).await?;
    let wanted = u64::from(CALLS) * CHANNELS as u64 * 4;
    println!("{wanted} MB of answers that nobody reads: {} KiB of {} KiB", grown >> 10, SHARE >> 10);
    assert!(grown > 32 * MIB, "{grown} bytes: answers were not made at all");
    assert!(grown < SHARE + SLACK, "{grown} bytes; the share is {SHARE}");
    target.process.end().await
}

/// A member that makes a large call on each of many channels, one after the other, and keeps the channels.
#[tokio::test]
async fn large_calls_leave_nothing_behind() -> Result<()> {
    const CHANNELS: u64 = 40;
    const CALL: usize = 4_000_000;
    // One call, as it comes and as it is read, and what the allocator keeps of it.
    const GROWTH_MAX: u64 = 32 * MIB;
    let target = Target::start().await?;
    let stranger = Stranger::over_quic(&target.identity, target.address.clone())?;
    let (session, _control) = stranger.introduce("dev").await?;
    let attack = async {
        let whoami = opening("tests.Work", "msgpack", &[("whoami", "whoami() -> String")]);
        // Arguments that nobody reads.
        let large = frame(kind::CALL, &[&[0, 0, 0x90, 0x4e][..], &vec![0xc1; CALL]].concat());
        let mut held = Vec::new();
        for _ in 0..CHANNELS {
            let mut channel = open(&*session, frame(kind::OPEN, &whoami)).await?;
            let (kind, _) = read_frame(&mut channel).await?.context("no answer")?;
            ensure!(kind == kind::OPENED, "the channel was refused");
            channel.writer.write_all(large.clone()).await?;
            let (_, refused) = read_frame(&mut channel).await?.context("no answer")?;
            ensure!(refused[..2] == [0, 2], "arguments that cannot be read: {refused:?}");
            held.push(channel);
        }
        Ok(())
    };
    let grown = target.grows_by(attack).await?;
    println!("{CHANNELS} channels, a call of {CALL} bytes on each: {} KiB", grown >> 10);
    assert!(grown < GROWTH_MAX, "{grown} bytes are held");
    target.process.end().await
}
