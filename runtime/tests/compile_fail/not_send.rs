//! A handler may move between threads, so it holds nothing that may not.

use std::rc::Rc;

#[qmesh::service(name = "chat.Chat")]
pub trait Chat {
    async fn count(&self) -> u64;
}

struct Rooms;

impl Chat for Rooms {
    async fn count(&self) -> u64 {
        let shared = Rc::new(7);
        std::future::ready(()).await;
        *shared
    }
}

fn main() {}
