//! Where something listens: a TCP address or a Unix socket.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{error::Problem, value::FromText};

/// What the kernel takes, without the NUL at the end (`sockaddr_un`).
const LONGEST_SOCKET_PATH: usize = 107;

/// Printed as it is written in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    /// An absolute path.
    Unix(PathBuf),
}

/// The permissions of a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The bits as `chmod` takes them.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl ListenAddress {
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Whether other machines can reach it.
    pub fn is_reachable_from_outside(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }

    /// Whether both cannot be listened on at once; port 0 is never the same twice.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(first), Self::Tcp(second)) => {
                first.port() == second.port()
                    && first.port() != 0
                    && (takes(*first, *second) || takes(*second, *first))
            }
            (Self::Unix(first), Self::Unix(second)) => first == second,
            _ => false,
        }
    }
}

/// Whether connections to `other` would come to `listener` too. `[::]` takes IPv4 as well.
fn takes(listener: SocketAddr, other: SocketAddr) -> bool {
    let (listener, other) = (listener.ip().to_canonical(), other.ip().to_canonical());
    listener == other || (listener.is_unspecified() && (listener.is_ipv6() || other.is_ipv4()))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// For the command line.
impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text).map_err(|problem| match problem.hint {
            Some(hint) => format!("{} ({hint})", problem.message),
            None => problem.message,
        })
    }
}

impl FromText for ListenAddress {
    const EXPECTED: &'static str = "an address and port such as \"0.0.0.0:8080\" or \"[::]:8080\", or \"unix:/run/proxy.sock\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(|path| Self::Unix(path.to_owned()));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            let problem = Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
            match (text.strip_prefix(':'), text.starts_with('/')) {
                (Some(port), _) => problem.hint(format!("for all addresses: \"0.0.0.0:{port}\"")),
                (None, true) => problem.hint(format!("a Unix socket: \"unix:{text}\"")),
                (None, false) => problem,
            }
        })
    }
}

fn socket_path(path: &str) -> Result<&Path, Problem> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(Problem::new(format!(
            "expected the absolute path of a socket, found \"{path}\""
        )));
    }
    if path.len() > LONGEST_SOCKET_PATH {
        let problem = format!("the path of a socket has {LONGEST_SOCKET_PATH} bytes at most");
        return Err(Problem::new(problem));
    }
    Ok(Path::new(path))
}

impl FromText for SocketMode {
    const EXPECTED: &'static str = "permissions in octal such as \"0660\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        bits.filter(|bits| *bits <= 0o777)
            .map(Self)
            .ok_or_else(|| Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().expect("is an address")
    }

    #[test]
    fn an_address_is_printed_as_it_is_written() {
        for text in ["127.0.0.1:80", "[::]:80", "unix:/run/proxy.sock"] {
            assert_eq!(address(text).to_string(), text);
        }
    }

    #[test]
    fn addresses_overlap_if_one_port_would_be_bound_twice() {
        for (first, second, overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "0.0.0.0:80", false),
        ] {
            let (one, other) = (address(first), address(second));
            assert_eq!(one.overlaps(&other), overlap, "{first} {second}");
            assert_eq!(other.overlaps(&one), overlap, "{second} {first}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_out_of_reach() {
        for (text, is_reachable) in [
            ("127.0.0.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("unix:/a", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
        ] {
            assert_eq!(address(text).is_reachable_from_outside(), is_reachable, "{text}");
        }
    }
}
