//! A peer for `scripts/bench/run.sh`: bytes from client to origin and back, nothing parsed, one
//! upstream connection for each client connection, one thread. What it costs is the kernel's share
//! and the runtime's: for small messages no proxy can cost less.
//!
//!     bench-forwarder PORT ORIGIN_PORT,ORIGIN_PORT,...

use std::io;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// Room for bytes on their way in one direction; the proxy reads bodies in pieces of this size.
const ROOM: usize = 32 * 1024;

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let port = words.next().expect("PORT");
    let origins = words.next().expect("ORIGIN_PORT,...");
    let origins = origins.split(',').map(|port| format!("127.0.0.1:{port}")).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, accept(format!("127.0.0.1:{port}"), origins))
}

async fn accept(address: String, origins: Vec<String>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    for origin in origins.iter().cycle() {
        let (client, _) = listener.accept().await?;
        let origin = origin.clone();
        // A connection that breaks concerns its two ends only.
        tokio::task::spawn_local(async move { forward(client, origin).await.ok() });
    }
    Ok(())
}

async fn forward(mut client: TcpStream, origin: String) -> io::Result<()> {
    let mut upstream = TcpStream::connect(origin).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, ROOM, ROOM).await?;
    Ok(())
}
