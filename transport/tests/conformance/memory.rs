//! The memory transport under test, in paused time.

use std::time::Duration;

use qmesh_transport::{Address, Credentials, Link, MemoryConfig, MemoryNetwork};
use tokio::runtime::Handle;

use super::{Endpoint, Fixture, mesh};

pub(crate) struct MemoryFixture(MemoryNetwork);

const WINDOW: u32 = 64 * 1024;

impl Default for MemoryFixture {
    fn default() -> Self {
        let mut config = MemoryConfig::default();
        config.window = WINDOW;
        config.channels_max = 1024;
        Self(MemoryNetwork::with_config(1, config).unwrap())
    }
}

impl Fixture for MemoryFixture {
    const CHANNELS_MAX: usize = 1024;
    const STALL_BYTES_MAX: usize = WINDOW as usize;
    const IDLE: Duration = Duration::from_secs(1);

    fn bind(&self, name: &str, credentials: Credentials) -> Endpoint {
        let endpoint = self.0.bind(name, credentials).unwrap();
        let (network, name) = (self.0.clone(), name.to_owned());
        Endpoint {
            listener: endpoint.listener(),
            dialer: endpoint.dialer(),
            runtime: Handle::current(),
            kill: Box::new(move || network.crash(&name)),
        }
    }

    fn rebind(&self, crashed: &Address, credentials: Credentials) -> Endpoint {
        let Address::Memory(name) = crashed else { panic!("{crashed} is not in memory") };
        self.bind(name, credentials)
    }

    fn nowhere(&self) -> Address {
        Address::memory("nowhere")
    }

    async fn knock_and_fall_silent(&self, address: &Address) {
        let Address::Memory(name) = address else { panic!("{address} is not in memory") };
        let silent = self.bind("silent", mesh().credentials("silent").unwrap());
        let delay = Duration::from_millis(10);
        self.0.set_link("silent", name, Link::with_delay(delay));
        drop(silent.dial(address, None));
        tokio::time::sleep(delay + delay / 2).await;
        self.0.cut("silent", name);
    }
}
