//! Three hosts, those who watch their directories, and those who call.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Result, ensure};
use qmesh::{Address, Identity};
use tokio::time::{Instant, sleep};

use super::{
    callers::Callers,
    directory::{Directory, Known},
    host::{Host, PORT, Serving, certificate},
    network::{self, Network, tool},
};
use crate::{millis, secs};

/// The command line of those who watch and call.
pub(super) const GUEST: &str = "guest";

/// The host that is called through; it serves no `clock.Clock`.
pub(super) const A: usize = 0;
/// A host that serves `clock.Clock`.
pub(super) const B: usize = 1;
/// The other one.
pub(super) const C: usize = 2;

/// Where everything of the hosts lies: in memory, and nobody else's.
const FOLDER: &str = "/run/mesh";
/// What is to happen happens sooner, or never.
const UNTIL_MAX: Duration = secs(15);

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) hosts: Vec<Host>,
    pub(super) callers: Callers,
    directories: Vec<Directory>,
    guest: Identity,
}

// === impl World ===

impl World {
    /// Makes the networks and the certificates, and starts the nodes.
    pub(super) async fn start() -> Result<Self> {
        let qmesh = std::env::current_exe()?.with_file_name("qmesh");
        ensure!(
            qmesh.exists(),
            "there is no {}: cargo build -p qmesh-cli, as this was built",
            qmesh.display()
        );
        network::lay()?;
        let issue = format!("{} ca issue --dir {FOLDER}/authority --out {FOLDER}", qmesh.display());
        tool(&format!("{} ca init --mesh hosts --dir {FOLDER}/authority", qmesh.display()))?;
        tool(&format!("{issue}/{GUEST} {GUEST} --client"))?;
        // Nobody has `c` for a seed: only its record says where it is.
        let plans: [(_, _, _, &[usize]); 3] =
            [("a", A, "echo.Echo", &[B]), ("b", B, "clock.Clock", &[A]), ("c", C, "clock.Clock", &[A, B])];
        let mut hosts = Vec::new();
        for (name, number, service, seeds) in plans {
            tool(&format!("{issue}/{name} {name}"))?;
            let seeds = seeds.iter().map(|seed| format!("quic://{}:{PORT}", address(*seed))).collect();
            let folder = Path::new(FOLDER).join(name);
            let serving = Serving { qmesh: qmesh.clone(), service, seeds, folder };
            hosts.push(Host::start(Network::add(name, address(number))?, serving).await?);
        }
        let folder = Path::new(FOLDER).join(GUEST);
        let own = certificate(&folder, GUEST);
        let guest = Identity::pem_files(&own, own.with_extension("key.pem"), folder.join("authority.pem"))?;
        let watch = |host: &Host| Ok(Directory::watch(host.url().parse()?, guest.clone()));
        let directories = hosts.iter().map(watch).collect::<Result<_>>()?;
        let through: Address = hosts[A].url().parse()?;
        let callers = Callers::start(&through, &guest).await?;
        Ok(Self { hosts, callers, directories, guest })
    }

    /// Drops what each `from` sends to its `to`; says when all of it was cut.
    pub(super) fn cut(&self, links: &[(usize, usize)]) -> Result<Instant> {
        for (from, to) in links {
            self.hosts[*to].network.drop_from(&self.hosts[*from].network)?;
        }
        Ok(Instant::now())
    }

    /// Mends all links; says when it began to.
    pub(super) fn heal(&self) -> Result<Instant> {
        let now = Instant::now();
        for host in &self.hosts {
            host.network.heal()?;
        }
        Ok(now)
    }

    /// Replaces the address of a host under its running node. Where that listens and what it announces stays as it is.
    pub(super) fn move_to(&mut self, host: usize, address: Ipv4Addr) -> Result<()> {
        self.hosts[host].network.move_to(address)?;
        let url = self.hosts[host].url().parse()?;
        self.directories[host] = Directory::watch(url, self.guest.clone());
        Ok(())
    }

    /// Waits for something that began at `since`; says how long it took.
    pub(super) async fn until(
        &self,
        since: Instant,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<Duration> {
        while !holds(self) {
            let sights: Vec<_> = self.directories.iter().map(Directory::now).collect();
            ensure!(
                since.elapsed() < UNTIL_MAX,
                "not within {UNTIL_MAX:?}: {what}; the hosts see {sights:#?}"
            );
            sleep(millis(5)).await;
        }
        Ok(since.elapsed())
    }

    /// Waits until all hosts know all hosts at their addresses, and have sessions with them.
    pub(super) async fn until_whole(&self, since: Instant) -> Result<Duration> {
        self.until(since, "everybody knows everybody", |world| {
            [A, B, C].iter().all(|who| world.sees_exactly(*who, &[A, B, C]) && world.is_connected(*who))
        })
        .await
    }

    /// Whether the directory of `who` has these hosts and no others.
    pub(super) fn sees_exactly(&self, who: usize, others: &[usize]) -> bool {
        let wanted: Vec<_> = others.iter().map(|other| self.hosts[*other].name()).collect();
        let seen = self.directories[who].now().map(|sight| sight.into_keys().collect::<Vec<_>>());
        seen.is_some_and(|seen| seen == wanted)
    }

    /// What `who` knows of `other`.
    pub(super) fn known(&self, who: usize, other: usize) -> Option<Known> {
        self.directories[who].now()?.remove(self.hosts[other].name())
    }

    /// Whether `who` has a session with `other`, and so knows it.
    pub(super) fn has_session(&self, who: usize, other: usize) -> bool {
        self.known(who, other).is_some_and(|known| known.connected)
    }

    /// Checks that since `then` nobody has been missing in any directory.
    pub(super) fn check_nobody_missed(&self, then: Instant) -> Result<()> {
        for (host, directory) in self.hosts.iter().zip(&self.directories) {
            let full = directory.always(then, |sight| sight.as_ref().is_some_and(|sight| sight.len() == 3));
            ensure!(full, "{} missed a living host, or did not answer", host.name());
        }
        Ok(())
    }

    /// Whether `who` has a session with each host, at the address where it is.
    fn is_connected(&self, who: usize) -> bool {
        self.hosts.iter().enumerate().all(|(other, host)| {
            self.known(who, other)
                .is_some_and(|known| known.connected && known.ready && known.addresses == [host.url()])
        })
    }
}

/// The first address of a host.
fn address(host: usize) -> Ipv4Addr {
    let last = u8::try_from(host + 1).expect("there are three");
    Ipv4Addr::new(10, 0, 0, last)
}
