//! The mock backend as its users see it: the real program on a free port, spoken to over TCP.
//!
//! Each test starts its own. `original` also runs the seed's Python script and compares the two.

mod books;
mod http;
mod methods_and_targets;
mod original;
mod process;
mod program;
mod random_json;
