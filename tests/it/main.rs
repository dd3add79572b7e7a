//! Tests of the real program on real sockets, with nothing else installed.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(unreachable_pub, reason = "`pub` says what the test files use of the support")]

mod bad_input;
mod control;
mod core;
mod demo;
mod lb4;
mod lb7;
mod listen;
mod metrics;
mod packets;
mod proxy;
mod proxy_header;
mod recordings;
mod routes;
mod scan;
mod serving;
mod sni_peek;
mod sni_route;
mod sources;
mod support;
mod tls;
mod tls_terminate;
