//! What is done to the hosts, and what must hold. The figures are printed.

use std::{io::Write as _, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use super::{
    calmly,
    world::{A, B, C, World},
};
use crate::{millis, secs};

/// A node that was killed has left the directories by then.
const GONE_MAX: Duration = secs(2);
/// A host that was cut off has left the directories by then: the whole silence counts, and no session says a word.
const CUT_OFF_MAX: Duration = secs(3);
/// How long a trouble lasts once it was noticed.
const TROUBLE: Duration = secs(3);
/// How long a mended mesh is watched.
const CALM: Duration = secs(2);
/// Where `c` moves.
const NEW_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 33);

/// Runs them one after the other.
pub(super) async fn run() -> Result<()> {
    let began = Instant::now();
    let mut world = World::start().await.context("the hosts cannot be made")?;
    let ran = all(&mut world, began).await;
    if ran.is_err() {
        for host in &world.hosts {
            eprintln!("--- {}:\n{}", host.name(), host.log());
        }
    }
    ran
}

async fn all(world: &mut World, began: Instant) -> Result<()> {
    let starts =
        async { tell("three hosts start", &[("all know each other", world.until_whole(began).await?)]) };
    calmly("the hosts meet", starts).await?;
    sleep(CALM).await;
    calmly("a host is cut off", cut_both_ways(world)).await?;
    let one_way = cut_a_path(world, "what b sends to a is lost", &[(B, A)]);
    calmly("a path is cut one way", one_way).await?;
    let both_ways = cut_a_path(world, "a and b reach c alone", &[(A, B), (B, A)]);
    calmly("a path is cut both ways", both_ways).await?;
    calmly("an address changes", change_address(world)).await?;
    calmly("a process is killed", kill(world)).await?;
    tell("done", &[("all scenarios", began.elapsed())])
}

/// Nobody who could serve can be reached: calls fail, in their time. Afterwards all is as before.
async fn cut_both_ways(world: &World) -> Result<()> {
    let cut = world.cut(&[(A, B), (B, A), (A, C), (C, A)])?;
    let a_knows = world.until(cut, "a sees itself alone", |world| world.sees_exactly(A, &[A])).await?;
    let sides = |world: &World| {
        world.sees_exactly(A, &[A]) && [B, C].iter().all(|who| world.sees_exactly(*who, &[B, C]))
    };
    let all_know = world.until(cut, "each side sees itself alone", sides).await?;
    sleep(TROUBLE).await;
    ensure!(sides(world), "somebody came back through a cut");
    let calls = world.callers.since(cut)?;
    calls.check_ends()?;
    ensure!(calls.served_after(all_know).is_empty(), "calls passed through a cut: {calls}");
    tell("a is cut off from b and c", &[("a knows", a_knows), ("all know", all_know)])?;
    tell_calls(&calls)?;
    ensure!(all_know <= CUT_OFF_MAX, "it took {all_know:?} to notice");
    heal(world, "a is back").await
}

/// `a` and `b` have no session, but nobody is dead, and no call fails.
async fn cut_a_path(world: &World, what: &str, links: &[(usize, usize)]) -> Result<()> {
    let cut = world.cut(links)?;
    let a_knows = world.until(cut, "a has no session with b", |world| !world.has_session(A, B)).await?;
    let parted = |world: &World| !world.has_session(A, B) && !world.has_session(B, A);
    let both_know = world.until(cut, "a and b have no session", parted).await?;
    sleep(TROUBLE).await;
    world.check_nobody_missed(cut)?;
    ensure!(parted(world), "a and b have a session through the cut");
    let calls = world.callers.since(cut)?;
    let disturbed = calls.disturbed_for();
    tell(what, &[("a knows", a_knows), ("both know", both_know), ("all calls go to c", disturbed)])?;
    tell_calls(&calls)?;
    calls.check_answers()?;
    let served: Vec<_> = calls.served_after(both_know).into_keys().collect();
    ensure!(served == ["c"], "calls were served by {served:?}");
    heal(world, "the path is back").await?;
    world.check_nobody_missed(cut)
}

/// Mends all links; whoever calls notices no more of it once all agree.
async fn heal(world: &World, what: &str) -> Result<()> {
    let healed = world.heal()?;
    let agreed = world.until_whole(healed).await?;
    sleep(millis(100)).await;
    let settled = Instant::now();
    sleep(CALM).await;
    let disturbed = world.callers.since(healed)?.disturbed_for();
    tell(what, &[("all agree", agreed), ("calls are as before", disturbed)])?;
    let calls = world.callers.since(settled)?;
    calls.check_answers()?;
    let served: Vec<_> = calls.served_after(Duration::ZERO).into_keys().collect();
    ensure!(served == ["b", "c"], "calls are served by {served:?} alone");
    world.check_nobody_missed(settled)
}

/// `c` gets another address. A node announces where it was told to listen, so it is started anew.
async fn change_address(world: &mut World) -> Result<()> {
    let old = world.hosts[C].network.address;
    for who in [A, B] {
        world.hosts[who].network.count_to(old)?;
    }
    let began = Instant::now();
    sleep(millis(500)).await;
    let dialled_before = dialled(world)?;
    ensure!(dialled_before.iter().all(|packets| *packets > 0), "no packets to {old} were counted");
    let moved = Instant::now();
    world.move_to(C, NEW_ADDRESS)?;
    world.hosts[C].restart().await?;
    let restarted = moved.elapsed();
    let agreed = world.until_whole(moved).await?;
    // A dial that was under way may take as long as a handshake may.
    sleep(secs(5)).await;
    let dialled_then = dialled(world)?;
    sleep(TROUBLE).await;
    let calls = world.callers.since(began)?;
    tell("c moves, and is started anew", &[("it runs again", restarted), ("all agree", agreed)])?;
    tell_calls(&calls)?;
    ensure!(dialled(world)? == dialled_then, "{old} is dialled on");
    calls.check_answers()?;
    ensure!(calls.served_after(agreed + secs(1)).contains_key("c"), "no call found c: {calls}");
    Ok(())
}

/// Packets that `a` and `b` sent to where `c` was.
fn dialled(world: &World) -> Result<[u64; 2]> {
    Ok([world.hosts[A].network.counted()?, world.hosts[B].network.counted()?])
}

/// A node that is killed says no goodbye; no call fails for it.
async fn kill(world: &mut World) -> Result<()> {
    let killed = Instant::now();
    world.hosts[B].kill().await?;
    let a_knows = world.until(killed, "a sees b gone", |world| world.sees_exactly(A, &[A, C])).await?;
    let gone = |world: &World| [A, C].iter().all(|who| world.sees_exactly(*who, &[A, C]));
    let all_know = world.until(killed, "all see b gone", gone).await?;
    sleep(CALM).await;
    let calls = world.callers.since(killed)?;
    let disturbed = calls.disturbed_for();
    tell("b is killed", &[("a knows", a_knows), ("all know", all_know), ("all calls go to c", disturbed)])?;
    tell_calls(&calls)?;
    calls.check_answers()?;
    ensure!(all_know <= GONE_MAX, "it took {all_know:?} to notice");
    ensure!(gone(world), "b came back");
    Ok(())
}

fn tell(what: &str, times: &[(&str, Duration)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    for (what, time) in times {
        writeln!(out, "  {what:20} after {:5.2} s", time.as_secs_f64())?;
    }
    Ok(())
}

fn tell_calls(calls: &super::callers::Calls) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "  {calls}")?)
}
