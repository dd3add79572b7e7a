//! PostgreSQL: a client that wants TLS sends SSLRequest and waits for one byte; one that was told so beforehand
//! (`sslnegotiation=direct`) sends its hello at once.

use super::{Next, client_failed, client_io, from_client, from_target, unexpected};
use crate::{event::End, stream::Stream};
use std::io;
use tokio::io::AsyncWriteExt;

/// Its length, then its code, 80877103.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The same for encryption by GSSAPI, 80877104, which libpq asks for first where it has a ticket.
pub(crate) const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// What a client asks for before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Ssl,
    Gss,
    /// Neither of these: a hello, a startup message, anything.
    Another,
}

pub(super) async fn with_client(stream: &mut Stream) -> Result<Next, End> {
    let mut may_ask_for_gss = true;
    loop {
        match from_client(stream, SSL_REQUEST.len(), request).await?.unwrap_or(Request::Another) {
            Request::Ssl => {
                // What came with it in clear is no part of the TLS that follows (CVE-2021-23214).
                if stream.head().len() > SSL_REQUEST.len() {
                    return Err(client_failed("bytes after SSLRequest that did not wait for the answer"));
                }
                stream.skip_head(SSL_REQUEST.len());
                stream.write_all(b"S").await.map_err(|error| client_io(&error))?;
                return Ok(Next::Hello);
            }
            Request::Gss if may_ask_for_gss => {
                may_ask_for_gss = false;
                if stream.head().len() > GSSENC_REQUEST.len() {
                    return Err(client_failed("bytes after GSSENCRequest that did not wait for the answer"));
                }
                stream.skip_head(GSSENC_REQUEST.len());
                stream.write_all(b"N").await.map_err(|error| client_io(&error))?;
            }
            Request::Gss => return Err(client_failed("GSSENCRequest a second time")),
            Request::Another => return Ok(Next::Anything),
        }
    }
}

/// The request that the bytes begin with; `None` asks for more.
fn request(bytes: &[u8]) -> Option<Request> {
    if bytes.starts_with(&SSL_REQUEST) {
        return Some(Request::Ssl);
    }
    if bytes.starts_with(&GSSENC_REQUEST) {
        return Some(Request::Gss);
    }
    let possible = [SSL_REQUEST, GSSENC_REQUEST].iter().any(|request| request.starts_with(bytes));
    (!possible).then_some(Request::Another)
}

pub(super) async fn with_target(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(&SSL_REQUEST).await?;
    match from_target(stream, 1, |bytes| bytes.first().copied()).await? {
        b'S' if stream.head().len() == 1 => {
            stream.skip_head(1);
            Ok(())
        }
        b'S' => Err(unexpected("bytes after its consent to TLS that did not wait for the hello")),
        b'N' => Err(unexpected("speaks no TLS: it answered SSLRequest with N")),
        b'E' => Err(unexpected("answered SSLRequest with an error")),
        other => Err(unexpected(format_args!("answered SSLRequest with the byte {other:#04x}, which is not PostgreSQL"))),
    }
}

/// An ErrorResponse: the severity, the code invalid_authorization_specification, which servers give for connections that
/// have to be encrypted, and a message.
pub(crate) fn error(message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C28000\0M{message}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_awaited_while_it_may_be_one_and_no_longer() {
        for (whole, asked) in [(SSL_REQUEST, Request::Ssl), (GSSENC_REQUEST, Request::Gss)] {
            for end in 0..8 {
                assert_eq!(request(&whole[..end]), None);
            }
            assert_eq!(request(&whole), Some(asked));
        }
        for other in [&b"\x16"[..], b"\0\0\0\x09", b"\0\0\0\x08\x04\xd2\x16\x2e", b"\0\0\0\x29\0\x03", b"G"] {
            assert_eq!(request(other), Some(Request::Another), "{other:?}");
        }
    }

    #[test]
    fn an_error_has_the_length_that_it_says() {
        let error = error("why");
        assert_eq!(error[..5], [b'E', 0, 0, 0, u8::try_from(error.len() - 1).unwrap()]);
    }
}
