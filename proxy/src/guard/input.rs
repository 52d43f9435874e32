//! Where in the stream of requests a connection is, and how many of its bytes may go on.

use super::{
    chunks::ChunkFollower,
    conn::{Conn, Waiting},
    head::{Follows, HeadScanner, Scanned},
};
use crate::{config::HeadBounds, error::Reason};

pub(super) struct Input {
    stage: Stage,
    /// Whether the client has said that this request is its last.
    is_last: bool,
}

enum Stage {
    Head(HeadScanner),
    Length(u64),
    Chunks(ChunkFollower),
    /// All bytes go on: the parser refuses them, or they are a tunnel.
    Raw,
    /// No byte goes on any more.
    Closed,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Head(HeadScanner::default()), is_last: false }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Whether bytes are to wait until the request before them is answered.
    pub(super) fn holds_back(&self, conn: &Conn) -> bool {
        matches!(self.stage, Stage::Head(_)) && conn.waiting.get() == Waiting::Answer
    }

    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
    }

    /// How many of `bytes`, which are all that are there, may go on.
    ///
    /// # Errors
    /// The head that they begin with must be refused.
    pub(super) fn pass(
        &mut self,
        bytes: &[u8],
        conn: &Conn,
        bounds: HeadBounds,
    ) -> Result<usize, Reason> {
        let mut passed = 0;
        while passed < bytes.len() && !self.holds_back(conn) {
            let rest = &bytes[passed..];
            match &mut self.stage {
                Stage::Head(scanner) => match scanner.scan(rest, bounds)? {
                    Scanned::Partial => {
                        if conn.waiting.get() != Waiting::Head {
                            conn.wait_for(Waiting::Head);
                        }
                        break;
                    }
                    Scanned::Whole { length, follows, is_last } => {
                        passed += length;
                        self.is_last = is_last;
                        self.begin_body(follows, conn);
                    }
                },
                Stage::Length(left) => {
                    let taken = (*left).min(rest.len() as u64);
                    *left -= taken;
                    let is_whole = *left == 0;
                    passed += usize::try_from(taken).unwrap_or(rest.len());
                    self.body_came(taken, is_whole, conn);
                }
                Stage::Chunks(follower) => match follower.follow(rest) {
                    Ok((taken, is_whole)) => {
                        passed += taken;
                        self.body_came(taken as u64, is_whole, conn);
                    }
                    Err(reason) => {
                        conn.refused_body.set(Some(reason));
                        self.stage = Stage::Closed;
                    }
                },
                Stage::Raw => return Ok(bytes.len()),
                Stage::Closed => break,
            }
        }
        Ok(passed)
    }

    fn begin_body(&mut self, follows: Follows, conn: &Conn) {
        let stage = match follows {
            Follows::Nothing => return self.end_body(conn),
            Follows::Length(length) => Stage::Length(length),
            Follows::Chunks => Stage::Chunks(ChunkFollower::default()),
            Follows::Anything => {
                self.stage = Stage::Raw;
                return conn.wait_for(Waiting::Answer);
            }
        };
        self.stage = stage;
        conn.wait_for(Waiting::Body);
    }

    fn body_came(&mut self, bytes: u64, is_whole: bool, conn: &Conn) {
        conn.progress.set(conn.progress.get() + bytes);
        if is_whole {
            self.end_body(conn);
        }
    }

    fn end_body(&mut self, conn: &Conn) {
        // RFC 9112 section 9.6: what comes after the last request is not processed.
        self.stage = if self.is_last { Stage::Closed } else { Stage::Head(HeadScanner::default()) };
        conn.wait_for(Waiting::Answer);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    const BOUNDS: HeadBounds = HeadBounds { bytes: 1000, fields: 10, target: 100 };

    fn pass(input: &mut Input, conn: &Conn, wire: &str) -> Result<usize, Reason> {
        input.pass(wire.as_bytes(), conn, BOUNDS)
    }

    fn fresh() -> (Input, Conn) {
        (Input::new(), Conn::new(Rc::new(Cell::new(0))))
    }

    #[test]
    fn a_second_head_waits_for_the_answer_to_the_first() {
        let (mut input, conn) = fresh();
        let (first, second) = ("GET /1 HTTP/1.1\r\n\r\n", "GET /2 HTTP/1.1\r\n\r\n");
        assert_eq!(pass(&mut input, &conn, &format!("{first}{second}")), Ok(first.len()));
        assert_eq!(pass(&mut input, &conn, second), Ok(0));
        conn.answered();
        assert_eq!(pass(&mut input, &conn, second), Ok(second.len()));
    }

    #[test]
    fn a_body_goes_on_with_its_head_and_ends_where_it_says() {
        let (mut input, conn) = fresh();
        let post = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(pass(&mut input, &conn, &format!("{post}GET /")), Ok(post.len()));
        let (mut input, conn) = fresh();
        let post = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(pass(&mut input, &conn, &format!("{post}GET /")), Ok(post.len()));
    }

    #[test]
    fn nothing_goes_on_behind_the_last_request() {
        let (mut input, conn) = fresh();
        let last = "GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n";
        assert_eq!(
            pass(&mut input, &conn, &format!("{last}GET /2 HTTP/1.1\r\n\r\n")),
            Ok(last.len())
        );
        conn.answered();
        assert_eq!(pass(&mut input, &conn, "GET /2 HTTP/1.1\r\n\r\n"), Ok(0));
        assert!(input.is_closed());
    }

    #[test]
    fn broken_chunks_refuse_the_body_and_close_the_input() {
        let (mut input, conn) = fresh();
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(pass(&mut input, &conn, &format!("{head}xyz\r\n")), Ok(head.len()));
        assert_eq!(conn.body_refusal(), Some(Reason::BadRequest));
        assert!(input.is_closed());
    }
}
