//! HTTP/2 with clients (RFC 9113), under the same App as HTTP/1. Crate `h2` speaks the protocol;
//! this room decides what h2 cannot know: what makes a request valid for both protocols, how long
//! a client may take, how much it may make the proxy do for nothing, that work for a stream
//! that was reset ends, and that a malformed request ends its stream and no other.
//!
//! A connection is one task, in which all of its streams run: what they send in one turn leaves in
//! one write, and a connection that goes takes its streams along.

mod answer;
mod blocks;
mod faults;
mod frames;
mod guard;
mod known_fields;
mod past;
mod request;
mod send;
mod serve;
mod session;
mod stream;
mod windows;

pub use self::{frames::PREFACE, known_fields::KnownFields, serve::serve, stream::Stream};
