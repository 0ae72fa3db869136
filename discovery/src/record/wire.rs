//! The Protobuf form of a record. Field numbers are for ever.

/// What travels: the record's exact bytes, and the proof of who wrote them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Envelope {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) record: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) signature: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(super) certificates: Vec<Vec<u8>>,
}

/// The signed part. Mesh, id and name stand in the certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(uint64, tag = "1")]
    pub(super) incarnation: u64,
    #[prost(uint64, tag = "2")]
    pub(super) generation: u64,
    #[prost(uint64, tag = "3")]
    pub(super) version: u64,
    #[prost(enumeration = "State", tag = "4")]
    pub(super) state: i32,
    #[prost(string, repeated, tag = "5")]
    pub(super) addresses: Vec<String>,
    #[prost(string, optional, tag = "6")]
    pub(super) zone: Option<String>,
    #[prost(message, repeated, tag = "7")]
    pub(super) services: Vec<Service>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Service {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(uint32, tag = "3")]
    pub(super) weight: u32,
    #[prost(fixed64, tag = "4")]
    pub(super) fingerprint: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum State {
    Unspecified = 0,
    Starting = 1,
    Ready = 2,
    Draining = 3,
    Gone = 4,
}
