//! A part of a running proxy that ends is the end of the proxy: it says which, lets requests finish,
//! and leaves the new start to who started it.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::SockRef;

use crate::support::{Client, Origin, Proxy, eventually, skip};

/// The program's file with this number, or why it cannot be had.
fn file_of(proxy: &Proxy, number: i32) -> rustix::io::Result<OwnedFd> {
    let id = i32::try_from(proxy.program.pid()).ok().and_then(Pid::from_raw);
    let process = pidfd_open(id.expect("is alive"), PidfdFlags::empty())?;
    pidfd_getfd(process, number, PidfdGetfdFlags::empty())
}

/// The file of a listening socket on this port.
fn listener_of(proxy: &Proxy, port: u16) -> rustix::io::Result<Option<OwnedFd>> {
    for number in 3..64 {
        let file = match file_of(proxy, number) {
            Ok(file) => file,
            Err(rustix::io::Errno::BADF) => continue,
            Err(error) => return Err(error),
        };
        let socket = SockRef::from(&file);
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        let is_there = address.is_some_and(|address| address.port() == port);
        if is_there && socket.is_listener().unwrap_or(false) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

#[test]
fn a_listener_that_the_system_ends_ends_the_proxy_with_an_event_and_1() {
    for is_admin in [false, true] {
        let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let mut proxy = Proxy::start(&origin.config());
        let mut client = Client::connect(proxy.address);
        assert_eq!(proxy.get("/").send_on(&mut client).status, 200);
        let port = if is_admin { proxy.admin.port() } else { proxy.address.port() };
        let Ok(listener) = listener_of(&proxy, port) else {
            return skip("files of another process cannot be had");
        };
        let listener = listener.expect("it listens");
        SockRef::from(&listener).shutdown(std::net::Shutdown::Both).expect("may be done");
        drop(listener);

        assert_eq!(proxy.program.exit_code(), Some(1));
        let told = eventually("an event", || {
            let events = proxy.program.stderr();
            events.into_iter().find(|line| line.contains("a part of the proxy has ended"))
        });
        let told: serde_json::Value = serde_json::from_str(&told).expect("is JSON");
        assert_eq!((&told["level"], &told["part"]), (&"ERROR".into(), &"listener".into()));
    }
}
