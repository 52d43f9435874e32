//! `proxy healthcheck`: asks a running proxy whether it is ready, for a container's HEALTHCHECK.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use actix_http::Uri;
use clap::Args;

use super::refuse;
use crate::config::Secret;

/// For connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// What must answer 200; "unix:/run/admin.sock" asks for /readyz there
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901/readyz")]
    url: String,
    /// File with the token of the admin listener, for what it shows to nobody without one
    #[arg(long, value_name = "FILE", env = "PROXY_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Unready {
    #[error("\"{0}\" is neither an http:// URL nor \"unix:\" and a path")]
    Url(String),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("no answer: {0}")]
    Io(#[from] std::io::Error),
    #[error("no token: {0}")]
    Token(String),
    #[error("answered \"{0}\"")]
    Status(String),
}

pub(super) fn healthcheck(args: &HealthcheckArgs) -> ExitCode {
    match ask(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("not ready: {error}")),
    }
}

fn ask(args: &HealthcheckArgs) -> Result<(), Unready> {
    let token = args.token_file.as_deref().map(Secret::token_from_file).transpose();
    let token = token.map_err(Unready::Token)?;
    match args.url.strip_prefix("unix:") {
        Some(path) => ask_socket(path, token.as_ref()),
        None => ask_url(&args.url, token.as_ref()),
    }
}

fn ask_socket(path: &str, token: Option<&Secret>) -> Result<(), Unready> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    is_ready(stream, "localhost", "/readyz", token)
}

fn ask_url(url: &str, token: Option<&Secret>) -> Result<(), Unready> {
    let uri: Uri = url.parse().map_err(|_| Unready::Url(url.to_owned()))?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority = authority.ok_or_else(|| Unready::Url(url.to_owned()))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs()?;
    let address: SocketAddr =
        addresses.next().ok_or_else(|| Unready::NoAddress(authority.to_string()))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    is_ready(stream, authority.as_str(), path, token)
}

fn is_ready(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    token: Option<&Secret>,
) -> Result<(), Unready> {
    let credentials =
        token.map_or_else(String::new, |one| format!("Authorization: Bearer {}\r\n", one.reveal()));
    let fields = format!("Host: {host}\r\nConnection: close\r\n{credentials}");
    write!(stream, "GET {path} HTTP/1.1\r\n{fields}\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    if head.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(Unready::Status(String::from_utf8_lossy(&head).into_owned()))
}
