//! Sockets that listen, and the files that Unix sockets leave behind.
//!
//! A socket file that nobody listens on is what a killed process left: it is replaced. One that
//! somebody listens on, or that is no socket, is an error.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::config::{ListenAddress, SocketMode};

/// Connections that may wait to be accepted, per listener.
const BACKLOG: i32 = 4096;
/// A client that has vanished without a word is noticed after two minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);
/// What the kernel takes of an answer beyond what the client's window lets out, about, in bytes.
/// Without it that is megabytes, of which a third must drain before the kernel reports progress: a
/// client that reads slowly but steadily would look like one that does not read.
const MOST_UNSENT: u32 = 128 << 10;

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// The same socket by another file.
    ///
    /// # Errors
    /// There is no file for it.
    pub fn double(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(OwnedFd::from),
            Self::Unix(listener) => listener.try_clone().map(OwnedFd::from),
        }
    }
}

/// A bound listener, and the file to remove in the end.
pub struct Bound {
    pub listener: Listener,
    /// With the port that the system chose.
    pub address: ListenAddress,
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket; removed when dropped, unless another process has put its own there.
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// The time too: the number of a removed file may be given to the next one.
#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

/// Binds `address`; `mode` is for the file of a Unix socket.
///
/// # Errors
/// The address is in use or cannot be had.
pub fn bind(address: &ListenAddress, mode: Option<SocketMode>) -> io::Result<Bound> {
    match address {
        ListenAddress::Tcp(address) => bind_tcp(*address),
        ListenAddress::Unix(path) => bind_unix(path, mode),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before it to time out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // [::] takes IPv4 too, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    // The kernel hands these on to every accepted socket, which saves the calls there. An answer
    // may go out in several writes; none of them waits for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_notsent_lowat(MOST_UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = ListenAddress::Tcp(listener.local_addr()?);
    Ok(Bound { listener: Listener::Tcp(listener), address, file: None })
}

fn bind_unix(path: &Path, mode: Option<SocketMode>) -> io::Result<Bound> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile { path: path.to_owned(), identity: Identity::of(path)? };
    if let Some(mode) = mode {
        // Nobody can connect before `listen`, with whatever permissions.
        fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))?;
    }
    socket.listen(BACKLOG)?;
    let listener = Listener::Unix(UnixListener::from(socket));
    Ok(Bound { listener, address: ListenAddress::Unix(path.to_owned()), file: Some(file) })
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is no socket",
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Somebody whose queue is full listens all the same, and must not be waited for.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(Self { device: found.dev(), inode: found.ino(), modified })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Identity::of(&self.path).is_ok_and(|found| found == self.identity) {
            // If it cannot be removed, the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    fn socket_path() -> (tempfile::TempDir, ListenAddress, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("proxy.sock");
        (folder, ListenAddress::Unix(path.clone()), path)
    }

    #[test]
    fn accepted_sockets_have_the_options_of_their_listener() {
        let address = "127.0.0.1:0".parse().expect("is an address");
        let bound = bind(&address, None).expect("a port is free");
        let (Listener::Tcp(listener), ListenAddress::Tcp(address)) =
            (bound.listener, bound.address)
        else {
            panic!("not TCP");
        };
        let _client = TcpStream::connect(address).expect("listens");
        let (accepted, _) = listener.accept().expect("a client has come");
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("can be asked"));
        assert_eq!(socket.tcp_notsent_lowat().expect("can be asked"), MOST_UNSENT);
        assert!(socket.keepalive().expect("can be asked"));
        assert_eq!(socket.tcp_keepalive_time().expect("can be asked"), Duration::from_secs(60));
        assert_eq!(socket.tcp_keepalive_interval().expect("can be asked"), Duration::from_secs(15));
        assert_eq!(socket.tcp_keepalive_retries().expect("can be asked"), 4);
    }

    #[test]
    fn a_socket_file_is_removed_in_the_end() {
        let (_folder, address, path) = socket_path();
        let bound = bind(&address, None).expect("can be bound");
        assert!(path.exists());
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn the_socket_of_a_successor_is_left_alone() {
        let (_folder, address, path) = socket_path();
        let Bound { listener, file, .. } = bind(&address, None).expect("can be bound");
        drop(listener);
        let successor = bind(&address, None).expect("nobody listens any more");
        drop(file);
        assert!(path.exists());
        drop(successor);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_replaced() {
        let (_folder, address, path) = socket_path();
        fs::write(&path, "precious").expect("can be written");
        assert!(bind(&address, None).is_err());
        assert_eq!(fs::read_to_string(&path).expect("is there"), "precious");
    }

    #[test]
    fn a_start_that_fails_leaves_no_file() {
        let (_folder, address, path) = socket_path();
        let bound = bind(&address, None).expect("can be bound");
        assert!(bind(&address, None).is_err(), "somebody listens");
        assert!(path.exists());
        drop(bound);
    }
}
