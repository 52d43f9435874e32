//! Sends one answer over its stream: never more of it than the client has room for.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, MessageBody},
};
use bytes::Bytes;
use h2::{Reason, SendStream};

use super::{answer, serve::SEND_BUFFER, stream::Stream};
use crate::{pipeline::Observed, telemetry::downstream::ResetBy, upstream::USUAL_READ};

/// Why an answer did not reach its end.
enum Cut {
    /// The client has reset the stream, or is gone.
    Left,
    /// The client left no room for too long.
    Slow,
    /// The body broke off.
    Broken,
}

struct Sending<'a> {
    stream: &'a Stream,
    sink: SendStream<Bytes>,
    body: Observed,
    /// Of the body, and not sent.
    piece: Bytes,
    /// Whether a piece has filled a usual read: later ones may lie in buffers that the worker has lent,
    /// and the loan ends with the body.
    is_large: bool,
    /// What is to come of a body with a length.
    left: Option<u64>,
}

/// Says who has reset the stream, if it was reset.
pub(super) async fn send(
    stream: &Stream,
    is_head: bool,
    response: HttpResponse<Observed>,
) -> Option<ResetBy> {
    let (response, body) = response.into_parts();
    let size = body.size();
    let date = |out: &mut bytes::BytesMut| stream.session.table.write_date(out);
    let known = &stream.session.known_fields;
    let head = answer::head(response.head(), size, body.passed_fields(), known, date);
    drop(response);
    let is_empty = is_head || matches!(size, BodySize::None | BodySize::Sized(0));
    let sink = match stream.answer(head, is_empty) {
        Ok(sink) => sink,
        Err(_) => {
            let by = stream.give_up();
            body.broke_off();
            return Some(by);
        }
    };
    if is_empty {
        return None;
    }
    let left = if let BodySize::Sized(length) = size { Some(length) } else { None };
    let mut sending = Sending { stream, sink, body, piece: Bytes::new(), is_large: false, left };
    let sent = poll_fn(|cx| match sending.poll(cx) {
        Poll::Pending => sending.sink.poll_reset(cx).map(|_| Err(Cut::Left)),
        sent => sent,
    });
    let cut = sent.await.err()?;
    let by = match cut {
        Cut::Left => stream.cut_by(),
        Cut::Slow => {
            sending.sink.send_reset(Reason::CANCEL);
            ResetBy::Proxy
        }
        Cut::Broken => {
            sending.sink.send_reset(Reason::INTERNAL_ERROR);
            ResetBy::Proxy
        }
    };
    sending.body.broke_off();
    Some(by)
}

impl Sending<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        loop {
            if self.piece.is_empty() {
                match ready!(self.poll_piece(cx))? {
                    Some(piece) => {
                        self.is_large |= piece.len() >= USUAL_READ;
                        self.piece = piece;
                    }
                    None => return Poll::Ready(self.end()),
                }
            }
            let room = ready!(self.poll_room(self.piece.len(), cx))?;
            let part = part(&mut self.piece, self.is_large, room);
            let is_last = self.piece.is_empty() && self.left == Some(0);
            self.stream.write_stall.moved(part.len());
            self.stream.session.sent_piece(part.len());
            self.sink.send_data(part, is_last).map_err(|_| Cut::Left)?;
            if is_last {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The next bytes of the body: one read of the endpoint is held while the client has no room. To
    /// wait for room first would be to ask for a byte of it, and where streams share a window they
    /// would be given one byte each, and send it by itself.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Cut>> {
        loop {
            // The client is not waited for.
            self.stream.write_stall.end();
            let Some(bytes) = ready!(Pin::new(&mut self.body).poll_next(cx)) else {
                return Poll::Ready(Ok(None));
            };
            let mut bytes = bytes.map_err(|_| Cut::Broken)?;
            if let Some(left) = &mut self.left {
                bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes.len() as u64;
            }
            if !bytes.is_empty() {
                return Poll::Ready(Ok(Some(bytes)));
            }
        }
    }

    /// Ready once the client has room for some of `wanted`, more than 0.
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Cut>> {
        self.sink.reserve_capacity(wanted);
        loop {
            let room = self.sink.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            if self.stream.write_stall.is_overdue() {
                return Poll::Ready(Err(Cut::Slow));
            }
            match self.sink.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Cut::Left)),
                Poll::Pending => {
                    self.stream.write_stall.wait(cx.waker(), self.stream.session.tick());
                    return Poll::Pending;
                }
            }
        }
    }

    /// A body that ends before its length is as broken as one that fails.
    fn end(&mut self) -> Result<(), Cut> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(Cut::Broken);
        }
        self.sink.send_data(Bytes::new(), true).map_err(|_| Cut::Left)
    }
}

/// The next part of a piece, of at most `room`. Parts wait in h2 when the piece is done, and each would
/// keep all of its buffer: the last bytes of what is large, as many as can wait there, are copies.
fn part(piece: &mut Bytes, is_large: bool, room: usize) -> Bytes {
    let length = piece.len();
    match length.checked_sub(SEND_BUFFER).filter(|before| *before > 0) {
        _ if !is_large => piece.split_to(room.min(length)),
        Some(before) => piece.split_to(room.min(before)),
        None => Bytes::copy_from_slice(&piece.split_to(room.min(length))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_wait_of_a_large_piece_does_not_keep_its_buffer() {
        let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for room in [1000, SEND_BUFFER, 1 << 20] {
            for length in [1, SEND_BUFFER - 1, SEND_BUFFER, SEND_BUFFER + 1, 200_000] {
                let buffer = Bytes::copy_from_slice(&content[..length]);
                let (mut piece, mut parts) = (buffer.clone(), Vec::new());
                while !piece.is_empty() {
                    parts.push(part(&mut piece, true, room));
                }
                drop(piece);
                assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= room));
                assert_eq!(parts.concat(), content[..length]);
                // Of the last that are no more than may wait.
                let mut waiting = 0;
                parts.reverse();
                parts.retain(|part| {
                    waiting += part.len();
                    waiting <= SEND_BUFFER
                });
                assert!(buffer.is_unique(), "{room} {length}");
            }
        }
    }
}
