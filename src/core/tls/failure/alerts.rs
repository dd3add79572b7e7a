//! The alerts of TLS and what they mean (RFC 8446 section 6.2; those of older versions: RFC 5246 section 7.2.2; RFC 6066
//! section 9).

use super::Peer;
use crate::hello;
use rustls::AlertDescription;
use serde::Serialize;
use std::{borrow::Cow, fmt};

/// An alert that one end has sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentAlert {
    /// Its number.
    pub code: u8,
    /// Its name in the registry of IANA, such as `unknown_ca`; `unknown` where it has none.
    pub name: Cow<'static, str>,
    /// Who has sent it.
    pub sent_by: Sender,
}

impl SentAlert {
    /// Whether it is this one, and this process has sent it.
    #[must_use]
    pub fn is_sent(&self, alert: hello::Alert) -> bool {
        self.sent_by == Sender::Tapline && self.code == alert as u8
    }
}

/// Who has sent an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// The client.
    Client,
    /// The target.
    Target,
    /// This process.
    Tapline,
}

impl fmt::Display for SentAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.sent_by == Sender::Tapline { "sent" } else { "received" };
        write!(f, "alert {} {} {how}", self.code, self.name)
    }
}

/// The name of an alert in the registry of IANA.
pub(super) fn name_of(alert: AlertDescription) -> Cow<'static, str> {
    use AlertDescription as Alert;
    Cow::Borrowed(match alert {
        Alert::CloseNotify => "close_notify",
        Alert::UnexpectedMessage => "unexpected_message",
        Alert::BadRecordMac => "bad_record_mac",
        Alert::DecryptionFailed => "decryption_failed",
        Alert::RecordOverflow => "record_overflow",
        Alert::DecompressionFailure => "decompression_failure",
        Alert::HandshakeFailure => "handshake_failure",
        Alert::NoCertificate => "no_certificate",
        Alert::BadCertificate => "bad_certificate",
        Alert::UnsupportedCertificate => "unsupported_certificate",
        Alert::CertificateRevoked => "certificate_revoked",
        Alert::CertificateExpired => "certificate_expired",
        Alert::CertificateUnknown => "certificate_unknown",
        Alert::IllegalParameter => "illegal_parameter",
        Alert::UnknownCA => "unknown_ca",
        Alert::AccessDenied => "access_denied",
        Alert::DecodeError => "decode_error",
        Alert::DecryptError => "decrypt_error",
        Alert::ExportRestriction => "export_restriction",
        Alert::ProtocolVersion => "protocol_version",
        Alert::InsufficientSecurity => "insufficient_security",
        Alert::InternalError => "internal_error",
        Alert::InappropriateFallback => "inappropriate_fallback",
        Alert::UserCanceled => "user_canceled",
        Alert::NoRenegotiation => "no_renegotiation",
        Alert::MissingExtension => "missing_extension",
        Alert::UnsupportedExtension => "unsupported_extension",
        Alert::CertificateUnobtainable => "certificate_unobtainable",
        Alert::UnrecognisedName => "unrecognized_name",
        Alert::BadCertificateStatusResponse => "bad_certificate_status_response",
        Alert::BadCertificateHashValue => "bad_certificate_hash_value",
        Alert::UnknownPSKIdentity => "unknown_psk_identity",
        Alert::CertificateRequired => "certificate_required",
        Alert::NoApplicationProtocol => "no_application_protocol",
        Alert::EncryptedClientHelloRequired => "ech_required",
        _ => "unknown",
    })
}

/// What an alert of the other end means. Those about certificates are about the one that it was shown.
pub(super) fn received(alert: AlertDescription, peer: Peer) -> String {
    use AlertDescription as Alert;
    let says = match alert {
        Alert::CloseNotify => "left in the middle of the handshake",
        Alert::UnexpectedMessage => "got a message that it did not expect",
        Alert::BadRecordMac | Alert::DecryptionFailed => {
            "cannot decrypt what it was sent: it was altered on the way, or encrypted with other keys"
        }
        Alert::RecordOverflow => "got a record that is longer than it takes",
        Alert::DecompressionFailure => "cannot decompress what it was sent",
        Alert::HandshakeFailure => "finds nothing that both speak: no cipher suite, key exchange group or signature",
        Alert::NoCertificate => "has no certificate to show",
        Alert::BadCertificate => "does not accept this certificate: it is malformed, wrongly signed or for another name",
        Alert::UnsupportedCertificate => "does not accept a certificate of this kind or for this use",
        Alert::CertificateRevoked => "does not accept this certificate: it was revoked",
        Alert::CertificateExpired => "does not accept this certificate: by its clock, it has expired or is not valid yet",
        // Browsers send it where their user is asked whether to go on.
        Alert::CertificateUnknown => "does not accept this certificate, for a reason of its own",
        Alert::IllegalParameter => "got a value that has no place where it stood",
        Alert::UnknownCA => "does not trust this certificate: it leads to no CA that it knows",
        Alert::AccessDenied => "lets nobody in with this certificate",
        Alert::DecodeError => "cannot read what it was sent",
        Alert::DecryptError => "cannot verify a signature or a key of the handshake",
        Alert::ExportRestriction => "is bound by export restrictions",
        Alert::ProtocolVersion => "does not speak this version of TLS",
        Alert::InsufficientSecurity => "asks for stronger ciphers than there are",
        Alert::InternalError => "failed for reasons that have nothing to do with this connection",
        Alert::InappropriateFallback => "speaks a newer version of TLS than it was asked for, and takes that for an attack",
        Alert::UserCanceled => "gave the handshake up",
        Alert::NoRenegotiation => "does not begin a second handshake",
        Alert::MissingExtension => "misses an extension",
        Alert::UnsupportedExtension => "got an extension that it did not ask for",
        Alert::CertificateUnobtainable => "cannot get the certificate from where it was told to",
        Alert::UnrecognisedName => "knows no server of this name",
        Alert::BadCertificateStatusResponse => "does not accept what was said of the certificate's revocation",
        Alert::BadCertificateHashValue => "got another certificate than the one it was told of",
        Alert::UnknownPSKIdentity => "does not know this pre-shared key",
        Alert::CertificateRequired => "asks for a certificate, and got none",
        Alert::NoApplicationProtocol => "speaks none of the protocols that were offered by ALPN",
        Alert::EncryptedClientHelloRequired => "asks for an encrypted hello",
        _ => "failed for a reason that has no name",
    };
    format!("{peer} {says}")
}
