//! A service with several endpoints.

use std::{fmt::Display, net::SocketAddr};

/// A configuration that sends everything to one service named `pool`; `settings` are keys of it.
pub fn pool_of(endpoints: &[SocketAddr], settings: impl Display) -> String {
    let urls: Vec<String> = endpoints.iter().map(|one| format!("\"http://{one}\"")).collect();
    format!(
        "[[routes]]\nname = \"all\"\nservice = \"pool\"\n\n\
         [services.pool]\nendpoints = [{}]\n{settings}\n",
        urls.join(", ")
    )
}
