//! Messages that no honest node sends, written by hand.

use qmesh_transport::NodeId;

/// The start of a delta about a run of a node.
pub(crate) struct Delta(Vec<u8>);

pub(crate) const SET: u8 = 0;
pub(crate) const DELETED: u8 = 1;
pub(crate) const EXPIRING: u8 = 2;

impl Delta {
    pub(crate) fn about(id: NodeId, generation: u64, collected: u64) -> Self {
        let mut plain = vec![0];
        member(&mut plain, "", id, generation);
        number(&mut plain, collected);
        number(&mut plain, 0);
        Self(plain)
    }

    pub(crate) fn entry(mut self, key: &str, value: &str, version: u64, status: u8) -> Self {
        self.0.push(1);
        string(&mut self.0, key);
        string(&mut self.0, value);
        number(&mut self.0, version);
        self.0.push(status);
        self
    }

    pub(crate) fn newest(mut self, version: u64) -> Self {
        self.0.push(2);
        number(&mut self.0, version);
        self
    }

    /// As an ACK, which needs no question.
    pub(crate) fn ack(self) -> Vec<u8> {
        let mut message = header(2);
        message.push(2);
        message.extend(u16::try_from(self.0.len()).unwrap().to_le_bytes());
        message.extend(self.0);
        message.push(0);
        message
    }
}

/// A SYN whose digest tells of one run of a node.
pub(crate) fn syn(
    mesh: &str,
    id: NodeId,
    generation: u64,
    [heartbeat, collected, version]: [u64; 3],
) -> Vec<u8> {
    named_syn(mesh, "", id, generation, [heartbeat, collected, version])
}

/// As [`syn`], under a name of the node's own; all have the empty one.
pub(crate) fn named_syn(mesh: &str, name: &str, id: NodeId, generation: u64, numbers: [u64; 3]) -> Vec<u8> {
    let mut message = header(0);
    message.extend(1_u16.to_le_bytes());
    member(&mut message, name, id, generation);
    numbers.into_iter().for_each(|told| number(&mut message, told));
    string(&mut message, mesh);
    message
}

pub(crate) fn bad_cluster() -> Vec<u8> {
    header(3)
}

/// An ACK full of blocks that inflate to 64 KiB each.
pub(crate) fn bomb() -> Vec<u8> {
    let block = zstd::bulk::compress(&[0; 65_535], 0).unwrap();
    let mut message = header(2);
    while message.len() + block.len() + 4 < 65_000 {
        message.push(1);
        message.extend(u16::try_from(block.len()).unwrap().to_le_bytes());
        message.extend(&block);
    }
    message.push(0);
    message
}

fn header(kind: u8) -> Vec<u8> {
    let mut message = 45_139_u16.to_le_bytes().to_vec();
    message.extend([0, kind]);
    message
}

fn member(out: &mut Vec<u8>, name: &str, id: NodeId, generation: u64) {
    string(out, name);
    number(out, generation);
    out.push(6);
    out.extend(id.as_bytes());
    out.extend(1_u16.to_le_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_le_bytes());
}
