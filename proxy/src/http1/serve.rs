//! Serves one connection: request after request, each answered whole before the next is read, so
//! that what a connection waits for is always one thing.

use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll};

use actix_http::{Method, Request, StatusCode, Version};
use actix_web::{HttpResponse, body::MessageBody};
use bytes::BytesMut;

use super::{
    answer::{self, Asked, Delimited},
    conn::{Conn, Next},
    head::HeadScanner,
    send::{Cut, Sending},
};
use crate::{
    downstream::{Arrival, Client, Preread, Stream},
    pipeline::App,
    pipeline::Observed,
};

/// Room for a usual response head with a small body, in bytes.
const USUAL_ANSWER: usize = 512;

/// What follows an answer.
enum Then {
    NextRequest,
    Close,
    /// The connection is of no more use.
    Drop,
}

/// Serves until the client leaves, a deadline passes, or the last answer is sent. `early` was read
/// from the socket before. A client that begins with HTTP/2 gets its socket back.
pub async fn serve(
    io: Stream,
    early: BytesMut,
    arrival: Rc<Arrival>,
    app: &App,
) -> Option<Preread> {
    let table = &app.worker.conns;
    let conn = Rc::new(Conn::new(io, early, arrival, table));
    let place = table.enter(Rc::clone(&conn) as _);
    loop {
        let mut scanner = HeadScanner::default();
        let request = match poll_fn(|cx| conn.poll_head(&mut scanner, cx)).await {
            Next::Closed => {
                conn.end_session();
                return None;
            }
            Next::Http2 => {
                drop(place);
                return Rc::into_inner(conn).map(Conn::into_socket);
            }
            Next::Refused(reason) => conn.refuse(reason),
            Next::Request(head) => conn.begin(head),
        };
        // Boxed, so that a connection that waits for a request does not carry the room for one.
        match Box::pin(answer(&conn, app, request)).await {
            Then::NextRequest => conn.answered(),
            Then::Close => {
                conn.close().await;
                return None;
            }
            Then::Drop => return None,
        }
    }
}

async fn answer(conn: &Rc<Conn>, app: &App, request: Request) -> Then {
    let is_1_0 = request.version() < Version::HTTP_11;
    let asked = Asked { is_1_0, is_head: request.method() == Method::HEAD };
    // Dropping the work of a client that has left cancels it.
    let answered = {
        let mut answering = pin!(app.call(request, Client::Http1(Rc::clone(conn))));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answered) = answering.as_mut().poll(cx) {
                return Poll::Ready(Some(answered));
            }
            conn.poll_left(cx).map(|()| None)
        });
        answered.await
    };
    let Some(Ok(response)) = answered else { return Then::Drop };
    send(conn, asked, response.into_parts().1).await
}

async fn send(conn: &Conn, asked: Asked, response: HttpResponse<Observed>) -> Then {
    let (response, body) = response.into_parts();
    let (status, size) = (response.status(), body.size());
    let delimited = Delimited::of(status, size, asked);
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    let wants_next = !switches && delimited != Delimited::ByClose && !conn.table.is_draining();
    let keeps = wants_next && poll_fn(|cx| Poll::Ready(conn.keeps(cx))).await;
    conn.begin_answer();
    let mut out = BytesMut::with_capacity(USUAL_ANSWER);
    let date = |out: &mut BytesMut| conn.table.write_date(out);
    let passed = body.passed_fields();
    answer::write(response.head(), size, asked, keeps, &passed, date, &mut out);
    drop(passed);
    drop(response);
    // To an older client the end of the connection is the end of the body, whatever ends it.
    let ends_body = delimited == Delimited::ByClose;
    if ends_body {
        conn.set_reset(true);
    }
    let mut sending = Sending::new(conn, out, body, delimited);
    let sent = poll_fn(|cx| match sending.poll(cx) {
        Poll::Pending => conn.poll_left(cx).map(|()| Err(Cut)),
        sent => sent,
    });
    match sent.await {
        Err(Cut) => {
            sending.into_body().broke_off();
            Then::Drop
        }
        Ok(()) if switches => {
            // Boxed: few connections become one, and all would carry its size.
            Box::pin(sending.into_body().run_tunnel()).await;
            Then::Drop
        }
        Ok(()) if keeps && poll_fn(|cx| Poll::Ready(conn.finish_body(cx))).await => {
            Then::NextRequest
        }
        Ok(()) => {
            if ends_body {
                conn.set_reset(false);
            }
            Then::Close
        }
    }
}
