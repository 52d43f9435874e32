//! Why a proxy does not start, and what to do about it.

use std::{any::Any, io};

use rustix::io::Errno;

use crate::config::{ConfigErrors, ListenAddress};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("cannot listen on {address}: {source}{}{}", hint(address, source), remedy(source))]
    Bind { address: ListenAddress, source: io::Error },
    #[error("cannot start the access log: {source}{}", remedy(source))]
    AccessLog { source: io::Error },
    #[error("cannot start the resolver: {source}{}", remedy(source))]
    Resolver { source: io::Error },
    #[error("cannot watch the files of TLS: {source}{}", remedy(source))]
    Watch { source: io::Error },
    #[error("cannot start to order certificates: {source}{}", remedy(source))]
    Acme { source: io::Error },
    #[error("cannot start the server: {source}{}", remedy(source))]
    Server { source: io::Error },
    #[error(
        "the system has too little room to start {workers} workers: {source}{}",
        remedy(source)
    )]
    NoRoom { workers: usize, source: io::Error },
}

impl StartError {
    /// A panic amid a start: what it said is all there is to say.
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
        Self::Server { source: io::Error::other(said.unwrap_or("a panic").to_owned()) }
    }
}

fn hint(address: &ListenAddress, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process has it: stop it, or choose another address)",
        io::ErrorKind::PermissionDenied if !address.is_unix() => {
            " (ports below 1024 need CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// What to do where the system gives less than was asked for.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE) => {
            " (the limit of open files is too low: raise it by ulimit -n or LimitNOFILE)"
        }
        Some(Errno::NFILE) => " (the whole system has no more open files: raise fs.file-max)",
        Some(Errno::AGAIN) => {
            " (the limit of threads is too low: raise ulimit -u, TasksMax or pids.max, or set fewer \
             \"workers\")"
        }
        Some(Errno::NOMEM) => " (the system has no more memory for the process)",
        _ => "",
    }
}
