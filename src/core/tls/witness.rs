//! What is done for one handshake by those that the library asks: it does not tell afterwards.

use rustls::server::ProducesTickets;
use serde::Serialize;
use std::{cell::RefCell, future::Future, sync::Arc};

/// A certificate that was shown to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Where it is from: a file, or that it was made in memory.
    pub from: String,
    /// Why this one.
    pub why: &'static str,
}

/// What was done for one handshake.
#[derive(Clone, Debug, Default)]
pub struct Witnessed {
    /// The certificate that was chosen.
    pub certificate: Option<Shown>,
    /// Tickets that were made.
    pub tickets: u32,
}

tokio::task_local! {
    static WITNESS: RefCell<Witnessed>;
}

/// What a handshake comes to, and what was done for it on the way. The library asks for certificates and tickets while the
/// handshake is polled.
pub(crate) fn witnessed<T>(handshake: impl Future<Output = T>) -> impl Future<Output = (T, Witnessed)> {
    WITNESS.scope(RefCell::default(), async {
        let done = handshake.await;
        (done, WITNESS.with(RefCell::take))
    })
}

/// Tells which certificate was chosen for the handshake under way.
pub(crate) fn shown(from: impl Into<String>, why: &'static str) {
    tell(|witnessed| witnessed.certificate = Some(Shown { from: from.into(), why }));
}

fn tell(what: impl FnOnce(&mut Witnessed)) {
    // Nobody may want to know.
    let _ = WITNESS.try_with(|witnessed| what(&mut witnessed.borrow_mut()));
}

/// Tickets whose number is told to the handshake that they are for.
#[derive(Debug)]
pub(super) struct Counted(pub(super) Arc<dyn ProducesTickets>);

impl ProducesTickets for Counted {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ticket = self.0.encrypt(plain);
        if ticket.is_some() {
            tell(|witnessed| witnessed.tickets += 1);
        }
        ticket
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Ticketer;

    impl ProducesTickets for Ticketer {
        fn enabled(&self) -> bool {
            true
        }

        fn lifetime(&self) -> u32 {
            1
        }

        fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
            (!plain.is_empty()).then(|| plain.to_vec())
        }

        fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }
    }

    #[tokio::test]
    async fn each_handshake_has_its_own_witness() {
        let tickets = Counted(Arc::new(Ticketer));
        let handshake = async |from: &str, count: u32| {
            shown(from, "");
            for _ in 0..count {
                tokio::task::yield_now().await;
                tickets.encrypt(b"x");
            }
            // One that could not be made.
            tickets.encrypt(b"");
        };
        let (a, b) = tokio::join!(witnessed(handshake("a", 2)), witnessed(handshake("b", 3)));
        let told = |witnessed: Witnessed| (witnessed.certificate.unwrap().from, witnessed.tickets);
        assert_eq!((told(a.1), told(b.1)), (("a".to_owned(), 2), ("b".to_owned(), 3)));
        // Where nobody asks, nothing is told.
        handshake("c", 1).await;
    }
}
