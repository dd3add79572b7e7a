//! The core of tapline: accepting, reading names, dialing, relaying, balancing and scanning, as plain values in and
//! plain values out. It knows no command line and prints nothing; whatever is worth saying is an [`event::Event`].
#![forbid(unsafe_code)]

pub mod addr;
pub mod announced;
pub mod answer;
pub mod balance;
pub mod builtin;
pub mod capture;
pub mod certificate;
pub mod datagram;
pub mod descriptors;
pub mod dial;
pub mod event;
pub mod fault;
pub mod forward;
pub mod health;
pub mod hello;
pub mod host;
pub mod http;
pub mod identity;
pub mod idle;
pub mod input;
pub mod name;
pub mod opening;
pub mod peek;
pub mod pool;
pub mod proxy_header;
pub mod record;
pub mod relay;
pub mod reload;
pub mod route;
pub mod routes;
pub mod scan;
mod seldom;
pub mod server;
pub mod shutdown;
pub mod starttls;
pub mod stream;
pub mod tap;
pub mod terminate;
pub mod text;
pub mod tls;
mod watch;
