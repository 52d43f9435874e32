//! A proxy inside the test's own process, whose configuration can be replaced while it runs.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use proxy::{
    config::{Config, ListenAddress},
    server::{self, Running},
    vitals::Vitals,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Answer, Request, eventually};

/// One worker, and no access log.
pub struct Swapping {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// `None` ends it.
    configs: Option<UnboundedSender<Config>>,
    replaced: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

const AROUND: &str = "server = { workers = 1 }\nlog = { access = false }\n\
                      listeners = [{ bind = \"127.0.0.1:0\" }]\nadmin = { bind = \"127.0.0.1:0\" }\n";

impl Swapping {
    pub fn start(config: &str) -> Self {
        let config = load(config);
        let (configs, mut incoming) = unbounded_channel();
        let (told, addresses) = channel();
        let (done, replaced) = channel();
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let (vitals, _ended) = Vitals::new();
                let running = server::start(&config, &vitals).expect("starts");
                let _ = told.send((address(&running.traffic[0]), address(&running.admin)));
                while let Some(next) = incoming.recv().await {
                    replace(&running, &next, &done);
                }
                running.stop().await;
            });
        });
        let (address, admin) = addresses.recv().expect("it has started");
        Self { address, admin, configs: Some(configs), replaced, thread: Some(thread) }
    }

    /// Answers what begins from now on by `config`, as soon as the worker has seen it.
    pub fn replace(&self, config: &str) {
        let configs = self.configs.as_ref().expect("runs");
        configs.send(load(config)).expect("it runs");
        self.replaced.recv().expect("it runs");
    }

    /// Replaces the configuration, and waits until the path `/generation` says `generation`.
    pub fn replace_and_see(&self, config: &str, generation: usize) {
        self.replace(&with_generation(config, generation));
        eventually("the worker to move", || {
            let seen = self.request("GET", "/generation").send().text();
            (seen == generation.to_string()).then_some(())
        });
    }

    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    pub fn metrics(&self) -> Vec<String> {
        let page: Answer = Request::new(self.admin, "GET", "/metrics").send();
        page.text().lines().map(str::to_owned).collect()
    }
}

/// A route that answers with a number, before all others.
pub fn with_generation(config: &str, generation: usize) -> String {
    format!(
        "{config}\n[[routes]]\nname = \"generation\"\npath = \"/generation\"\n\
         respond = {{ status = 200, body = \"{generation}\" }}\n"
    )
}

fn load(config: &str) -> Config {
    Config::load(&format!("{AROUND}{config}"), "test", &|_| None).expect("is valid")
}

fn replace(running: &Running, config: &Config, done: &Sender<()>) {
    running.replace(config).expect("its files can be used");
    let _ = done.send(());
}

fn address(of: &ListenAddress) -> SocketAddr {
    of.to_string().parse().expect("is a socket")
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.configs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
