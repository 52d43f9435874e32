//! One stream: a request and its answer, as who handles the request sees its client.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{Response, StatusCode};

use super::{request::Head, session::Session};
use crate::{
    downstream::{Arrival, BodyError, Limits, Stall},
    error::Reason,
    request::target::Raw,
    telemetry::downstream::ResetBy,
};

pub struct Stream {
    pub(super) session: Rc<Session>,
    /// Why the request must be refused.
    refusal: Option<Reason>,
    raw_target: Option<Raw>,
    /// `None` once nobody wants it.
    body: RefCell<Option<RecvStream>>,
    respond: RefCell<SendResponse<Bytes>>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    expects_continue: Cell<bool>,
    refused_body: Cell<Option<Reason>>,
    /// A client that does not send.
    body_stall: Stall,
    /// A client that leaves no room in its window.
    pub(super) write_stall: Stall,
}

impl Stream {
    pub(super) fn new(
        session: &Rc<Session>,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        head: &Head,
    ) -> Rc<Self> {
        Rc::new(Self {
            session: Rc::clone(session),
            refusal: head.refusal,
            raw_target: head.raw_target.clone(),
            body: RefCell::new(Some(body)),
            respond: RefCell::new(respond),
            expects_continue: Cell::new(head.expects_continue),
            refused_body: Cell::default(),
            body_stall: Stall::default(),
            write_stall: Stall::default(),
        })
    }

    pub fn arrival(&self) -> &Rc<Arrival> {
        &self.session.arrival
    }

    pub fn refusal(&self) -> Option<Reason> {
        self.refusal
    }

    /// Path and query as they came, if the request has them otherwise.
    pub fn raw_target(&self) -> Option<Raw> {
        self.raw_target.clone()
    }

    /// The next bytes of the request body, never none; `None` at its end. The client's window opens
    /// by what is taken, so a body flows only as fast as it is asked for.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut body = self.body.borrow_mut();
        let Some(body) = &mut *body else {
            return Poll::Ready(Some(Err(BodyError::Gone)));
        };
        loop {
            if let Some(reason) = self.refused_body.get() {
                return Poll::Ready(Some(Err(BodyError::Refused(reason))));
            }
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    // Fails for a stream that is over, whose window is of no matter.
                    let _ = body.flow_control().release_capacity(bytes.len());
                    self.body_stall.moved(bytes.len());
                    self.session.took(bytes.len());
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Ready(None) => {
                    self.body_stall.end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(BodyError::Gone))),
                Poll::Pending if self.body_stall.is_overdue() => {
                    self.refused_body.set(Some(Reason::RequestTimeout));
                }
                Poll::Pending => {
                    self.say_continue();
                    self.body_stall.wait(cx.waker(), self.session.tick());
                    return Poll::Pending;
                }
            }
        }
    }

    /// Nobody else reads from a stream, so there is nothing to mark but that nobody does.
    pub fn set_uploading(&self, uploading: bool) {
        if !uploading {
            self.body_stall.rest();
        }
    }

    /// RFC 9110 section 10.1.1: only once somebody wants the body.
    fn say_continue(&self) {
        if self.expects_continue.take() {
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            // Fails for a stream that was reset, which who waits for the body will notice.
            let _ = self.respond.borrow_mut().send_informational(interim);
        }
    }

    /// Why an answer did not reach its end.
    pub fn why_cut(&self) -> Reason {
        let stalls = [&self.write_stall, &self.session.write_stall];
        if stalls.iter().any(|stall| stall.is_overdue()) {
            return Reason::WriteTimeout;
        }
        match self.cut_by() {
            ResetBy::Flood => Reason::Flooded,
            ResetBy::Protocol => Reason::BadRequest,
            ResetBy::Client | ResetBy::Proxy => Reason::ClientClosed,
        }
    }

    /// Who has ended it, if the answer did not.
    pub(super) fn cut_by(&self) -> ResetBy {
        let mut cx = Context::from_waker(Waker::noop());
        let reason = self.respond.try_borrow_mut().map(|mut respond| respond.poll_reset(&mut cx));
        let is_calmed = matches!(reason, Ok(Poll::Ready(Ok(h2::Reason::ENHANCE_YOUR_CALM))));
        if self.session.is_flooded() || is_calmed {
            return ResetBy::Flood;
        }
        let mut body = self.body.try_borrow_mut();
        let rest = body.as_mut().ok().and_then(|body| body.as_mut()).map(skip);
        if let Some(Poll::Ready(Some(error))) = rest
            && error.is_library()
        {
            ResetBy::Protocol
        } else {
            ResetBy::Client
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.respond.borrow().stream_id().as_u32()
    }

    /// Whether the proxy is the first to end it. `by` is who has reset it, if it was reset. What is here
    /// of the body is let go of.
    pub(super) fn is_ended_early(&self, by: Option<ResetBy>) -> bool {
        let body = self.body.borrow_mut().take();
        match by {
            None => body.is_some_and(|mut body| skip(&mut body).is_pending()),
            Some(by) => by == ResetBy::Proxy,
        }
    }

    /// Ready once the client wants no answer any more; not to be asked behind `answer`.
    pub(super) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(cx).map(|_| ())
    }

    /// Sends the head; `ends` says that there is no body.
    pub(super) fn answer(
        &self,
        head: Response<()>,
        ends: bool,
    ) -> Result<SendStream<Bytes>, h2::Error> {
        self.expects_continue.set(false);
        self.respond.borrow_mut().send_response(head, ends)
    }

    /// No head could be sent: the client has reset the stream, or is told that it gets none.
    pub(super) fn give_up(&self) -> ResetBy {
        if self.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready() {
            return self.cut_by();
        }
        self.respond.borrow_mut().send_reset(h2::Reason::INTERNAL_ERROR);
        ResetBy::Proxy
    }

    /// `is_taking`: the client takes something of its connection.
    pub(super) fn look_at(&self, now: u32, limits: &Limits, is_taking: bool) {
        self.body_stall.look_at(now, limits.body);
        if is_taking {
            self.write_stall.restart(now);
        }
        self.write_stall.look_at(now, limits.write);
    }
}

/// Passes over what has come of a body: ready at its end, with the error if it has not ended well.
fn skip(body: &mut RecvStream) -> Poll<Option<h2::Error>> {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match ready!(body.poll_data(&mut cx)) {
            Some(Ok(bytes)) => {
                // Fails for a stream that is over, whose window is of no matter.
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            ended => return Poll::Ready(ended.and_then(Result::err)),
        }
    }
}
