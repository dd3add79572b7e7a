//! Finding open ports: targets times ports, lazily, so many at a time, each with a verdict that says what it rests on.

mod probe;
mod range;

pub use probe::{State, Verdict};
pub use range::{Hosts, HostsError, Ports, PortsError};

use crate::shutdown::Shutdown;
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// A scan.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The addresses.
    pub hosts: Hosts,
    /// The ports of each.
    pub ports: Ports,
    /// Probes under way at the same time.
    pub concurrency: NonZeroUsize,
    /// For one probe. The kernel repeats an unanswered SYN after 1 s (tcp_syn_retries, tcp(7)): below that, one lost
    /// packet hides a port.
    pub timeout: Duration,
    /// How often an unanswered port is asked again, each time with a new connection.
    pub retries: u32,
}

impl Scan {
    /// How many verdicts there will be.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.hosts.count() * self.ports.count()
    }

    /// Probes everything once, every host in turn; ends early where draining begins. The verdicts come in the order
    /// in which they are found, as fast as the receiver takes them.
    #[must_use]
    pub fn run(self, shutdown: &Shutdown) -> mpsc::Receiver<Verdict> {
        let (found, verdicts) = mpsc::channel(1024);
        let workers = u64::try_from(self.concurrency.get()).unwrap_or(u64::MAX).min(self.total());
        let scan = Arc::new(self);
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..workers {
            let (scan, next, found, shutdown) = (scan.clone(), next.clone(), found.clone(), shutdown.clone());
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = shutdown.draining() => {}
                    () = scan.work(&next, &found) => {}
                }
            });
        }
        verdicts
    }

    /// Takes one index after the other and probes what it stands for.
    async fn work(&self, next: &AtomicU64, found: &mpsc::Sender<Verdict>) {
        let hosts = self.hosts.count();
        loop {
            let index = next.fetch_add(1, Relaxed);
            // Hosts first: no host gets all of the load at once.
            let Some(port) = self.ports.nth(index / hosts) else { return };
            let Some(ip) = self.hosts.nth(index % hosts) else { return };
            let verdict = probe::probe((ip, port).into(), self.timeout, self.retries).await;
            if found.send(verdict).await.is_err() {
                return;
            }
        }
    }
}
