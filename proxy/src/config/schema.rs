//! schema placeholder
pub fn text() -> String { String::new() }
