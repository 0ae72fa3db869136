//! A name has a grammar and a length.

#[qmesh::service(name = "")]
trait Empty {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat/Chat")]
trait Slash {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "chat..Chat")]
trait EmptySegment {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = "a_name_that_is_longer_than_one_hundred_characters_and_so_does_not_fit_into_the_record_of_a_node_in_the_mesh")]
trait Long {
    async fn count(&self) -> u64;
}

#[qmesh::service(name = Chat)]
trait Unquoted {
    async fn count(&self) -> u64;
}

fn main() {}
