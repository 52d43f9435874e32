//! temporary
#[path = "../e2e/support/mod.rs"]
mod support;
