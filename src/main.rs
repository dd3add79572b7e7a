//! tapline: networking tools for TCP, TLS and HTTP. See `tapline --help`.

#![allow(unreachable_pub, reason = "in a binary `pub` says what other modules use; nothing is reachable from outside")]

mod args;
mod commands;
mod console;
#[cfg(test)]
mod documents;
mod identity;
mod report;
mod serve;
mod watching;

use args::Cli;
use clap::Parser;
use report::Reporter;
use std::process::ExitCode;
use tapline::shutdown::{Shutdown, Signals};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for every TLS user of the process, before anything asks for it.
    let _ = tapline::tls::provider();
    let reporter = Reporter::start(&cli.output);
    // One event loop for this thread; serving adds one for each other CPU. Measured against one runtime whose threads
    // take tasks from each other: up to a seventh less CPU for a short connection, the same for kept ones.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return reporter.refuse(&error.into()),
    };
    let code = runtime.block_on(async {
        let shutdown = Shutdown::new();
        let code = match Signals::install() {
            Ok(signals) => {
                let asked = shutdown.clone();
                tokio::spawn(async move { signals.drive(&asked).await });
                cli.command
                    .run(&serve::Session { reporter: reporter.clone(), shutdown: shutdown.clone() })
                    .await
                    .unwrap_or_else(|error| reporter.refuse(&error))
            }
            Err(error) => reporter.refuse(&error.into()),
        };
        reporter.finish(shutdown.aborting()).await;
        code
    });
    // Tasks that are left serve nobody; a blocked resolver thread must not hold the exit up.
    runtime.shutdown_background();
    code
}
