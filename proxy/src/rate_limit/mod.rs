//! How many requests those may make who have something in common.

pub mod gcra;
pub mod table;
