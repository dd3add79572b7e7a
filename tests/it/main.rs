//! Tests of the real program on real sockets, with nothing else installed.

mod proxy;
mod support;
