//! Why TLS failed, in words: by an alert of either side (RFC 8446 section 6, RFC 5246 section 7.2) or by what the library
//! found wrong.

mod alerts;
#[cfg(test)]
mod tests;

pub use alerts::{Sender, SentAlert};

use super::NotAllowed;
use crate::{
    event::{By, brief},
    hello,
};
use alerts::{name_of, received};
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible, PeerMisbehaved};
use std::{fmt, io};

/// The other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client, which is shown a certificate and may show one.
    Client,
    /// A target, which shows a certificate.
    Target,
}

/// A failure of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened, without the alert. What the other end has chosen in it is at most 200 characters, and untrusted.
    pub what: String,
    /// The alert that told one end of it, where there was one.
    pub alert: Option<SentAlert>,
}

/// What went wrong outside of rustls' own handshake, with the alert that was sent of it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Broken {
    pub(super) error: Error,
    pub(super) sent: Option<AlertDescription>,
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::new(io::ErrorKind::InvalidData, broken)
    }
}

impl Failure {
    /// What an error of a stream or of a handshake tells; `None` where it is none of TLS.
    #[must_use]
    pub fn of(error: &io::Error, peer: Peer) -> Option<Self> {
        let inner = error.get_ref()?;
        let (error, sent) = match inner.downcast_ref::<Broken>() {
            Some(Broken { error, sent }) => (error, *sent),
            None => {
                let error = inner.downcast_ref::<Error>()?;
                (error, sent(error))
            }
        };
        let alert = match (sent, error) {
            (Some(alert), _) => Some((alert, Sender::Tapline)),
            (None, Error::AlertReceived(alert)) => Some((*alert, peer.sender())),
            _ => None,
        };
        let what = match error {
            Error::AlertReceived(alert) => received(*alert, peer),
            _ => found(error, peer),
        };
        let alert = alert.map(|(alert, sent_by)| SentAlert { code: u8::from(alert), name: name_of(alert), sent_by });
        Some(Self { what, alert })
    }

    /// What is found wrong before rustls is asked, and told by this alert.
    pub(crate) fn told(what: impl Into<String>, alert: hello::Alert) -> Self {
        let alert = AlertDescription::from(alert as u8);
        let alert = SentAlert { code: u8::from(alert), name: name_of(alert), sent_by: Sender::Tapline };
        Self { what: what.into(), alert: Some(alert) }
    }

    /// Whether the other end was told by an alert of ours, which it should be able to read.
    #[must_use]
    pub fn was_told(&self) -> bool {
        self.alert.as_ref().is_some_and(|alert| alert.sent_by == Sender::Tapline)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alert {
            Some(alert) => write!(f, "{} ({alert})", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Peer {
    /// The side that an end is blamed on, where it has TLS.
    #[must_use]
    pub fn of(by: By) -> Option<Self> {
        match by {
            By::Client => Some(Self::Client),
            By::Target => Some(Self::Target),
            _ => None,
        }
    }

    fn sender(self) -> Sender {
        match self {
            Self::Client => Sender::Client,
            Self::Target => Sender::Target,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Target => "target",
        })
    }
}

/// What was found wrong here.
fn found(error: &Error, peer: Peer) -> String {
    match error {
        Error::PeerIncompatible(why) => incompatible(why, peer),
        Error::InvalidCertificate(why) => certificate(why, peer),
        Error::NoCertificatesPresented => format!("{peer} sent no certificate, which it has to"),
        Error::NoApplicationProtocol => format!("{peer} offers no protocol by ALPN that is spoken here"),
        Error::DecryptError => format!("what {peer} sent cannot be decrypted: it was altered on the way, or encrypted with other keys"),
        Error::PeerSentOversizedRecord => format!("{peer} sent a record that is longer than TLS allows"),
        Error::InvalidMessage(what) => format!("{peer} sent what is no message of TLS: {what:?}"),
        Error::InappropriateMessage { got_type, .. } => format!("{peer} sent {got_type:?} where that has no place"),
        Error::InappropriateHandshakeMessage { got_type, .. } => format!("{peer} sent {got_type:?} where that has no place"),
        // What rustls says where the resolver has none.
        Error::General(what) if what == "no server certificate chain resolved" => "there is no certificate for this client".into(),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyWarningAlertsReceived) => format!("{peer} sent too many warnings"),
        Error::PeerMisbehaved(how) => format!("{peer} does not keep to TLS: {how:?}"),
        other => brief(&other.to_string()),
    }
}

fn incompatible(why: &PeerIncompatible, peer: Peer) -> String {
    let nothing = |what: &str| format!("no {what} in common with {peer}");
    match why {
        why if is_of_versions(why) => nothing("version of TLS"),
        PeerIncompatible::NoCipherSuitesInCommon => nothing("cipher suite"),
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NoEcPointFormatsInCommon => nothing("key exchange group"),
        PeerIncompatible::NoSignatureSchemesInCommon => format!("{} that the certificate's key can make", nothing("signature")),
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => nothing("signature for a client's certificate"),
        PeerIncompatible::NullCompressionRequired => nothing("compression (none is the only one that is safe)"),
        PeerIncompatible::KeyShareExtensionRequired => format!("{peer} speaks TLS 1.3 and sends no key share"),
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => format!("{peer} does not say which signatures it takes"),
        PeerIncompatible::NamedGroupsExtensionRequired => format!("{peer} does not say which groups it takes"),
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => format!("{peer} lacks the extended master secret (RFC 7627)"),
        other => format!("{peer} lacks what is needed here: {}", brief(&format!("{other:?}"))),
    }
}

/// Whether there is no common version of TLS.
fn is_of_versions(why: &PeerIncompatible) -> bool {
    matches!(
        why,
        PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
    )
}

fn certificate(why: &CertificateError, peer: Peer) -> String {
    let is = |what: &str| format!("the certificate of the {peer} {what}");
    match why {
        CertificateError::UnknownIssuer => is("leads to no CA that is trusted here"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => is("has expired"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => is("is not valid yet"),
        CertificateError::Revoked => is("was revoked"),
        CertificateError::NotValidForName => is("is for another name"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name".into() } else { brief(&presented.join(", ")) };
            is(&format!("is not for {}: it is for {names}", expected.to_str()))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => is("is for another use"),
        CertificateError::BadEncoding => is("is malformed"),
        CertificateError::BadSignature => is("or what was signed with it has a wrong signature"),
        CertificateError::ApplicationVerificationFailure => is("is not among those that are let in"),
        CertificateError::Other(other) if let Some(refused) = not_allowed(other) => refused.to_string(),
        other => is(&format!("is not taken: {}", brief(&other.to_string()))),
    }
}

/// A client whose names are not among those that are let in.
fn not_allowed(why: &OtherError) -> Option<&NotAllowed> {
    why.0.downcast_ref()
}

/// The alert that rustls sends with an error (`send_fatal_alert` in its sources); `None` where it sends none, or where that
/// is not certain.
pub(super) fn sent(error: &Error) -> Option<AlertDescription> {
    use AlertDescription as Alert;
    use PeerMisbehaved as Wrong;
    Some(match error {
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => Alert::UnexpectedMessage,
        Error::InvalidMessage(what) => (*what).into(),
        Error::InvalidCertificate(CertificateError::Other(why)) if not_allowed(why).is_some() => Alert::AccessDenied,
        Error::InvalidCertificate(why) => why.clone().into(),
        Error::NoCertificatesPresented => Alert::CertificateRequired,
        Error::NoApplicationProtocol => Alert::NoApplicationProtocol,
        Error::PeerSentOversizedRecord => Alert::RecordOverflow,
        // A Finished that does not fit is this error too, and decrypt_error: only a broken client sends one.
        Error::DecryptError => Alert::BadRecordMac,
        Error::General(what) if what == "no server certificate chain resolved" => Alert::AccessDenied,
        Error::PeerIncompatible(why) if is_of_versions(why) => Alert::ProtocolVersion,
        Error::PeerIncompatible(PeerIncompatible::NullCompressionRequired | PeerIncompatible::UncompressedEcPointsRequired) => {
            Alert::IllegalParameter
        }
        Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(_)) => Alert::EncryptedClientHelloRequired,
        Error::PeerIncompatible(_) => Alert::HandshakeFailure,
        Error::PeerMisbehaved(how) => match how {
            Wrong::MissingPskExtensionInSecondClientHello | Wrong::MissingPskModesExtension | Wrong::MissingKeyShare => {
                Alert::MissingExtension
            }
            Wrong::MissingBinderInPskExtension => Alert::DecodeError,
            Wrong::IncorrectBinder => Alert::DecryptError,
            Wrong::TooMuchEarlyDataReceived | Wrong::IllegalMiddleboxChangeCipherSpec | Wrong::KeyEpochWithPendingFragment => {
                Alert::UnexpectedMessage
            }
            Wrong::SelectedUnofferedCertCompression | Wrong::InvalidCertCompression => Alert::BadCertificate,
            Wrong::CipherSuiteDifferedOnRetry
            | Wrong::HandshakeHashVariedAfterRetry
            | Wrong::ServerNameMustContainOneHostName
            | Wrong::ResumptionAttemptedWithVariedEms
            | Wrong::OfferedIncorrectCompressions
            | Wrong::OfferedDuplicateKeyShares
            | Wrong::OfferedDuplicateCertificateCompressions
            | Wrong::EarlyDataAttemptedInSecondClientHello
            | Wrong::RefusedToFollowHelloRetryRequest
            | Wrong::PskExtensionWithMismatchedIdsAndBinders
            | Wrong::AttemptedDowngradeToTls12WhenTls13IsSupported
            | Wrong::InvalidKeyShare => Alert::IllegalParameter,
            _ => return None,
        },
        _ => return None,
    })
}
