mod messages;

use super::*;
use crate::tls::{handshake, provider};
use rustls::{
    ClientConfig, ClientConnection, PeerMisbehaved, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use std::{
    future::poll_fn,
    io::{Read, Write},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Both ends of connections with one certificate.
struct Ends {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion, suite: Option<SupportedCipherSuite>) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        let mut server = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
        server.enable_secret_extraction = true;
        server.send_tls13_tickets = 1;
        server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let mut crypto = aws_lc_rs::default_provider();
        crypto.cipher_suites.retain(|own| suite.is_none_or(|suite| *own == suite));
        let builder = ClientConfig::builder_with_provider(crypto.into()).with_protocol_versions(&[version]).unwrap();
        let mut client = builder.with_root_certificates(roots).with_no_client_auth();
        client.enable_secret_extraction = true;
        Self { server: server.into(), client: client.into() }
    }

    /// A client and a server after their handshake.
    async fn connect(&self) -> (Client, Established) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = Stream::from(listener.accept().await.unwrap().0);
        let tls = ClientConnection::new(self.client.clone(), "localhost".try_into().unwrap()).unwrap();
        let mut client = Client { tcp, tls };
        let (server, ()) = tokio::join!(handshake::accept(self.server.clone(), None, accepted), client.shake_hands());
        (client, server.unwrap())
    }
}

async fn tls13() -> (Client, Established) {
    Ends::new(&TLS13, None).connect().await
}

async fn tls12() -> (Client, Established) {
    Ends::new(&TLS12, None).connect().await
}

/// The client, by rustls.
struct Client {
    tcp: TcpStream,
    tls: ClientConnection,
}

impl Client {
    async fn shake_hands(&mut self) {
        while self.tls.is_handshaking() {
            self.flush().await;
            if self.tls.is_handshaking() {
                self.take().await.unwrap();
            }
        }
        self.flush().await;
    }

    /// Takes the records that are to be sent.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    async fn flush(&mut self) {
        let records = self.records();
        self.tcp.write_all(&records).await.unwrap();
    }

    /// Reads once, also of several records. Returns how many bytes.
    async fn take(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 100_000];
        let length = self.tcp.read(&mut buffer).await?;
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest)?;
            self.tls.process_new_packets().map_err(invalid)?;
            if !self.tls.wants_read() {
                break;
            }
        }
        assert!(rest.is_empty(), "a test that receives more must take it out before");
        Ok(length)
    }

    async fn send(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = self.tls.writer().write(data).unwrap();
            data = &data[taken..];
            self.flush().await;
        }
    }

    /// Reads exactly so many bytes of data. rustls stops reading while it has some.
    async fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        let (mut at, mut records, mut buffer) = (0, Vec::new(), vec![0; 100_000]);
        while at < length {
            match self.tls.reader().read(&mut data[at..]) {
                Ok(read) => at += read,
                Err(_) if !records.is_empty() => {
                    let mut rest = &records[..];
                    self.tls.read_tls(&mut rest).unwrap();
                    self.tls.process_new_packets().unwrap();
                    let left = rest.len();
                    records.drain(..records.len() - left);
                }
                Err(_) => {
                    let read = self.tcp.read(&mut buffer).await.unwrap();
                    assert!(read > 0, "ended after {at} of {length} bytes");
                    records.extend_from_slice(&buffer[..read]);
                }
            }
        }
        assert!(records.is_empty(), "more came than was expected");
        data
    }

    /// What the client hears instead of data.
    async fn refusal(&mut self) -> rustls::Error {
        loop {
            match self.take().await {
                Ok(0) => panic!("an end without an alert"),
                Ok(_) => {}
                Err(error) => return tls_error(&error),
            }
        }
    }

    /// The keys, to say what rustls would not.
    fn take_over(self) -> Liar {
        let suite = self.tls.negotiated_cipher_suite().unwrap();
        let secrets = self.tls.dangerous_extract_secrets().unwrap();
        Liar { tcp: self.tcp, sealing: Keys::new(secrets.tx, suite).unwrap(), opening: Keys::new(secrets.rx, suite).unwrap() }
    }
}

/// A client that says what it likes.
struct Liar {
    tcp: TcpStream,
    sealing: Keys,
    opening: Keys,
}

impl Liar {
    async fn say(&mut self, kind: ContentType, content: &[u8]) {
        let mut record = vec![0; content.len() + OVERHEAD];
        let length = self.sealing.seal(kind, content, &mut record).unwrap();
        self.tcp.write_all(&record[..length]).await.unwrap();
    }

    async fn hear(&mut self) -> (ContentType, Vec<u8>) {
        let mut record = vec![0; 5];
        self.tcp.read_exact(&mut record).await.unwrap();
        let length = record::length(&record).unwrap().unwrap();
        record.resize(length, 0);
        self.tcp.read_exact(&mut record[5..]).await.unwrap();
        let mut out = vec![0; length];
        let (kind, length) = self.opening.open(&record, &mut out).unwrap();
        out.truncate(length);
        (kind, out)
    }
}

/// What went wrong, as this end or a client of rustls tells it.
fn tls_error(error: &io::Error) -> rustls::Error {
    let inner = error.get_ref().unwrap_or_else(|| panic!("{error}"));
    inner.downcast_ref::<Broken>().map_or_else(|| inner.downcast_ref::<rustls::Error>().unwrap().clone(), |broken| broken.error.clone())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Reads once, with a large buffer.
async fn read_once(server: &mut Established) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 80 * 1024];
    let length = server.read(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}

#[tokio::test]
async fn data_of_any_length_passes_both_ways_with_every_cipher() {
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        if suite.suite().as_str().is_some_and(|name| name.contains("_RSA_")) {
            continue;
        }
        let version = if suite.tls13().is_some() { &TLS13 } else { &TLS12 };
        let (mut client, mut server) = Ends::new(version, Some(*suite)).connect().await;
        for length in [1, 2, 16_383, 16_384, 16_385, 81_920, 81_921, 300_000] {
            let data = pattern(length);
            let mut got = vec![0; length];
            let (read, ()) = tokio::join!(server.read_exact(&mut got), client.send(&data));
            read.unwrap();
            assert!(got == data, "{suite:?}: {length} bytes up");
            let (written, got) = tokio::join!(server.write_all(&data), client.receive(length));
            written.unwrap();
            assert!(got == data, "{suite:?}: {length} bytes down");
        }
    }
}

#[tokio::test]
async fn records_may_be_cut_anywhere_and_read_byte_by_byte() {
    let (mut client, mut server) = tls13().await;
    let data = pattern(40_000);
    let mut records = Vec::new();
    for part in data.chunks(9_000) {
        client.tls.writer().write_all(part).unwrap();
        records.extend(client.records());
    }
    let (first, rest) = records.split_at(400);
    let send = async {
        for byte in first {
            client.tcp.write_all(std::slice::from_ref(byte)).await.unwrap();
            tokio::task::yield_now().await;
        }
        for part in rest.chunks(777) {
            client.tcp.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let mut got = Vec::new();
        while got.len() < data.len() {
            let mut byte = [0];
            assert_eq!(server.read(&mut byte).await.unwrap(), 1);
            got.push(byte[0]);
        }
        got
    };
    let (got, ()) = tokio::join!(read, send);
    assert!(got == data);
    assert!(server.received.capacity() == 0 && server.ready.is_empty() && server.owed.is_none(), "an idle connection holds a buffer");
}

#[tokio::test]
async fn many_records_are_read_at_once_into_one_buffer() {
    let (mut client, mut server) = tls13().await;
    let data = pattern(4 * MOST_PLAIN);
    client.send(&data).await;
    // All of it is there: loopback delivers before write(2) returns.
    assert!(read_once(&mut server).await.unwrap() == data);
    assert_eq!(server.received.capacity(), 0);
}

#[tokio::test]
async fn pieces_of_a_vectored_write_share_a_record() {
    let (client, mut server) = tls13().await;
    let mut liar = client.take_over_after_tickets(&mut server).await;
    let pieces = [io::IoSlice::new(b"one"), io::IoSlice::new(b""), io::IoSlice::new(b"two")];
    assert_eq!(server.write_vectored(&pieces).await.unwrap(), 6);
    assert_eq!(liar.hear().await, (ContentType::ApplicationData, b"onetwo".to_vec()));
    let long = pattern(MOST_PLAIN);
    let pieces = [io::IoSlice::new(b"one"), io::IoSlice::new(&long)];
    assert_eq!(server.write_vectored(&pieces).await.unwrap(), MOST_PLAIN);
    assert_eq!(liar.hear().await.1.len(), MOST_PLAIN);
}

impl Client {
    /// Takes the tickets in, then the keys.
    async fn take_over_after_tickets(mut self, server: &mut Established) -> Liar {
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut *server).poll_read(cx, &mut ReadBuf::new(&mut [0; 10])))).await.is_pending());
        self.take().await.unwrap();
        self.take_over()
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_owed_and_nothing_is_lost() {
    let (mut client, mut server) = tls13().await;
    let data = pattern(30 << 20);
    let mut written = 0;
    // Until the kernel takes no more.
    let blocked = poll_fn(|cx| {
        while written < data.len() {
            match Pin::new(&mut server).poll_write(cx, &data[written..]) {
                Poll::Ready(taken) => written += taken.unwrap(),
                Poll::Pending => return Poll::Ready(true),
            }
        }
        Poll::Ready(false)
    });
    assert!(blocked.await, "{written} bytes were taken at once");
    assert!(server.owed.is_some());
    let rest = async {
        server.write_all(&data[written..]).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let ((), got) = tokio::join!(rest, client.receive_all());
    assert!(got == data, "{} of {} bytes", got.len(), data.len());
}

impl Client {
    /// Reads up to close_notify.
    async fn receive_all(&mut self) -> Vec<u8> {
        let (mut data, mut buffer) = (Vec::new(), vec![0; 4096]);
        loop {
            let length = self.tcp.read(&mut buffer).await.unwrap();
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).unwrap();
                let state = self.tls.process_new_packets().unwrap();
                let start = data.len();
                data.resize(start + state.plaintext_bytes_to_read(), 0);
                self.tls.reader().read_exact(&mut data[start..]).unwrap();
                if state.peer_has_closed() {
                    assert_eq!(self.tcp.read(&mut buffer).await.unwrap(), 0, "FIN comes with close_notify");
                    return data;
                }
            }
            assert!(length > 0, "FIN without close_notify after {} bytes", data.len());
        }
    }
}
