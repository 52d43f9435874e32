//! How much of request bodies a client may send before it is taken: from far away, a small window is a
//! slow upload, for it is emptied once in each round trip. So the windows grow with what is taken in the
//! time of a round trip (the bandwidth-delay product), which a PING of the proxy measures.
//!
//! What counts is what the proxy has passed on, not what has come: bodies that nobody takes let nothing
//! grow. Windows never shrink, and have a bound (`max_http2_window`): a client that holds its answers to
//! PINGs back can reach that, and no more.

use std::{
    cell::Cell,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Ping, PingPong, server::Connection};

use super::{guard::Guard, serve::STREAM_WINDOW};

/// A body of so many bytes, at least, is worth a question.
const WORTH_ASKING: u32 = STREAM_WINDOW / 4;
/// Questions in a tick: on a short way there would be as many as pieces of a body, and their answers count
/// as idle frames.
const QUESTIONS: u8 = 8;
/// Ticks: what took longer was no round trip, or the window would help it little.
const LONGEST_TRIP: u32 = 4;
/// A full window says only that it is too small, so it grows fast.
const GROWTH: u32 = 16;
/// The connection's window for each byte of a stream's, so that a stream that is not taken leaves room for
/// others.
const STREAMS: u32 = 2;

pub(super) struct Windows {
    /// Of a stream; the connection may have [`STREAMS`] times as much.
    most: u32,
    stream: Cell<u32>,
    /// Of bodies, since the last question.
    taken: Cell<u32>,
    asked_at: Cell<Option<u32>>,
    questions: Cell<u8>,
}

impl Windows {
    /// `most`: of a connection.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most: (most / STREAMS).max(STREAM_WINDOW),
            stream: Cell::new(STREAM_WINDOW),
            taken: Cell::default(),
            asked_at: Cell::default(),
            questions: Cell::new(QUESTIONS),
        }
    }

    /// Bytes of a body were taken; whether the way to the client is to be measured.
    pub(super) fn took(&self, bytes: usize) -> bool {
        if self.stream.get() >= self.most {
            return false;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.taken.set(self.taken.get().saturating_add(bytes));
        self.is_to_ask()
    }

    fn is_to_ask(&self) -> bool {
        self.asked_at.get().is_none()
            && self.questions.get() > 0
            && self.taken.get() >= WORTH_ASKING
            && self.stream.get() < self.most
    }

    fn asked(&self, now: u32) {
        self.asked_at.set(Some(now));
        self.taken.set(0);
        self.questions.set(self.questions.get().saturating_sub(1));
    }

    /// What a stream's window should be, if it is too small.
    fn answered(&self, now: u32) -> Option<u32> {
        let asked_at = self.asked_at.take()?;
        let taken = self.taken.get();
        let is_full = taken >= self.stream.get() / 2;
        let is_a_trip = now.wrapping_sub(asked_at) <= LONGEST_TRIP;
        let larger = self.stream.get().saturating_mul(GROWTH).min(self.most);
        (is_full && is_a_trip && larger > self.stream.get()).then_some(larger)
    }

    pub(super) fn tick(&self) {
        self.questions.set(QUESTIONS);
    }

    /// Asks and listens, and opens the windows; what that of a stream is from now on, if it has grown.
    pub(super) fn follow(
        &self,
        connection: &mut Connection<Guard, Bytes>,
        ping: &mut PingPong,
        now: u32,
        cx: &mut Context<'_>,
    ) -> Option<u32> {
        if self.is_to_ask() {
            // One that was answered before makes room for another.
            let _ = ping.poll_pong(cx);
            match ping.send_ping(Ping::opaque()) {
                Ok(()) => self.asked(now),
                // One is on its way; later will do.
                Err(_) => self.taken.set(0),
            }
        }
        self.asked_at.get()?;
        let Poll::Ready(Ok(_)) = ping.poll_pong(cx) else { return None };
        let larger = self.answered(now)?;
        // Fails while the client has not heard of the last one: then it grows another time.
        connection.set_initial_window_size(larger).ok()?;
        connection.set_target_window_size(larger.saturating_mul(STREAMS));
        self.stream.set(larger);
        Some(larger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIBIBYTE: u32 = 1 << 20;

    /// What becomes of the window when so many bytes are taken while a question is on its way.
    fn trip(windows: &Windows, taken: u32, ticks: u32) -> Option<u32> {
        assert!(windows.took(WORTH_ASKING as usize));
        windows.asked(7);
        assert!(!windows.took(taken as usize), "one question at a time");
        let larger = windows.answered(7 + ticks);
        larger.inspect(|larger| windows.stream.set(*larger))
    }

    #[test]
    fn a_window_that_is_full_in_a_round_trip_grows_to_its_bound() {
        let windows = Windows::new(6 * MIBIBYTE);
        assert_eq!(trip(&windows, STREAM_WINDOW / 2, 1), Some(3 * MIBIBYTE));
        assert!(!windows.took(100 * MIBIBYTE as usize), "there is nothing to ask any more");
        assert!(!Windows::new(MIBIBYTE / 2).took(100 * MIBIBYTE as usize));
    }

    #[test]
    fn what_is_not_taken_or_takes_long_lets_nothing_grow() {
        let windows = Windows::new(8 * MIBIBYTE);
        assert_eq!(trip(&windows, 0, 1), None);
        assert_eq!(trip(&windows, STREAM_WINDOW / 2 - 1, 1), None);
        assert_eq!(trip(&windows, MIBIBYTE, LONGEST_TRIP + 1), None);
    }

    #[test]
    fn questions_are_few() {
        let windows = Windows::new(8 * MIBIBYTE);
        (0..QUESTIONS).for_each(|_| assert_eq!(trip(&windows, 0, 0), None));
        assert!(!windows.took(MIBIBYTE as usize));
        windows.tick();
        assert!(windows.took(0));
        assert!(!Windows::new(8 * MIBIBYTE).took(WORTH_ASKING as usize - 1), "too small a body");
    }
}
