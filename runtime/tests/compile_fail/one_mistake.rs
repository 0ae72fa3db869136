//! A mistake in one method is one complaint: the rest of the program still knows the service.

#[qmesh::service(name = "chat.Chat")]
pub trait Chat {
    #[idempotent]
    async fn history(&self, room: &str) -> Vec<String>;
    async fn count(&mut self, room: String) -> u64;
}

#[derive(Default)]
struct Rooms;

impl Chat for Rooms {
    async fn history(&self, room: &str) -> Vec<String> {
        vec![room.to_owned()]
    }

    async fn count(&mut self, _room: String) -> u64 {
        0
    }
}

fn calls(chat: &ChatClient) {
    drop(chat.count("general"));
}

fn main() {
    drop(ChatServer::new(Rooms::default));
}
