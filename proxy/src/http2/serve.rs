//! Serves one connection: takes requests, lets their streams run, and ends as the session says.

use std::{
    cell::RefCell,
    future::poll_fn,
    ops::ControlFlow,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::Method;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::{
    Ping, PingPong, Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{
    frames::PIECES,
    guard::Guard,
    request,
    send::send,
    session::{MOST_FAULTY, Order, Session, longest_list},
    stream::Stream,
};
use crate::{
    downstream::{Arrival, Client, Preread},
    pipeline::App,
    telemetry::downstream::ResetBy,
};

/// Requests at a time that one connection may have.
pub(super) const MOST_STREAMS: u32 = 128;
/// Of a request body, what a client may send before anybody reads it: by stream, and in all. At first;
/// `windows.rs` lets them grow.
pub(super) const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Of answers, what waits in a stream for the socket.
pub(super) const SEND_BUFFER: usize = 16 << 10;
/// Streams that the client has reset before they were looked at, at a time.
const MOST_UNSEEN_RESETS: usize = 100;

const FOR_GOOD: Duration = Duration::from_secs(365 * 24 * 3600);

/// Serves until the client leaves, a deadline passes, or the last answer of a drain is sent.
pub async fn serve(io: Preread, arrival: Rc<Arrival>, app: &Rc<App>) {
    let table = &app.worker.conns;
    let session = Session::new(table, arrival, Rc::clone(&app.worker.known_fields));
    let _place = table.enter(Rc::clone(&session) as _);
    let io = Rc::new(RefCell::new(io));
    let guard = Guard::new(Rc::clone(&io), Rc::clone(&session));
    let mut handshake = Box::pin(builder(&session).handshake(guard));
    let opened = poll_fn(|cx| match session.order(cx.waker()) {
        Order::Drop | Order::Calm => Poll::Ready(None),
        _ => handshake.as_mut().poll(cx).map(Result::ok),
    });
    let Some(mut connection) = opened.await else { return };
    drop(handshake);
    let mut serving = Serving {
        ping: connection.ping_pong(),
        connection,
        session,
        app: Rc::clone(app),
        obeyed: Order::Serve,
        amid: None,
    };
    let mut streams = FuturesUnordered::new();
    poll_fn(|cx| serving.poll(&mut streams, answer, cx)).await;
    serving.tell_flood(streams.len());
    drop(streams);
    let Serving { connection, session, .. } = serving;
    drop(connection);
    read_away(&io, &session).await;
}

/// Were bytes of the client unread when the socket goes, or on their way, the connection would be
/// reset under the last answer (RFC 9112 section 9.6 says so of HTTP/1).
async fn read_away(io: &RefCell<Preread>, session: &Session) {
    session.end();
    poll_fn(|cx| {
        let mut room = [0; 1024];
        while session.order(cx.waker()) != Order::Drop {
            let mut out = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut *io.borrow_mut()).poll_read(cx, &mut out));
            if read.is_err() || out.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
}

fn builder(session: &Session) -> Builder {
    let mut builder = Builder::new();
    let list = longest_list(session.table.bounds);
    builder
        .max_concurrent_streams(MOST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MOST_UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(MOST_FAULTY))
        // The first that the proxy resets is among them (`past.rs`), and they are kept for good.
        .max_concurrent_reset_streams(MOST_FAULTY + 1)
        .reset_stream_duration(FOR_GOOD)
        .data_frame_budget(PIECES);
    builder
}

struct Serving {
    connection: Connection<Guard, Bytes>,
    ping: Option<PingPong>,
    session: Rc<Session>,
    app: Rc<App>,
    obeyed: Order,
    /// A stream that is over while a frame of it has come in part: h2 must know it until the rest has
    /// come. Frames come one after the other, so there is one at most.
    amid: Option<Over>,
}

/// A stream whose answer has ended, and who has reset it, if it was reset.
struct Over {
    stream: Rc<Stream>,
    by: Option<ResetBy>,
}

impl Serving {
    /// Ready once the connection is over. `answer` makes what runs in `streams`.
    fn poll<F: Future<Output = Option<Over>>>(
        &mut self,
        streams: &mut FuturesUnordered<F>,
        answer: impl Fn(&Rc<Session>, &Rc<App>, http::Request<RecvStream>, SendResponse<Bytes>) -> F,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.obey(cx).is_break() {
                return Poll::Ready(());
            }
            self.widen(cx);
            // Streams that were reset make room at once, and would pile up unseen.
            while streams.len() < 2 * MOST_STREAMS as usize {
                match self.connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        streams.push(answer(&self.session, &self.app, request, respond));
                    }
                    Poll::Ready(ended) => {
                        if ended.is_some_and(|ended| ended.is_err_and(|error| is_calm(&error))) {
                            self.session.flooded();
                        }
                        return Poll::Ready(());
                    }
                    Poll::Pending => break,
                }
            }
            // All that has come of frames is taken.
            let mut has_ended = self.amid.take().is_some_and(|over| self.let_go(over));
            // All that is ready goes out together.
            while let Poll::Ready(Some(over)) = Pin::new(&mut *streams).poll_next(cx) {
                has_ended = true;
                self.session.answered();
                over.map(|over| self.let_go(over));
            }
            if !has_ended && self.session.order(cx.waker()) == self.obeyed {
                return Poll::Pending;
            }
        }
    }

    /// Lets the client send more of bodies before they are taken, if its way is long.
    fn widen(&mut self, cx: &mut Context<'_>) {
        let Some(ping) = &mut self.ping else { return };
        let (session, connection) = (&self.session, &mut self.connection);
        if let Some(window) = session.windows.follow(connection, ping, session.tick(), cx) {
            session.widened(window);
        }
    }

    /// Ends a stream, unless a frame of it is half here. Was it answered before its client had sent it
    /// whole, h2 tells the client that the rest is not wanted, once the answer is on its way (RFC 9113
    /// section 8.1). Whether it was ended.
    fn let_go(&mut self, over: Over) -> bool {
        let id = over.stream.id();
        if self.session.is_amid(id) {
            self.amid = Some(over);
            return false;
        }
        if over.stream.is_ended_early(over.by) {
            let is_reset = Rc::into_inner(over.stream).is_some();
            self.session.ended_early(id, is_reset);
        }
        true
    }

    /// Counts the end of a connection that has sent too much for nothing, with the streams that end
    /// with it.
    fn tell_flood(&self, streams: usize) {
        if self.session.is_flooded() {
            let downstream = self.app.worker.shard.downstream();
            downstream.flood();
            (0..streams).for_each(|_| downstream.reset(ResetBy::Flood));
            let peer = self.session.arrival.peer;
            tracing::debug!(?peer, streams, "connection ended, it has sent too much for nothing");
        }
    }

    /// Does what the session says, once.
    fn obey(&mut self, cx: &mut Context<'_>) -> ControlFlow<()> {
        let order = self.session.order(cx.waker());
        if order == self.obeyed {
            return ControlFlow::Continue(());
        }
        self.obeyed = order;
        match order {
            Order::Serve => {}
            Order::Ping => {
                if let Some(ping) = &mut self.ping {
                    // One that was answered before makes room for another. Fails while one is on
                    // its way, which is as good.
                    let _ = ping.poll_pong(cx);
                    let _ = ping.send_ping(Ping::opaque());
                }
                self.session.pinged();
                self.obeyed = Order::Serve;
            }
            Order::Leave => self.connection.graceful_shutdown(),
            Order::Calm => self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
            Order::Drop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

/// Whether h2 has ended the connection for a bound of its own.
fn is_calm(error: &h2::Error) -> bool {
    error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
}

/// Hands a request to the App; the future sends its answer, to the end of the stream. What only
/// the beginning needs is no part of it. The stream comes back with its answer's end.
fn answer(
    session: &Rc<Session>,
    app: &Rc<App>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> impl Future<Output = Option<Over>> + use<> {
    app.worker.shard.downstream().stream();
    let (parts, body) = request.into_parts();
    let bounds = session.table.bounds;
    let head = request::read(parts, !body.is_end_stream(), bounds, &session.arrival);
    let is_head = head.request.method() == Method::HEAD;
    let stream = Stream::new(session, body, respond, &head);
    let watching = session.watch(&stream);
    let answering = app.call(head.request, Client::Http2(Rc::clone(&stream)));
    let shard = Rc::clone(&app.worker.shard);
    async move {
        // Dropping the work for a stream that was reset cancels it.
        let answered = {
            let mut answering = pin!(answering);
            let answered = poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(Some(answered)),
                Poll::Pending => stream.poll_reset(cx).map(|()| None),
            });
            answered.await
        };
        let Some(Ok(response)) = answered else {
            shard.downstream().reset(stream.cut_by());
            return None;
        };
        let by = send(&stream, is_head, response.into_parts().1).await;
        if let Some(by) = by {
            shard.downstream().reset(by);
        }
        drop(watching);
        Some(Over { stream, by })
    }
}
