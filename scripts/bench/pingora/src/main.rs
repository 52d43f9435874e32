//! A peer for `scripts/bench/run.sh`: Pingora doing the proxy's work. It checks the token, makes a
//! request id and sets it both ways, sets `X-Forwarded-For`, `-Proto` and `-Host`, and picks one of
//! the origins at random. Threads, pool and allocator are chosen for speed, as the proxy's are.
//!
//!     bench-pingora PORT ORIGIN_PORT,ORIGIN_PORT,... [ACCESS_LOG]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, HttpPeer, ProxyHttp, Result, Server, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Books {
    origins: Vec<String>,
    log: Option<Mutex<BufWriter<File>>>,
}

struct Exchange {
    id: String,
    peer: String,
    began: Instant,
}

#[async_trait]
impl ProxyHttp for Books {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange {
            id: uuid::Uuid::new_v4().to_string(),
            peer: String::new(),
            began: Instant::now(),
        }
    }

    /// Without the compression module that is there by default.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, _: &mut Exchange) -> Result<bool> {
        let known = session.get_header("authorization");
        if known.is_some_and(|value| value.as_bytes() == b"Bearer secret-token") {
            return Ok(false);
        }
        session.respond_error(401).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Exchange) -> Result<Box<HttpPeer>> {
        let origin = &self.origins[rand::random_range(0..self.origins.len())];
        Ok(Box::new(HttpPeer::new(origin.as_str(), false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let path = String::from_utf8_lossy(request.raw_path()).replacen("/items/", "/serverA/", 1);
        request.set_raw_path(path.as_bytes())?;
        let peer = session.client_addr().and_then(|address| address.as_inet());
        exchange.peer = peer.map(|address| address.ip().to_string()).unwrap_or_default();
        if let Some(host) = request.headers.get("host").cloned() {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        request.insert_header("X-Forwarded-For", exchange.peer.as_str())?;
        request.insert_header("X-Forwarded-Proto", "http")?;
        request.insert_header("X-Request-ID", exchange.id.as_str())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        response.insert_header("X-Request-ID", exchange.id.as_str())
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, exchange: &mut Exchange) {
        let Some(log) = &self.log else { return };
        let request = session.req_header();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let mut log = log.lock().expect("no holder panics");
        let written = writeln!(
            log,
            r#"{{"ts":{:.3},"request_id":"{}","client_ip":"{}","method":"{}","host":"{}","path":"{}","status":{status},"bytes_out":{},"duration_ms":{:.3},"user_agent":"{}"}}"#,
            now.as_secs_f64(),
            exchange.id,
            exchange.peer,
            request.method,
            text(request, "host"),
            request.uri.path(),
            session.body_bytes_sent(),
            exchange.began.elapsed().as_secs_f64() * 1e3,
            text(request, "user-agent"),
        );
        written.expect("the access log takes a line");
    }
}

fn text<'a>(request: &'a RequestHeader, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn main() {
    let mut words = std::env::args().skip(1);
    let port = words.next().expect("PORT");
    let origins = words.next().expect("ORIGIN_PORT,...");
    let books = Books {
        origins: origins.split(',').map(|origin| format!("127.0.0.1:{origin}")).collect(),
        log: words.next().map(|path| {
            Mutex::new(BufWriter::with_capacity(65536, File::create(path).expect("access log")))
        }),
    };
    let conf = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: 4096,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, books);
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.run_forever();
}
