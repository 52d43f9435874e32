//! Connections over TCP: options of the socket, and which address of a name is taken.
//!
//! Addresses are raced as in RFC 8305, "Happy Eyeballs": the families take turns, each attempt gets
//! 250 ms before the next one starts beside it, and the first that succeeds wins. An address that
//! answers nothing so costs 250 ms and not the whole bound, and a `localhost` that is `::1` first
//! reaches an origin that listens on 127.0.0.1 only.

use std::{
    cell::Cell,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use actix_tls::connect::ConnectError;
use futures_util::{StreamExt, stream::FuturesUnordered};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};

use super::failure::{NoPort, is_lack, is_refusal, unreachable};
use crate::upstream::resolver::Name;

/// What an attempt gets before the next one starts (RFC 8305 section 8).
const STAGGER: Duration = Duration::from_millis(250);

/// An idle connection whose peer vanished without a word is found out after two minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

tokio::task_local! {
    /// To which address of its name a connection is opened: awc passes on no more than the connection.
    static ADDRESS: Cell<Option<IpAddr>>;
}

/// What `opening` gives, and the address that was taken of the name, if there is one.
pub(super) async fn noting_address<F: Future>(opening: F) -> (F::Output, Option<IpAddr>) {
    let noting = async {
        let opened = opening.await;
        (opened, ADDRESS.with(Cell::get))
    };
    ADDRESS.scope(Cell::default(), noting).await
}

/// Connects to one address.
pub(super) async fn open(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    connect(address).await.map_err(|error| unreachable(&address, error))
}

/// Connects to one of the addresses that a name has now.
pub(super) async fn open_name(name: Arc<Name>, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses =
        name.addresses().map_err(|unresolved| ConnectError::Resolver(Box::new(unresolved)))?;
    let order = dial_order(&addresses, rand::random());
    let order = order.into_iter().map(|ip| SocketAddr::new(ip, port));
    match race(order, connect).await {
        Ok(stream) => {
            let address = stream.peer_addr().ok().map(|peer| peer.ip());
            let _ = ADDRESS.try_with(|known| known.set(address));
            Ok(stream)
        }
        Err(Some((address, error))) => Err(unreachable(&address, error)),
        Err(None) => Err(ConnectError::NoRecords),
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream =
        TcpStream::connect(address).await.map_err(|error| NoPort::if_so(&address, error))?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    Ok(stream)
}

/// The families take turns, the one that the system prefers first (RFC 8305 section 4). Within a
/// family the order is kept but begins at `start`, so that all addresses get their share.
fn dial_order(addresses: &[IpAddr], start: u32) -> Vec<IpAddr> {
    let is_preferred = |address: &IpAddr| address.is_ipv4() == addresses[0].is_ipv4();
    let (mut preferred, mut other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| is_preferred(address));
    for family in [&mut preferred, &mut other] {
        let begin = start as usize % family.len().max(1);
        family.rotate_left(begin);
    }
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(preferred.next());
        order.extend(other.next());
    }
    order
}

/// The first success of attempts that start `STAGGER` apart, or as soon as one fails; the others
/// are dropped.
///
/// # Errors
/// Of the last failure, unless an earlier one says more: that something of our own was missing says that
/// the address was not tried; a refusal comes from the endpoint, other failures from the way to it.
/// `None` without any address.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: impl Iterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<(SocketAddr, io::Error)>> {
    let mut running = FuturesUnordered::new();
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    let weight = |error: &io::Error| (is_lack(error), is_refusal(error));
    let mut note = |address, error: io::Error| match &failure {
        Some((_, known)) if weight(known) > weight(&error) => {}
        _ => failure = Some((address, error)),
    };
    for address in addresses {
        let attempt = connect(address);
        running.push(async move { (address, attempt.await) });
        match timeout(STAGGER, running.next()).await {
            Ok(Some((_, Ok(stream)))) => return Ok(stream),
            Ok(Some((address, Err(error)))) => note(address, error),
            Ok(None) | Err(_) => {}
        }
    }
    while let Some((address, result)) = running.next().await {
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => note(address, error),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::{
        net::TcpListener,
        runtime::Builder,
        time::{Instant, sleep},
    };

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("is an address")).collect()
    }

    #[test]
    fn families_take_turns_and_the_preferred_one_is_first() {
        for (addresses, start, order) in [
            (vec!["::1", "127.0.0.1"], 0, vec!["::1", "127.0.0.1"]),
            (vec!["127.0.0.1", "::1"], 7, vec!["127.0.0.1", "::1"]),
            (vec!["::1", "::2", "::3", "1.1.1.1"], 0, vec!["::1", "1.1.1.1", "::2", "::3"]),
            (vec!["::1", "::2", "::3", "1.1.1.1"], 2, vec!["::3", "1.1.1.1", "::1", "::2"]),
            (vec!["1.1.1.1", "::1", "::2", "::3"], 1, vec!["1.1.1.1", "::2", "::3", "::1"]),
            (vec!["1.1.1.1", "1.1.1.2"], u32::MAX, vec!["1.1.1.2", "1.1.1.1"]),
        ] {
            assert_eq!(dial_order(&ips(&addresses), start), ips(&order), "{addresses:?} {start}");
        }
    }

    #[test]
    fn every_address_of_a_family_begins_equally_often() {
        let addresses = ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "::1"]);
        let mut first = [0; 3];
        for start in 0..300 {
            let order = dial_order(&addresses, start);
            first[addresses.iter().position(|known| *known == order[0]).expect("is one")] += 1;
        }
        assert_eq!(first, [100; 3]);
    }

    /// What one address does: after a time, it takes the connection or fails.
    type Behaviour = (u64, Result<(), io::ErrorKind>);

    const SILENT: Behaviour = (60_000, Err(io::ErrorKind::TimedOut));

    /// What a race over 127.0.0.1, 127.0.0.2, … on paused time gave: the winner or the failure,
    /// the milliseconds it took, and when each attempt began.
    fn raced(behaviours: &[Behaviour]) -> (Result<u8, (u8, io::ErrorKind)>, u64, Vec<u64>) {
        let begun = RefCell::default();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("can be built").block_on(async {
            let start = Instant::now();
            let elapsed = || u64::try_from(start.elapsed().as_millis()).expect("is short");
            let last = |address: SocketAddr| match address.ip() {
                IpAddr::V4(ip) => ip.octets()[3],
                IpAddr::V6(_) => 0,
            };
            let count = u8::try_from(behaviours.len()).expect("are few");
            let addresses = (1..=count).map(|last| SocketAddr::from(([127, 0, 0, last], 80)));
            let won = race(addresses, |address| {
                let (delay, result) = behaviours[usize::from(last(address)) - 1];
                let begun: &RefCell<Vec<u64>> = &begun;
                async move {
                    begun.borrow_mut().push(elapsed());
                    sleep(Duration::from_millis(delay)).await;
                    result.map(|()| last(address)).map_err(io::Error::from)
                }
            });
            let won = won.await.map_err(|failure| {
                let (address, error) = failure.expect("there are addresses");
                (last(address), error.kind())
            });
            (won, elapsed(), begun.take())
        })
    }

    #[test]
    fn a_silent_address_costs_250_ms() {
        assert_eq!(raced(&[SILENT, (5, Ok(())), (5, Ok(()))]), (Ok(2), 255, vec![0, 250]));
        let (won, took, _) = raced(&[SILENT, SILENT, (5, Ok(()))]);
        assert_eq!((won, took), (Ok(3), 505));
    }

    #[test]
    fn a_slow_address_may_still_win() {
        assert_eq!(raced(&[(300, Ok(())), (900, Ok(()))]), (Ok(1), 300, vec![0, 250]));
    }

    #[test]
    fn after_a_failure_the_next_address_is_tried_at_once() {
        let refused = (1, Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(raced(&[refused, (5, Ok(()))]), (Ok(2), 6, vec![0, 1]));
    }

    #[test]
    fn the_most_telling_failure_is_told() {
        let refused = (1, Err(io::ErrorKind::ConnectionRefused));
        let no_route = (1, Err(io::ErrorKind::NetworkUnreachable));
        for (behaviours, told) in [
            ([refused, no_route], (1, io::ErrorKind::ConnectionRefused)),
            ([no_route, refused], (2, io::ErrorKind::ConnectionRefused)),
            ([no_route, no_route], (2, io::ErrorKind::NetworkUnreachable)),
        ] {
            assert_eq!(raced(&behaviours).0, Err(told));
        }
    }

    #[test]
    fn without_addresses_there_is_no_failure_either() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("can be built");
        let nowhere = race([].into_iter(), |_| async { Ok(()) });
        assert!(matches!(runtime.block_on(nowhere), Err(None)));
    }

    #[test]
    fn sockets_send_at_once_and_probe_a_silent_peer() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("can be built");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let address = listener.local_addr().expect("is bound");
            let stream = open(address).await.expect("something listens");
            let socket = SockRef::from(&stream);
            assert!(stream.nodelay().expect("can be read"));
            assert!(socket.keepalive().expect("can be read"));
            let time = socket.tcp_keepalive_time().expect("can be read");
            let interval = socket.tcp_keepalive_interval().expect("can be read");
            assert_eq!((time.as_secs(), interval.as_secs()), (60, 15));
            assert_eq!(socket.tcp_keepalive_retries().expect("can be read"), 4);
        });
    }
}
