//! What all serving commands share: limits, signals, COMMAND, exit statuses, the two streams.

mod command;
mod contract;
mod drain;
mod limits;
mod streams;

pub use streams::{HELLO, listening};
