//! Why a channel cannot be read or written any more, as the failure of the calls on it. All are *unknown*.

use qmesh_transport::{ResetCode, WriteError};

use crate::{
    failure::{Failure, Reason},
    wire::frame::FrameError,
};

pub(crate) fn unread(error: &FrameError) -> Failure {
    given_up(error.reset_code()).unwrap_or_else(|| lost(error))
}

pub(crate) fn unwritten(error: &WriteError) -> Failure {
    let told = match error {
        WriteError::Stopped(code) => given_up(*code),
        _ => None,
    };
    told.unwrap_or_else(|| lost(error))
}

/// What it means that a channel is given up with this code, if that is more than its loss.
pub(crate) fn given_up(code: ResetCode) -> Option<Failure> {
    match code {
        ResetCode::DRAINED => Some(Failure::unknown(
            Reason::Unavailable,
            "the other side's node drains, and the time for its streams is over",
        )),
        ResetCode::CROWDED => Some(Failure::unknown(
            Reason::Overloaded,
            "more large messages of one session were under way than their receiver has room for; send fewer at once, or smaller ones",
        )),
        _ => None,
    }
}

pub(crate) fn lost(why: impl ToString) -> Failure {
    Failure::unknown(Reason::ConnectionLost, why.to_string())
}
