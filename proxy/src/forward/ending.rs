//! How one try has ended: with an answer, which may not be the one wanted, or with none; and what of
//! the request another try could send.

use crate::{
    error::ProxyError,
    record::TryOutcome,
    retry::{Ended, Trouble},
    upstream::{Answer, RequestBody},
};

pub(super) type Ending = Result<Answer, Failed>;

/// A try that gave no answer.
pub(super) struct Failed {
    pub(super) error: ProxyError,
    pub(super) is_sent: bool,
    /// What another try could send.
    pub(super) request: Option<RequestBody>,
}

/// What it means for another try.
pub(super) fn how(ended: &Ending) -> Ended {
    match ended {
        Ok(answer) => Ended {
            trouble: Trouble::Status(answer.head.status),
            retry_after: answer.head.retry_after,
        },
        Err(failed) => {
            Ended { trouble: Trouble::of(failed.error.reason(), failed.is_sent), retry_after: None }
        }
    }
}

/// Whether the request can be sent again; then nothing more of it is read or sent, so that what is
/// decided about it stays so.
pub(super) fn halt(ended: &Ending) -> bool {
    match ended {
        Ok(answer) => answer.halt(),
        Err(failed) => failed.request.is_some(),
    }
}

/// The request of a try that was halted.
pub(super) fn into_request(ended: Ending) -> RequestBody {
    let request = match ended {
        Ok(answer) => answer.into_request(),
        Err(failed) => failed.request,
    };
    request.expect("a try that was halted gives its request back")
}

/// As the access log has it.
pub(super) fn outcome(ended: &Ending) -> TryOutcome {
    match ended {
        Ok(answer) => TryOutcome::Status(answer.head.status),
        Err(failed) => TryOutcome::Failed(failed.error.reason()),
    }
}
