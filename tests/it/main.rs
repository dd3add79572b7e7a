//! Tests of the real program on real sockets, with nothing else installed.

mod bad_input;
mod demo;
mod lb4;
mod lb7;
mod listen;
mod proxy;
mod scan;
mod serving;
mod sni_peek;
mod sni_route;
mod support;
mod tls_terminate;
