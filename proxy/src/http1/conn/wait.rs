//! How long a connection may wait, by what it waits for.

use super::{Conn, Waiting};
use crate::{
    downstream::{LEAST_PROGRESS, Limits, Watched, stall::wake},
    error::Reason,
};

impl Watched for Conn {
    fn look_at(&self, now: u32, limits: &Limits) {
        let waited = now.wrapping_sub(self.since.get());
        let limit = match self.waiting.get() {
            Waiting::Fresh | Waiting::Head => limits.head,
            Waiting::Idle => limits.idle,
            Waiting::Body => limits.body,
            Waiting::Close => limits.linger,
            Waiting::Answer => u32::MAX,
        };
        if self.waiting.get() == Waiting::Body && !self.wants_bytes.get() {
            // It is not the client who is slow.
            self.restart();
        } else if waited >= limit && !self.is_overdue.get() {
            self.end_waiting();
        }
        self.write_stall.look_at(now, limits.write);
    }

    fn drain(&self) {
        wake(&self.reader);
    }
}

impl Conn {
    pub(in crate::http1) fn wait_for(&self, what: Waiting) {
        self.waiting.set(what);
        self.since.set(self.table.tick());
        self.progress.set(0);
        self.wants_bytes.set(false);
    }

    /// Starts the count anew.
    fn restart(&self) {
        self.wait_for(self.waiting.get());
    }

    fn end_waiting(&self) {
        if self.waiting.get() == Waiting::Body {
            if self.progress.get() >= LEAST_PROGRESS {
                // A new window for a body that comes slowly but comes.
                self.restart();
                return self.wants_bytes.set(true);
            }
            self.refused_body.set(Some(Reason::RequestTimeout));
        }
        self.is_overdue.set(true);
        wake(&self.reader);
    }
}
