//! Three hosts, each in a network namespace of its own: links are cut, an address changes, a process is killed. It ends
//! with an error if something does not hold.

use std::process::ExitCode;

use anyhow::bail;
use qmesh_tests::hosts;

const USAGE: &str = "\
Runs three hosts of a mesh in network namespaces, and prints how long they take to notice and to recover.

    hosts

It ends with 75 if something did not hold while the machine itself stood still: then it is to be run again.

It wants root, `ip` (iproute2), `nft` (nftables), `unshare` and `mount` (util-linux), and the binary `qmesh` beside
itself: cargo build --release, then target/release/hosts.";

/// `EX_TEMPFAIL` of BSD's sysexits.h.
const DISTURBED: u8 = 75;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Err(hosts::enter()),
        [hosts::INSIDE] => match hosts::run().await {
            Err(error) if error.is::<hosts::Disturbed>() => {
                eprintln!("{error:#}");
                Ok(ExitCode::from(DISTURBED))
            }
            ran => ran.map(|()| ExitCode::SUCCESS),
        },
        _ => bail!("{USAGE}"),
    }
}
