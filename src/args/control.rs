//! The flags that let others look at a command, and change it, while it runs.

use crate::{
    beside::{self, Known},
    serve::Session,
};
use clap::Args;
use std::sync::Arc;
use tapline::{addr::ListenAddr, control::Pools, page::for_this_machine_alone};

/// Figures.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Control")]
pub struct Figures {
    /// Figures for Prometheus at GET /metrics here: of each target, and of the process (docs/metrics.md)
    ///
    /// A port alone is of loopback; :PORT is of every interface, where everybody may read the names of targets.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<ListenAddr>,
}

/// Control and figures.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Control")]
pub struct Control {
    /// Take control while running: list, drain, ready, weight, add and remove targets by `tapline ctl ADDR` or HTTP
    /// (docs/admin.md), at a Unix socket of its owner's or a port of loopback
    #[arg(long, value_name = "ADDR", value_parser = private)]
    admin: Option<ListenAddr>,
    #[command(flatten)]
    figures: Figures,
}

impl Figures {
    /// Binds what was asked for; nobody is answered before the traffic is served.
    pub async fn bind(&self, command: &'static str, pools: impl Pools, session: &Session) -> anyhow::Result<()> {
        let known = Known { command, pools: Arc::new(pools), cuts: false };
        beside::bind(known, None, self.metrics.as_ref(), session).await
    }
}

impl Control {
    /// Binds what was asked for; nobody is answered before the traffic is served. `cuts` tells whether connections can be reset while
    /// they go on.
    pub async fn bind(&self, command: &'static str, pools: impl Pools, cuts: bool, session: &Session) -> anyhow::Result<()> {
        let known = Known { command, pools: Arc::new(pools), cuts };
        beside::bind(known, self.admin.as_ref(), self.figures.metrics.as_ref(), session).await
    }

    /// Whether targets can be drained.
    pub fn is_controlled(&self) -> bool {
        self.admin.is_some()
    }
}

fn private(text: &str) -> Result<ListenAddr, String> {
    let addr: ListenAddr = text.parse().map_err(|error: tapline::addr::AddrError| error.to_string())?;
    let hint = "write unix:/PATH, or a port of loopback; from elsewhere, come by ssh -L";
    for_this_machine_alone(&addr).map(|()| addr).map_err(|error| format!("{error}; {hint}"))
}
