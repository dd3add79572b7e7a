//! A client's body on its way to a backend, watched: where it stops, it is known which side stopped it.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// The body of a request.
#[derive(Debug)]
pub(super) struct Upload {
    body: Incoming,
    pace: Arc<Pace>,
}

/// How a body gets on.
#[derive(Debug, Default)]
pub(super) struct Pace {
    frames: AtomicU64,
    starved: AtomicBool,
}

impl Pace {
    /// How much was passed on so far; that it changes is what counts.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// The client owes the next bytes. Else the backend has to read what is there, or to answer.
    pub(super) fn is_starved(&self) -> bool {
        self.starved.load(Relaxed)
    }
}

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, pace: Arc::default() }
    }

    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.pace.starved.store(frame.is_pending(), Relaxed);
        if frame.is_ready() {
            self.pace.frames.fetch_add(1, Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
