//! A method of a contract is an `async fn` and nothing more special.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    fn not_async(&self) -> u64;
    async unsafe fn not_safe(&self) -> u64;
    async extern "C" fn not_rust(&self) -> u64;
}

fn main() {}
