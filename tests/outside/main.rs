//! Tests against programs from outside, in the places that they have in the field: clients, servers and witnesses.
//! `cargo test --test outside` runs them; where a program is missing, they fail.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(unreachable_pub, reason = "`pub` says what the test files use of the support")]

mod curl;
mod openssl;
mod readme;
mod servers;
#[path = "../it/support.rs"]
mod support;
mod witnesses;
