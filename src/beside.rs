//! Who is answered beside the traffic: control while running, and figures.

use crate::{report::Reporter, serve::Session};
use std::sync::{Arc, OnceLock};
use tapline::{
    addr::ListenAddr,
    connections::Connections,
    control::{Control, Pools, api::Api},
    event::{Beside, Event},
    metrics::{Metrics, Program},
    page::{Page, Serving},
};

/// What is known of the command.
pub struct Known {
    pub command: &'static str,
    pub pools: Arc<dyn Pools>,
    /// Whether connections can be reset while they go on.
    pub cuts: bool,
}

/// What was bound, before it answers.
#[derive(Default)]
pub struct Bound {
    admin: Option<(Page, Api)>,
    metrics: Option<(Page, Metrics)>,
}

/// What answers, until it is stopped.
#[must_use]
pub struct Answering(Vec<Serving>);

/// Binds what was asked for; the session answers from when it serves.
pub async fn bind(known: Known, admin: Option<&ListenAddr>, metrics: Option<&ListenAddr>, session: &Session) -> anyhow::Result<()> {
    let mut bound = Bound::default();
    if admin.is_none() && metrics.is_none() {
        return Ok(());
    }
    let Known { command, pools, cuts } = known;
    // The bytes of open connections are looked up when somebody asks.
    let connections = session.connections.get_or_init(Connections::default);
    if let Some(addr) = admin {
        let page = session.preparing(Page::bind(addr)).await??;
        let control = Control::new(pools.clone(), connections.clone(), session.reporter.events(), cuts);
        bound.admin = Some((page, Api { control, command }));
    }
    if let Some(addr) = metrics {
        let page = session.preparing(Page::bind(addr)).await??;
        let program = Own { reporter: session.reporter.clone(), limit: session.limit.clone() };
        bound.metrics = Some((page, Metrics::new(command, pools, connections.clone(), session.counting().clone(), program)));
    }
    session.set_beside(bound);
    Ok(())
}

impl Bound {
    /// Answers from now on, and says where.
    pub fn start(self, session: &Session) -> Answering {
        let mut answering = Vec::new();
        let say = |what, page: &Page| session.reporter.events().emit(Event::Beside { what, addr: page.addr().clone() });
        if let Some((page, api)) = self.admin {
            say(Beside::Admin, &page);
            answering.push(page.serve(api));
        }
        if let Some((page, metrics)) = self.metrics {
            say(Beside::Metrics, &page);
            answering.push(page.serve(metrics));
        }
        Answering(answering)
    }
}

impl Answering {
    /// Stops, once the traffic has.
    pub async fn stop(self) {
        for serving in self.0 {
            serving.stop().await;
        }
    }
}

struct Own {
    reporter: Reporter,
    limit: Arc<OnceLock<usize>>,
}

impl Program for Own {
    fn dropped_events(&self) -> u64 {
        self.reporter.dropped()
    }

    fn most_connections(&self) -> Option<u64> {
        self.limit.get().map(|most| *most as u64)
    }
}
