//! Tests against programs from outside, in the places that they have in the field: clients, servers and witnesses.
//! `cargo test --test outside` runs them; where a program is missing, they fail. What takes too long for every run of the
//! tests is here, too (`relay.rs`).
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(unreachable_pub, reason = "`pub` says what the test files use of the support")]

mod browser;
mod captures;
mod certificates;
mod clients;
mod closing;
mod curl;
mod datagrams;
mod hellos;
mod listen;
mod openssl;
mod proxy_header;
mod readme;
mod relay;
mod routes;
mod scanners;
mod servers;
mod starttls;
#[path = "../it/support/mod.rs"]
mod support;
mod targets;
#[allow(dead_code, reason = "the other tests use more of it")]
#[path = "../it/tls.rs"]
mod tls;
mod top;
mod tshark;
mod witnesses;
