//! A contract holds methods alone.

macro_rules! methods {
    () => {};
}

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    const LINES_MAX: u32;
    type Line;
    methods!();
    async fn count(&self) -> u64;
}

fn main() {}
