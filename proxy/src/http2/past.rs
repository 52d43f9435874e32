//! Streams that the proxy has ended before their clients had: what still comes for them was sent
//! before the client could know, and is no fault of it (RFC 9113 section 5.1).
//!
//! A client has as many streams as it may, as it sees them. What it sends comes in order, and so does
//! what it is told: the streams that it does not know to be over are the last ones that were ended, and
//! never more than it may have at a time. So many are remembered, and none of them for a time.
//!
//! h2 forgets them sooner, and then takes what comes for them as a fault of the client: of a body it is
//! said again that the stream is over, and trailers end the connection. But of the streams that it resets
//! it keeps as many for good as it is told, and ignores what comes for those. So what comes for a stream
//! that is over is shown to it as if it came for one that it keeps: its fields are still read, as
//! compression needs (RFC 7541), and its bytes go back to the window of the connection.

use std::collections::VecDeque;

use super::serve::{MOST_STREAMS, STREAM_WINDOW};

/// A client that opens the window for more of an answer, sets a priority, and resets the stream.
const IDLE: u8 = 3;

/// Bound: [`MOST_STREAMS`].
#[derive(Debug)]
pub(super) struct Past {
    /// The largest that a stream has had; it never shrinks.
    window: u32,
    last: VecDeque<Ended>,
    /// The first that was reset, which h2 keeps.
    kept: Option<u32>,
}

#[derive(Debug)]
struct Ended {
    stream: u32,
    /// Bytes that have come since. No more than a window may come: nobody opens it any more, but that all
    /// windows grow.
    come: u32,
    may_trail: bool,
    /// Frames that carry nothing and may still come.
    idle: u8,
}

impl Default for Past {
    fn default() -> Self {
        Self { window: STREAM_WINDOW, last: VecDeque::new(), kept: None }
    }
}

impl Past {
    /// The client hears of a larger window, of streams that are over too.
    pub(super) fn widened(&mut self, window: u32) {
        self.window = self.window.max(window);
    }

    /// `is_reset`: h2 knows that it is over.
    pub(super) fn remember(&mut self, stream: u32, is_reset: bool) {
        if is_reset {
            self.kept.get_or_insert(stream);
        }
        if self.last.len() == MOST_STREAMS as usize {
            self.last.pop_front();
        }
        self.last.push_back(Ended { stream, come: 0, may_trail: true, idle: IDLE });
    }

    /// Whether the stream is one of them.
    pub(super) fn has(&self, stream: u32) -> bool {
        self.last.iter().any(|ended| ended.stream == stream)
    }

    /// The stream that h2 is shown instead, if the stream is one of them.
    pub(super) fn instead_of(&self, stream: u32) -> Option<u32> {
        self.kept.filter(|_| self.has(stream))
    }

    /// Takes so many bytes of a body; whether there was no room for them. Of streams that are not
    /// remembered nothing is known.
    pub(super) fn is_overrun(&mut self, stream: u32, bytes: u32) -> bool {
        let window = self.window;
        let Some(ended) = self.find(stream) else { return false };
        ended.come = ended.come.saturating_add(bytes);
        ended.come > window
    }

    /// Whether fields that come behind the head are one block too many.
    pub(super) fn has_trailed(&mut self, stream: u32) -> bool {
        self.find(stream).is_some_and(|ended| !std::mem::take(&mut ended.may_trail))
    }

    /// Whether it is no wonder that the client sends a frame that carries nothing.
    pub(super) fn takes_idle(&mut self, stream: u32) -> bool {
        let Some(ended) = self.find(stream) else { return false };
        let left = ended.idle.checked_sub(1);
        ended.idle = left.unwrap_or(0);
        left.is_some()
    }

    /// The last ones are asked for most.
    fn find(&mut self, stream: u32) -> Option<&mut Ended> {
        self.last.iter_mut().rev().find(|ended| ended.stream == stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_no_more() {
        let mut past = Past::default();
        let streams = || (1..1000_u32).step_by(2);
        streams().for_each(|stream| past.remember(stream, true));
        assert_eq!(past.last.len(), MOST_STREAMS as usize);
        let first = 999 - 2 * (MOST_STREAMS - 1);
        assert!(streams().all(|stream| past.has(stream) == (stream >= first)));
        assert_eq!((past.instead_of(999), past.instead_of(1)), (Some(1), None));
        assert!(!past.takes_idle(1) && !past.has_trailed(1) && !past.is_overrun(1, u32::MAX));
    }

    #[test]
    fn one_window_one_block_and_a_few_idle_frames_may_come() {
        let mut past = Past::default();
        past.remember(7, true);
        assert!(!past.is_overrun(7, STREAM_WINDOW - 1) && !past.is_overrun(7, 1));
        assert!(past.is_overrun(7, 1));
        past.widened(2 * STREAM_WINDOW);
        assert!(!past.is_overrun(7, STREAM_WINDOW - 1) && past.is_overrun(7, 1));
        assert!(!past.has_trailed(7) && past.has_trailed(7));
        assert!((0..IDLE).all(|_| past.takes_idle(7)) && !past.takes_idle(7));
    }
}
