//! Opens connections through `awc::Connector`, with our own dial service under it: awc's default
//! leaves Nagle's algorithm on, which with delayed acknowledgements stalls answers by 40 ms.

use std::{io, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::Uri;
use actix_service::{Service, fn_service};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection as Dialled};
use awc::{Connect, Connector, error::ConnectError as AwcError};
use futures_util::future::LocalBoxFuture;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::connection::{Connection, Io};
use crate::{
    error::{ProxyError, Reason},
    telemetry::metrics::UpstreamConnections,
};

/// The real bound is the caller's; awc wants one of its own.
const NO_BOUND: Duration = Duration::from_secs(7 * 24 * 3600);

type Opened = LocalBoxFuture<'static, Result<Box<dyn Io>, AwcError>>;

/// Opens connections for one worker.
pub struct Dialer {
    open: Box<dyn Fn(Connect) -> Opened>,
    counted: Arc<UpstreamConnections>,
}

impl Dialer {
    pub fn new(counted: Arc<UpstreamConnections>) -> Self {
        let service = fn_service(|request: ConnectInfo<Uri>| async move {
            let stream = dial(request.hostname(), request.port()).await?;
            Ok::<_, ConnectError>(Dialled::new(request.request().clone(), stream))
        });
        // The pool is ours, so awc's limit of connections in use must not bind.
        let connector = Rc::new(
            Connector::new()
                .connector(ShareDial(Rc::new(service)))
                .limit(0)
                .timeout(NO_BOUND)
                .finish(),
        );
        let open = move |connect| -> Opened {
            let connecting = connector.call(connect);
            Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Io>) })
        };
        Self { open: Box::new(open), counted }
    }

    /// A fresh connection to the authority of `uri`.
    ///
    /// # Errors
    /// `connect_timeout` after `bound`, else why the endpoint could not be reached.
    pub async fn connect(&self, uri: &Uri, bound: Duration) -> Result<Connection, ProxyError> {
        let connecting = (self.open)(Connect { uri: uri.clone(), addr: None });
        match timeout(bound, connecting).await {
            Ok(Ok(io)) => Ok(Connection::new(io, Arc::clone(&self.counted))),
            Ok(Err(error)) => Err(ProxyError::new(reason(&error), error.to_string())),
            Err(elapsed) => Err(ProxyError::new(Reason::ConnectTimeout, elapsed)),
        }
    }
}

fn reason(error: &AwcError) -> Reason {
    match error {
        AwcError::Resolver(_) | AwcError::NoRecords | AwcError::Unresolved => {
            Reason::NameUnresolved
        }
        AwcError::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
            Reason::ConnectionRefused
        }
        AwcError::Timeout => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = match bare.parse::<IpAddr>() {
        Ok(address) => TcpStream::connect((address, port)).await.map_err(ConnectError::Io)?,
        Err(_) => dial_name(bare, port).await?,
    };
    stream.set_nodelay(true).map_err(ConnectError::Io)?;
    Ok(stream)
}

/// Tries the addresses of `host` in the resolver's order.
async fn dial_name(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = lookup_host((host, port));
    let addresses = addresses.await.map_err(|error| ConnectError::Resolver(Box::new(error)))?;
    let mut failure = ConnectError::NoRecords;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = ConnectError::Io(error),
        }
    }
    Err(failure)
}

/// `Connector` wants a service that can be cloned.
struct ShareDial<S>(Rc<S>);

impl<S> Clone for ShareDial<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S: Service<ConnectInfo<Uri>>> Service<ConnectInfo<Uri>> for ShareDial<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    actix_service::always_ready!();

    fn call(&self, request: ConnectInfo<Uri>) -> Self::Future {
        self.0.call(request)
    }
}
