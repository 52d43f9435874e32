//! A connection after `101 Switching Protocols` (RFC 9110 section 7.8): bytes go both ways as they
//! come. Bounds: one read of up to 32 KiB waits per direction, `tunnel.idle` without a byte in
//! either, `tunnel.lifetime` in all.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    clock::{Deadline, Deadlines},
    config::TunnelLimits,
    error::Reason,
    http1::Conn,
    record::RequestRecord,
    telemetry::metrics::OpenTunnel,
    upstream::Connection,
};

/// A tunnel that is open on the endpoint's side and waits for the client to have read the 101.
pub struct Tunnel {
    upstream: Connection,
    limits: TunnelLimits,
    deadlines: Rc<Deadlines>,
    _counted: OpenTunnel,
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Read and not yet written.
    pending: Bytes,
    source_ended: bool,
    /// The end was passed on, or cannot be.
    is_over: bool,
}

struct Running<'a> {
    conn: &'a Conn,
    record: &'a RequestRecord,
    upstream: Connection,
    up: Flow,
    down: Flow,
    /// Why the endpoint takes no more.
    refused: Option<Reason>,
    moved_at: Instant,
}

impl Tunnel {
    pub(super) fn new(
        upstream: Connection,
        limits: TunnelLimits,
        deadlines: &Rc<Deadlines>,
        counted: OpenTunnel,
    ) -> Self {
        Self { upstream, limits, deadlines: Rc::clone(deadlines), _counted: counted }
    }

    /// Moves bytes until both sides have ended, one fails, or a limit passes.
    pub async fn run(self, conn: &Conn, record: &RequestRecord) {
        conn.begin_tunnel();
        let started = Instant::now();
        let mut running = Running {
            conn,
            record,
            upstream: self.upstream,
            up: Flow::default(),
            down: Flow::default(),
            refused: None,
            moved_at: started,
        };
        let mut limit =
            Limit { started, limits: self.limits, deadlines: &self.deadlines, slot: None };
        let ended = poll_fn(|cx| match running.poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => limit.poll(running.moved_at, cx).map(Err),
        });
        if let Err(reason) = ended.await {
            record.reason.set(Some(reason));
        }
    }
}

impl Running<'_> {
    /// Ready once both directions are over. One may end long before the other.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        if let Poll::Ready(Err(reason)) = self.poll_up(cx) {
            return Poll::Ready(Err(reason));
        }
        if let Poll::Ready(Err(reason)) = self.poll_down(cx) {
            return Poll::Ready(Err(reason));
        }
        if !self.up.is_over || !self.down.is_over {
            return Poll::Pending;
        }
        Poll::Ready(self.refused.map_or(Ok(()), Err))
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        while !self.up.is_over {
            if ready!(self.poll_pass_up(cx)).is_err() {
                // It may still have something to say.
                self.refused = Some(Reason::UpstreamReset);
                self.up.is_over = true;
            }
            if self.up.is_over {
                break;
            }
            match ready!(self.conn.poll_body(cx)) {
                Some(Ok(bytes)) => {
                    add(&self.record.bytes_in, &bytes);
                    self.up.pending = bytes;
                }
                Some(Err(_)) => return Poll::Ready(Err(Reason::ClientClosed)),
                None => self.up.source_ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once nothing waits to go up: bytes, what TLS keeps of them, or their end.
    fn poll_pass_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.up.pending.is_empty() {
            ready!(self.upstream.poll_write(&mut self.up.pending, cx))?;
            self.moved_at = Instant::now();
        }
        if !self.up.source_ended {
            return self.upstream.poll_flush(cx);
        }
        ready!(self.upstream.poll_shutdown(cx))?;
        self.moved_at = Instant::now();
        self.up.is_over = true;
        Poll::Ready(Ok(()))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        while !self.down.is_over {
            if !self.down.pending.is_empty() {
                let written = ready!(self.conn.poll_write(cx, &mut self.down.pending));
                written.map_err(|_| self.conn.why_cut())?;
                self.moved_at = Instant::now();
            } else if self.down.source_ended {
                ready!(self.conn.poll_shutdown(cx)).map_err(|_| Reason::ClientClosed)?;
                self.down.is_over = true;
            } else {
                let flushed = ready!(self.conn.poll_flush(cx));
                flushed.map_err(|_| self.conn.why_cut())?;
                let bytes = ready!(self.upstream.poll_bytes(cx));
                self.down.pending = bytes.map_err(|_| Reason::UpstreamReset)?;
                self.down.source_ended = self.down.pending.is_empty();
                add(&self.record.bytes_out, &self.down.pending);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn add(count: &std::cell::Cell<u64>, bytes: &Bytes) {
    count.set(count.get() + bytes.len() as u64);
}

/// The earlier of both limits. What moves does not touch it: when it passes, the time of the last
/// byte is looked at.
struct Limit<'a> {
    started: Instant,
    limits: TunnelLimits,
    deadlines: &'a Rc<Deadlines>,
    slot: Option<Deadline>,
}

impl Limit<'_> {
    fn poll(&mut self, moved_at: Instant, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            if let Some(slot) = &mut self.slot {
                ready!(slot.poll_passed(cx));
            }
            let now = Instant::now();
            if let Some(reason) = passed(self.limits, now - moved_at, now - self.started) {
                return Poll::Ready(reason);
            }
            let idle = moved_at + self.limits.idle;
            let end = self.limits.lifetime.map(|lifetime| self.started + lifetime);
            self.slot = Some(self.deadlines.start(end.map_or(idle, |end| end.min(idle))));
        }
    }
}

fn passed(limits: TunnelLimits, idle: Duration, age: Duration) -> Option<Reason> {
    if limits.lifetime.is_some_and(|lifetime| age >= lifetime) {
        return Some(Reason::TotalTimeout);
    }
    (idle >= limits.idle).then_some(Reason::IdleTimeout)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_http::{Method, header::HeaderValue};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};

    use super::*;
    use crate::{
        downstream::Client, scratch::Scratch, telemetry::metrics::Metrics, upstream::lazy::Lazy,
        worker::Site,
    };

    fn record(conn: &Rc<Conn>) -> RequestRecord {
        let id = HeaderValue::from_static("id");
        RequestRecord::new(Site::empty(), Client::Http1(Rc::clone(conn)), id, Method::GET, None)
    }

    fn tunnel(upstream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Tunnel {
        let upstream = Connection::new(Box::new(upstream), Scratch::default(), Arc::default());
        let limits = TunnelLimits { idle: Duration::from_secs(5), lifetime: None };
        let metrics = Metrics::default();
        let counted = metrics.shard().open_tunnel();
        Tunnel::new(upstream, limits, &Deadlines::new().0, counted)
    }

    #[test]
    fn what_the_endpoint_said_arrives_though_it_takes_no_more() {
        actix_rt::System::new().block_on(async {
            let (conn, mut client) = Conn::pair();
            let record = record(&conn);
            let (upstream, mut endpoint) = duplex(64);
            endpoint.write_all(b"farewell").await.expect("fits");
            drop(endpoint);
            client.write_all(b"unheard").await.expect("fits");
            tunnel(upstream).run(&conn, &record).await;
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.expect("ends in order");
            assert_eq!(heard, "farewell");
            assert_eq!(record.reason.get(), Some(Reason::UpstreamReset));
        });
    }

    #[test]
    fn nothing_waits_for_the_next_byte_of_the_client_to_be_flushed() {
        actix_rt::System::new().block_on(async {
            let (conn, mut client) = Conn::pair();
            let record = record(&conn);
            let (below, mut endpoint) = duplex(64);
            client.write_all(b"hello").await.expect("fits");
            let running = tunnel(Lazy::over(below));
            let talk = async {
                let mut heard = [0; 5];
                endpoint.read_exact(&mut heard).await.expect("it comes");
                heard
            };
            tokio::select! {
                () = running.run(&conn, &record) => panic!("it has ended"),
                heard = tokio::time::timeout(Duration::from_secs(5), talk) => {
                    assert_eq!(heard.as_ref(), Ok(b"hello"));
                }
            }
        });
    }

    #[test]
    fn a_limit_passes_for_what_it_counts() {
        let second = Duration::from_secs(1);
        let limits = TunnelLimits { idle: second * 5, lifetime: Some(second * 60) };
        assert_eq!(passed(limits, second * 4, second * 59), None);
        assert_eq!(passed(limits, second * 5, second * 59), Some(Reason::IdleTimeout));
        assert_eq!(passed(limits, second, second * 60), Some(Reason::TotalTimeout));
        let endless = TunnelLimits { lifetime: None, ..limits };
        assert_eq!(passed(endless, second, second * 1000), None);
    }
}
