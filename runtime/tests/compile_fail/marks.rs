//! Marks on methods are given once and do not contradict each other.

#[qmesh::service(name = "chat.Chat")]
trait Chat {
    #[oneway]
    #[oneway]
    async fn twice(&self);
    #[idempotent(always)]
    async fn with_arguments(&self);
    #[oneway]
    #[idempotent]
    async fn never_retried(&self);
    #[oneway]
    async fn nobody_waits(&self) -> u64;
    #[cfg(all())]
    async fn conditional(&self);
}

fn main() {}
