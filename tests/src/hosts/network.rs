//! The bridge, the hosts' namespaces, and the rules that cut links.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context as _, Result, ensure};

/// Where those are who watch: a network card on the bridge itself.
const WATCHERS: &str = "10.0.0.254/24";
const BRIDGE: &str = "cable";

/// A host's network: a namespace with one card on the bridge.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) name: &'static str,
    pub(super) address: Ipv4Addr,
}

/// Runs a tool; what it prints is its answer.
pub(super) fn tool(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("a tool has a name")?;
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("{program} does not start"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` ended with {}: {}", output.status, told.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Lays the bridge. `/run`, where `ip netns` keeps its names, is a new one that only this process and its children see.
pub(super) fn lay() -> Result<()> {
    tool("mount -t tmpfs tmpfs /run")?;
    tool("ip link set lo up")?;
    tool(&format!("ip link add {BRIDGE} type bridge"))?;
    tool(&format!("ip addr add {WATCHERS} dev {BRIDGE}"))?;
    tool(&format!("ip link set {BRIDGE} up"))?;
    Ok(())
}

// === impl Network ===

impl Network {
    /// A new host on the bridge.
    pub(super) fn add(name: &'static str, address: Ipv4Addr) -> Result<Self> {
        tool(&format!("ip netns add {name}"))?;
        tool(&format!("ip link add to-{name} type veth peer name eth0 netns {name}"))?;
        tool(&format!("ip link set to-{name} master {BRIDGE} up"))?;
        tool(&format!("ip -n {name} link set lo up"))?;
        tool(&format!("ip -n {name} link set eth0 up"))?;
        tool(&format!("ip -n {name} addr add {address}/24 dev eth0"))?;
        Ok(Self { name, address })
    }

    /// Takes another address in place of its own.
    pub(super) fn move_to(&mut self, address: Ipv4Addr) -> Result<()> {
        let Self { name, address: old } = self;
        tool(&format!("ip -n {name} addr del {old}/24 dev eth0"))?;
        tool(&format!("ip -n {name} addr add {address}/24 dev eth0"))?;
        self.address = address;
        Ok(())
    }

    /// From now on, nothing of `other` arrives here.
    pub(super) fn drop_from(&self, other: &Self) -> Result<()> {
        self.nft("add table inet cut")?;
        self.nft("add chain inet cut arriving { type filter hook input priority 0 ; }")?;
        self.nft(&format!("add rule inet cut arriving ip saddr {} drop", other.address))
    }

    /// Everything arrives again.
    pub(super) fn heal(&self) -> Result<()> {
        self.nft("add table inet cut")?;
        self.nft("delete table inet cut")
    }

    /// From now on, packets to `address` are counted.
    pub(super) fn count_to(&self, address: Ipv4Addr) -> Result<()> {
        self.nft("add table inet seen")?;
        self.nft("add chain inet seen leaving { type filter hook output priority 0 ; }")?;
        self.nft(&format!("add rule inet seen leaving ip daddr {address} counter"))
    }

    /// How many packets were counted.
    pub(super) fn counted(&self) -> Result<u64> {
        let listed = tool(&format!("ip netns exec {} nft list table inet seen", self.name))?;
        let packets = listed.split_once("counter packets ").and_then(|(_, rest)| rest.split_once(' '));
        Ok(packets.with_context(|| format!("no counter in {listed}"))?.0.parse()?)
    }

    fn nft(&self, command: &str) -> Result<()> {
        tool(&format!("ip netns exec {} nft {command}", self.name)).map(drop)
    }
}
