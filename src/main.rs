//! tapline: networking tools for TCP, TLS and HTTP. See `tapline --help`.

#![allow(unreachable_pub, reason = "in a binary `pub` says what other modules use; nothing is reachable from outside")]

mod args;
mod commands;
#[cfg(test)]
mod documents;
mod report;
mod serve;

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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
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
                    .run(&serve::Session { reporter: reporter.clone(), shutdown })
                    .await
                    .unwrap_or_else(|error| reporter.refuse(&error))
            }
            Err(error) => reporter.refuse(&error.into()),
        };
        reporter.finish().await;
        code
    });
    // Tasks that are left serve nobody; a blocked resolver thread must not hold the exit up.
    runtime.shutdown_background();
    code
}
