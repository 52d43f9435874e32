//! End-to-end tests: the real proxy, the real mock backend and origins that misbehave on purpose,
//! over real sockets. One file a capability.

mod support;

