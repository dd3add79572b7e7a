//! The timeouts of a relay: for the pair, re-armed by any byte of either direction.

use super::{Timeouts, pump::Ends};
use crate::{event::Traffic, idle::Silence, stream::Stream};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

pin_project! {
    pub(super) struct Watch {
        timeouts: Timeouts,
        client: Arc<Traffic>,
        target: Arc<Traffic>,
        #[pin]
        silence: Silence,
    }
}

impl Watch {
    pub(super) fn new(client: &Stream, target: &Stream, timeouts: Timeouts) -> Self {
        let shortest = timeouts.idle.into_iter().chain(timeouts.half_close).min();
        // Without any limit it looks once in a while for nothing.
        let silence = Silence::new(shortest.unwrap_or(Duration::from_hours(1)), 0);
        Self { timeouts, client: client.traffic().clone(), target: target.traffic().clone(), silence }
    }

    /// Completes when nothing passed for as long as the timeout says that holds at that moment.
    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, ends: &Ends) -> Poll<()> {
        let this = self.project();
        let limit = || if ends.half_closed() { this.timeouts.half_close } else { this.timeouts.idle };
        // The end of a direction counts as traffic: the other timeout starts with it.
        this.silence.poll(cx, limit, || this.client.total() + this.target.total() + u64::from(ends.half_closed()))
    }
}
