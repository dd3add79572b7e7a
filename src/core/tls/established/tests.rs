use super::*;
use crate::tls::{ClientAuth, handshake, provider};
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
        let (server, ()) = tokio::join!(handshake::accept(self.server.clone(), &ClientAuth::None, accepted), client.shake_hands());
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

fn tls_error(error: &io::Error) -> rustls::Error {
    error.get_ref().unwrap_or_else(|| panic!("{error}")).downcast_ref::<rustls::Error>().unwrap().clone()
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

#[tokio::test]
async fn tickets_go_with_the_first_answer_and_at_once_to_a_client_that_waits() {
    let ends = Ends::new(&TLS13, None);
    for silent in [false, true] {
        let (mut client, mut server) = ends.connect().await;
        let sent = |server: &Established| server.below.traffic().sent();
        let before = sent(&server);
        if silent {
            assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut server).poll_read(cx, &mut ReadBuf::new(&mut [0; 10])))).await.is_pending());
            assert!(sent(&server) > before, "tickets go where nothing is asked");
        } else {
            client.send(b"question").await;
            server.below.tcp().unwrap().readable().await.unwrap();
            assert_eq!(read_once(&mut server).await.unwrap(), b"question");
            assert_eq!(sent(&server), before, "tickets wait for the answer");
        }
        server.write_all(b"answer").await.unwrap();
        assert_eq!(client.receive(6).await, b"answer");
        assert_eq!(client.tls.tls13_tickets_received(), 2);
    }
    let (_, server) = ends.connect().await;
    assert!(server.session().resumed);
}

#[tokio::test]
async fn keys_are_updated_by_both_sides_as_often_as_data_comes() {
    let (mut client, mut server) = tls13().await;
    for round in 0..100_u8 {
        client.tls.refresh_traffic_keys().unwrap();
        client.send(&[round]).await;
        assert_eq!(read_once(&mut server).await.unwrap(), [round]);
        if round % 3 == 0 {
            server.sealing.expire();
        }
        server.write_all(&[round]).await.unwrap();
        assert_eq!(client.receive(1).await, [round]);
    }
}

#[tokio::test]
async fn a_key_of_tls_1_2_that_is_spent_ends_the_connection() {
    let (_client, mut server) = tls12().await;
    server.sealing.expire();
    assert_eq!(server.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn key_updates_without_data_are_counted() {
    let (mut client, mut server) = tls13().await;
    for _ in 0..33 {
        client.tls.refresh_traffic_keys().unwrap();
        client.flush().await;
    }
    let error = read_once(&mut server).await.unwrap_err();
    assert_eq!(tls_error(&error), PeerMisbehaved::TooManyKeyUpdateRequests.into());
    assert_eq!(client.refusal().await, rustls::Error::AlertReceived(AlertDescription::UnexpectedMessage));
}

#[tokio::test]
async fn a_key_update_may_come_in_pieces_but_nothing_in_its_record_behind_it() {
    let (client, mut server) = tls13().await;
    let mut liar = client.take_over();
    for byte in [24, 0, 0, 1, 0] {
        liar.say(ContentType::Handshake, &[byte]).await;
    }
    // The client's key is a new one now: a record of the old one is altered.
    liar.say(ContentType::ApplicationData, b"x").await;
    assert_eq!(tls_error(&read_once(&mut server).await.unwrap_err()), rustls::Error::DecryptError);

    for content in [&[24, 0, 0, 1, 0, 24][..], &[24, 0, 0, 1, 2], &[24, 0, 0, 2], &[1, 0, 0, 5], &[4], &[11, 0, 0, 0], &[]] {
        let (client, mut server) = tls13().await;
        client.take_over().say(ContentType::Handshake, content).await;
        let error = read_once(&mut server).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{content:?}: {error}");
    }
}

#[tokio::test]
async fn empty_records_are_taken_and_are_no_end() {
    for (client, mut server) in [tls13().await, tls12().await] {
        let mut liar = client.take_over();
        for _ in 0..1000 {
            liar.say(ContentType::ApplicationData, b"").await;
        }
        liar.say(ContentType::ApplicationData, b"x").await;
        assert_eq!(read_once(&mut server).await.unwrap(), b"x");
    }
}

#[tokio::test]
async fn what_is_behind_close_notify_is_ignored_and_the_answer_still_comes() {
    for (mut client, mut server) in [tls13().await, tls12().await] {
        client.tls.writer().write_all(b"question").unwrap();
        client.tls.send_close_notify();
        let mut records = client.records();
        records.extend([23, 3, 3, 0, 20].iter().chain(&[9; 20]));
        client.tcp.write_all(&records).await.unwrap();
        client.tcp.shutdown().await.unwrap();
        assert_eq!(read_once(&mut server).await.unwrap(), b"question");
        for _ in 0..2 {
            assert_eq!(read_once(&mut server).await.unwrap(), b"");
        }
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(client.receive_all().await, b"answer");
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_none_but_what_came_before_is_read() {
    for half in [0, 10] {
        let (mut client, mut server) = tls13().await;
        client.send(b"whole").await;
        client.tls.writer().write_all(b"cut").unwrap();
        let records = client.records();
        client.tcp.write_all(&records[..half]).await.unwrap();
        client.tcp.shutdown().await.unwrap();
        assert_eq!(read_once(&mut server).await.unwrap(), b"whole");
        for _ in 0..2 {
            assert_eq!(read_once(&mut server).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}

#[tokio::test]
async fn an_altered_record_is_an_error_after_what_came_before_and_the_client_is_told() {
    for (mut client, mut server) in [tls13().await, tls12().await] {
        client.tls.writer().write_all(b"good").unwrap();
        let mut records = client.records();
        let at = records.len() + 15;
        client.tls.writer().write_all(b"altered").unwrap();
        records.extend(client.records());
        records[at] ^= 1;
        client.tcp.write_all(&records).await.unwrap();
        assert_eq!(read_once(&mut server).await.unwrap(), b"good");
        for _ in 0..2 {
            assert_eq!(tls_error(&read_once(&mut server).await.unwrap_err()), rustls::Error::DecryptError);
        }
        assert_eq!(client.refusal().await, rustls::Error::AlertReceived(AlertDescription::BadRecordMac));
        assert_eq!(server.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn records_that_cannot_be_are_named() {
    let too_long = [23, 3, 3, 0x48, 1];
    for (bytes, alert) in [
        (&too_long[..], AlertDescription::RecordOverflow),
        (b"GET / HTTP/1.1\r\n", AlertDescription::DecodeError),
        (&[22, 3, 3, 0, 1, 1], AlertDescription::UnexpectedMessage),
        (&[20, 3, 3, 0, 1, 1], AlertDescription::UnexpectedMessage),
        (&[23, 3, 3, 0, 3, 1, 2, 3], AlertDescription::BadRecordMac),
    ] {
        let (mut client, mut server) = tls13().await;
        client.tcp.write_all(bytes).await.unwrap();
        assert_eq!(read_once(&mut server).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut server).poll_read(cx, &mut ReadBuf::new(&mut [0; 10])))).await.is_ready());
        assert_eq!(client.refusal().await, rustls::Error::AlertReceived(alert), "{bytes:?}");
    }
}

#[tokio::test]
async fn alerts_are_told_and_only_so_many_warnings_are_taken() {
    for (client, mut server) in [tls13().await, tls12().await] {
        client.take_over().say(ContentType::Alert, &[2, 42]).await;
        let error = tls_error(&read_once(&mut server).await.unwrap_err());
        assert_eq!(error, rustls::Error::AlertReceived(AlertDescription::BadCertificate));
    }
    for (client, mut server) in [tls13().await, tls12().await] {
        let mut liar = client.take_over();
        for _ in 0..4 {
            liar.say(ContentType::Alert, &[1, 90]).await;
        }
        liar.say(ContentType::ApplicationData, b"x").await;
        assert_eq!(read_once(&mut server).await.unwrap(), b"x");
        liar.say(ContentType::Alert, &[1, 90]).await;
        let error = tls_error(&read_once(&mut server).await.unwrap_err());
        assert_eq!(error, PeerMisbehaved::TooManyWarningAlertsReceived.into());
    }
}

#[tokio::test]
async fn a_client_of_tls_1_2_is_told_once_that_there_is_no_renegotiation() {
    let (client, mut server) = tls12().await;
    let mut liar = client.take_over();
    liar.say(ContentType::ApplicationData, b"x").await;
    liar.say(ContentType::Handshake, &[1, 0, 0, 0]).await;
    assert_eq!(read_once(&mut server).await.unwrap(), b"x");
    let (next, heard) = tokio::join!(read_once(&mut server), async {
        let heard = liar.hear().await;
        liar.say(ContentType::Handshake, &[1, 0, 0, 0]).await;
        heard
    });
    assert_eq!(heard, (ContentType::Alert, vec![1, 100]));
    assert_eq!(tls_error(&next.unwrap_err()), PeerMisbehaved::TooManyRenegotiationRequests.into());
}

#[tokio::test]
async fn data_that_comes_with_the_end_of_the_handshake_is_not_lost() {
    let ends = Ends::new(&TLS13, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = Stream::from(listener.accept().await.unwrap().0);
    let tls = ClientConnection::new(ends.client.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut client = Client { tcp, tls };
    client.flush().await;
    let shake = async {
        client.take().await.unwrap();
        // Finished, a KeyUpdate, data and the end in one segment.
        client.tls.refresh_traffic_keys().unwrap();
        client.tls.writer().write_all(b"all at once").unwrap();
        client.tls.send_close_notify();
        client.flush().await;
    };
    let (server, ()) = tokio::join!(handshake::accept(ends.server.clone(), &ClientAuth::None, accepted), shake);
    let mut server = server.unwrap();
    assert_eq!(read_once(&mut server).await.unwrap(), b"all at once");
    assert_eq!(read_once(&mut server).await.unwrap(), b"");
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(client.receive_all().await, b"answer");
}
