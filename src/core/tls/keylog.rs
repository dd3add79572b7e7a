//! The secrets of TLS sessions, for those who are to decrypt a capture of them.

use crate::{tap::Tap, text::hex};
use bytes::Bytes;

/// Tells the secrets of every session, in the NSS key log format (draft-ietf-tls-keylogfile): `LABEL RANDOM SECRET` and a
/// line feed, the client's random and the secret in hexadecimal. Whoever reads them can read the sessions.
#[derive(Clone, Debug)]
pub struct KeyLog(Vec<Tap>);

impl KeyLog {
    /// Tells them to all of these, as [`crate::tap::What::Secrets`]; `None` where there is nobody to tell.
    #[must_use]
    pub fn new(taps: Vec<Tap>) -> Option<Self> {
        (!taps.is_empty()).then_some(Self(taps))
    }

    /// Waits until there is room for the secrets of a session: they come while nothing can wait.
    pub(super) async fn room(&self) {
        for tap in &self.0 {
            tap.room().await;
        }
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = line(label, client_random, secret);
        for tap in &self.0 {
            tap.secrets(line.clone());
        }
    }
}

fn line(label: &str, client_random: &[u8], secret: &[u8]) -> Bytes {
    format!("{label} {} {}\n", hex(client_random), hex(secret)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_label_the_random_and_the_secret() {
        assert_eq!(line("CLIENT_RANDOM", &[0, 0xab], &[0x1f; 3]), "CLIENT_RANDOM 00ab 1f1f1f\n");
    }
}
