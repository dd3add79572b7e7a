//! What is not data: alerts, KeyUpdates, and what may not come any more. A client has only so many of each. Empty records
//! are not counted: they cost their sender as much.

use super::{Established, Keys, OVERHEAD, Reading, Wrong};
use rustls::{AlertDescription, ContentType, Error, InvalidMessage, PeerMisbehaved};

/// Handshake messages by their types (RFC 8446 section 4, RFC 5246 section 7.4).
const CLIENT_HELLO: u8 = 1;
const KEY_UPDATE: u8 = 24;

/// A KeyUpdate that asks for none in return (RFC 8446 section 4.6.3).
const UPDATE: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];
/// The same up to the byte that says whether one is asked for.
const UPDATE_START: &[u8] = &[KEY_UPDATE, 0, 0, 1];

/// How many of what does no good are still taken.
pub(super) struct Allowed {
    warnings: u8,
    key_updates: u8,
    renegotiations: u8,
    /// A handshake message of which more is to come.
    message: Vec<u8>,
    /// The answer to a KeyUpdate is held.
    answered: bool,
}

impl Default for Allowed {
    fn default() -> Self {
        Self { warnings: 4, key_updates: KEY_UPDATES, renegotiations: 1, message: Vec::new(), answered: false }
    }
}

/// KeyUpdates without data between them.
const KEY_UPDATES: u8 = 32;

impl Allowed {
    /// What was held is on its way.
    pub(super) fn nothing_held(&mut self) {
        self.answered = false;
    }
}

/// Takes one off what is allowed.
fn take_one(left: &mut u8, otherwise: PeerMisbehaved) -> Result<(), Wrong> {
    *left = left.checked_sub(1).ok_or_else(|| Wrong::new(otherwise, AlertDescription::UnexpectedMessage))?;
    Ok(())
}

impl Established {
    /// Takes the content of a record that holds no data.
    pub(super) fn take(&mut self, kind: ContentType, content: &[u8]) {
        let taken = match kind {
            // RFC 8446 section 5.1.
            ContentType::Alert | ContentType::ApplicationData if !self.allowed.message.is_empty() => {
                Err(Wrong::new(PeerMisbehaved::MessageInterleavedWithHandshakeMessage, AlertDescription::UnexpectedMessage))
            }
            ContentType::Alert => self.take_alert(content),
            ContentType::Handshake if self.opening.are_tls13() => self.take_handshake(content),
            ContentType::Handshake => self.refuse_renegotiation(content),
            _ => Err(Wrong::unexpected(kind)),
        };
        if let Err(wrong) = taken {
            self.fail(wrong);
        }
    }

    /// Whether data may come now. Without a byte it is none: it changes nothing.
    pub(super) fn take_data(&mut self, length: usize) -> bool {
        let may_come = self.allowed.message.is_empty();
        if may_come && length > 0 {
            self.allowed.key_updates = KEY_UPDATES;
            self.hurry = false;
        }
        may_come
    }

    fn take_alert(&mut self, content: &[u8]) -> Result<(), Wrong> {
        let &[level, alert] = content else {
            // RFC 8446 section 5.4.
            let is_empty = content.is_empty() && self.opening.are_tls13();
            let alert = if is_empty { AlertDescription::UnexpectedMessage } else { AlertDescription::DecodeError };
            return Err(Wrong::new(InvalidMessage::InvalidEmptyPayload, alert));
        };
        let alert = AlertDescription::from(alert);
        match (level, alert) {
            (1 | 2, AlertDescription::CloseNotify) => self.reading = Reading::Ended,
            // TLS 1.3 knows one warning besides (RFC 8446 section 6.1).
            (1, AlertDescription::UserCanceled) => take_one(&mut self.allowed.warnings, PeerMisbehaved::TooManyWarningAlertsReceived)?,
            (1, _) if !self.opening.are_tls13() => {
                take_one(&mut self.allowed.warnings, PeerMisbehaved::TooManyWarningAlertsReceived)?;
            }
            // The client has given up: it wants no answer.
            (2, _) => {
                self.reading = Reading::Failed(Error::AlertReceived(alert), None);
                self.closed = true;
            }
            (1, _) => return Err(Wrong::new(Error::AlertReceived(alert), AlertDescription::DecodeError)),
            _ => return Err(Wrong::new(Error::AlertReceived(alert), AlertDescription::IllegalParameter)),
        }
        Ok(())
    }

    /// TLS 1.3: of all handshake messages, only KeyUpdate may come from a client. It may come in pieces.
    fn take_handshake(&mut self, content: &[u8]) -> Result<(), Wrong> {
        if content.is_empty() {
            return Err(Wrong::new(InvalidMessage::InvalidEmptyPayload, AlertDescription::UnexpectedMessage));
        }
        let message = &mut self.allowed.message;
        // The keys change behind it: nothing may follow in the same record (RFC 8446 section 5.1).
        if message.len() + content.len() > UPDATE.len() {
            let error = if content[0] == KEY_UPDATE { PeerMisbehaved::KeyEpochWithPendingFragment.into() } else { unexpected(content[0]) };
            return Err(Wrong::new(error, AlertDescription::UnexpectedMessage));
        }
        message.extend_from_slice(content);
        if !UPDATE_START.starts_with(&message[..message.len().min(UPDATE_START.len())]) {
            return Err(Wrong::new(unexpected(message[0]), AlertDescription::UnexpectedMessage));
        }
        let Some(&asked) = message.get(UPDATE_START.len()) else { return Ok(()) };
        *message = Vec::new();
        take_one(&mut self.allowed.key_updates, PeerMisbehaved::TooManyKeyUpdateRequests)?;
        let internal = |error| Wrong::new(error, AlertDescription::InternalError);
        match asked {
            // One answer is enough for all that were asked for while it waits, and none goes behind close_notify.
            1 if !self.closed && !self.allowed.answered => {
                let mut record = [0; UPDATE.len() + OVERHEAD];
                let length = self.update_sealing_key(&mut record).map_err(internal)?;
                self.held.extend_from_slice(&record[..length]);
                self.allowed.answered = true;
            }
            0 | 1 => {}
            _ => return Err(Wrong::new(InvalidMessage::InvalidKeyUpdate, AlertDescription::IllegalParameter)),
        }
        let secrets = self.schedule.update_rx_secret().map_err(internal)?;
        self.opening = Keys::new(secrets, self.suite).map_err(internal)?;
        Ok(())
    }

    /// Says this as the last word: nothing that is written afterwards leaves, and no close_notify.
    pub(in crate::tls) fn refuse(&mut self, alert: AlertDescription) {
        self.hold_alert(2, alert);
        (self.hurry, self.closed) = (true, true);
    }

    /// Nothing more is read, and the client is told why, unless the last word was said.
    pub(super) fn fail(&mut self, Wrong { error, alert }: Wrong) {
        self.reading = Reading::Failed(error, (!self.closed).then_some(alert));
        self.hold_alert(2, alert);
        (self.hurry, self.closed) = (true, true);
    }

    /// Seals an alert that goes with what is sent next.
    pub(super) fn hold_alert(&mut self, level: u8, alert: AlertDescription) {
        if !self.closed {
            self.hold(ContentType::Alert, &[level, alert.into()]);
        }
    }

    /// Seals a short message that goes with what is sent next.
    fn hold(&mut self, kind: ContentType, message: &[u8]) {
        let end = self.held.len();
        self.held.resize(end + message.len() + OVERHEAD, 0);
        // Only a connection that has sealed more records than anyone can send has no number left.
        let length = self.sealing.seal(kind, message, &mut self.held[end..]).unwrap_or(0);
        self.held.truncate(end + length);
    }

    /// TLS 1.2: a client may ask once, and is told that there is no renegotiation (RFC 5246 section 7.2.2).
    fn refuse_renegotiation(&mut self, content: &[u8]) -> Result<(), Wrong> {
        match content.first() {
            Some(&CLIENT_HELLO) => {
                take_one(&mut self.allowed.renegotiations, PeerMisbehaved::TooManyRenegotiationRequests)?;
                self.hold_alert(1, AlertDescription::NoRenegotiation);
                self.hurry = true;
                Ok(())
            }
            _ => Err(Wrong::unexpected(ContentType::Handshake)),
        }
    }

    /// Seals a KeyUpdate into `out`, with the last number of the old key; what is sealed after it has a new one. Returns its
    /// length. TLS 1.2 has no such thing: there the connection fails before its key has sealed too much.
    pub(super) fn update_sealing_key(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let secrets = self.schedule.update_tx_secret()?;
        let length = self.sealing.seal(ContentType::Handshake, &UPDATE, out)?;
        self.sealing = Keys::new(secrets, self.suite)?;
        Ok(length)
    }
}

fn unexpected(got: u8) -> Error {
    Error::InappropriateHandshakeMessage { expect_types: vec![KEY_UPDATE.into()], got_type: got.into() }
}
