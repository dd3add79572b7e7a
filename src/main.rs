//! tapline: networking tools for TCP, TLS and HTTP. See `tapline --help`.

#![allow(unreachable_pub, reason = "in a binary `pub` says what other modules use; nothing is reachable from outside")]

mod args;
mod balancing;
mod beside;
mod commands;
mod console;
#[cfg(test)]
mod documents;
mod identity;
mod report;
mod serve;
mod top;
mod watching;

use args::Cli;
use clap::Parser;
use report::Reporter;
use serve::Session;
use std::process::ExitCode;
use tapline::shutdown::Signals;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for every TLS user of the process, before anything asks for it.
    let _ = tapline::tls::provider();
    // One event loop for this thread; serving adds one for each other CPU. Measured against one runtime whose threads
    // take tasks from each other: up to a seventh less CPU for a short connection, the same for kept ones.
    let (runtime, built) = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => (runtime, Ok(())),
        // Without descriptors one can still wait until it is said.
        Err(error) => (Builder::new_current_thread().enable_time().build().expect("it takes no descriptor"), Err(error)),
    };
    let session = Session::new(Reporter::start(&cli.output));
    let code = runtime.block_on(async {
        let outcome = match built.and_then(|()| Signals::install()) {
            Ok(signals) => {
                let asked = session.shutdown.clone();
                tokio::spawn(async move { signals.drive(&asked).await });
                cli.command.run(&session).await
            }
            Err(error) => Err(error.into()),
        };
        session.reporter.finish(outcome, session.hurried()).await
    });
    // Tasks that are left serve nobody; a blocked resolver thread must not hold the exit up.
    runtime.shutdown_background();
    code
}
