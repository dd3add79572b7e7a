//! The commands. A new one is a file and two lines here.

mod ctl;
mod demo;
mod lb4;
mod lb7;
mod listen;
mod proxy;
mod scan;
mod sni_peek;
mod sni_route;
mod tls_terminate;

use crate::serve::Session;
use std::process::ExitCode;

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident($module:ident::$args:ident),)*) => {
        #[derive(clap::Subcommand)]
        pub enum Command { $($(#[$doc])* $name($module::$args),)* }

        impl Command {
            /// Runs the command to its exit status; an error means that it could not start.
            pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
                match self { $(Self::$name(args) => args.run(session).await,)* }
            }
        }
    };
}

commands! {
    Listen(listen::Listen),
    Proxy(proxy::Proxy),
    SniPeek(sni_peek::SniPeek),
    SniRoute(sni_route::SniRoute),
    TlsTerminate(tls_terminate::TlsTerminate),
    Lb4(lb4::Lb4),
    Lb7(lb7::Lb7),
    Scan(scan::Scan),
    Ctl(ctl::Ctl),
    Demo(demo::Demo),
}
