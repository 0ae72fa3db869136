//! The nodes of the local network: those that multicast DNS tells of.

use std::time::Duration;

use qmesh::{Mdns, SeedSource};
use tokio::time::{Instant, sleep};

use super::Candidate;
use crate::member::Known;

/// How often is looked for answers.
const LOOK: Duration = Duration::from_millis(50);

/// The nodes of the guest's mesh that have answered when the first one did, or none after `patience`.
pub(super) async fn search(guest: &Known, patience: Duration) -> Result<Vec<Candidate>, String> {
    let credentials = guest.identity.client_credentials(&guest.name).map_err(|error| error.to_string())?;
    let mdns = Mdns::start(&credentials).map_err(|error| error.to_string())?;
    let (source, end) = (SeedSource::Mdns(mdns), Instant::now() + patience);
    while Instant::now() < end {
        sleep(LOOK).await;
        let found = source.resolve().await.map_err(|error| error.to_string())?;
        if !found.is_empty() {
            return Ok(found.into_iter().map(|address| Candidate { name: None, address }).collect());
        }
    }
    Ok(Vec::new())
}
