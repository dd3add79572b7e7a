//! What is said beside data: tickets, keys, alerts, ends.

use super::*;

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
        assert_eq!(client.tls.tls13_tickets_received(), 1);
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
        let error = read_once(&mut server).await.unwrap_err();
        assert_eq!(error.get_ref().unwrap().downcast_ref::<Broken>().unwrap().sent, Some(alert));
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

/// Both ends after a handshake whose last flight comes in one write with what `speak` has the client say.
async fn speaking_at_once(speak: impl Fn(&mut Client) -> Vec<u8>) -> (Client, Established) {
    let ends = Ends::new(&TLS13, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let accepted = Stream::from(listener.accept().await.unwrap().0);
    let tls = ClientConnection::new(ends.client.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut client = Client { tcp, tls };
    client.flush().await;
    let shake = async {
        client.take().await.unwrap();
        let more = speak(&mut client);
        let last = [client.records(), more].concat();
        client.tcp.write_all(&last).await.unwrap();
    };
    let (server, ()) = tokio::join!(handshake::accept(ends.server.clone(), None, accepted), shake);
    (client, server.unwrap())
}

#[tokio::test]
async fn what_is_no_tls_behind_the_handshake_is_refused_at_once() {
    let (mut client, mut server) = speaking_at_once(|_| b"GET / HTTP/1.1\r\n\r\n".to_vec()).await;
    assert_eq!(tls_error(&read_once(&mut server).await.unwrap_err()), rustls::InvalidMessage::InvalidContentType.into());
    assert_eq!(client.refusal().await, rustls::Error::AlertReceived(AlertDescription::DecodeError));
}

#[tokio::test]
async fn much_data_behind_the_handshake_is_read_piece_by_piece() {
    let said = pattern(300_000);
    let speak = |client: &mut Client| {
        client.tls.set_buffer_limit(None);
        client.tls.writer().write_all(&said).unwrap();
        Vec::new()
    };
    // Nobody reads while all of it is written, unless it fits the socket's buffers: the handshake takes what it needs.
    let (_client, mut server) = speaking_at_once(speak).await;
    let mut heard = Vec::new();
    while heard.len() < said.len() {
        heard.extend(read_once(&mut server).await.unwrap());
    }
    assert_eq!(heard, said);
}

#[tokio::test]
async fn nothing_may_come_between_the_pieces_of_a_key_update() {
    for (kind, bytes) in [(ContentType::ApplicationData, &b"x"[..]), (ContentType::Alert, &[1, 90])] {
        let (client, mut server) = tls13().await;
        let mut liar = client.take_over();
        liar.say(ContentType::Handshake, &[24, 0]).await;
        liar.say(kind, bytes).await;
        let error = tls_error(&read_once(&mut server).await.unwrap_err());
        assert_eq!(error, PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
    }
}

#[tokio::test]
async fn data_that_comes_with_the_end_of_the_handshake_is_not_lost() {
    // Finished, a KeyUpdate, data and the end in one segment.
    let speak = |client: &mut Client| {
        client.tls.refresh_traffic_keys().unwrap();
        client.tls.writer().write_all(b"all at once").unwrap();
        client.tls.send_close_notify();
        Vec::new()
    };
    let (mut client, mut server) = speaking_at_once(speak).await;
    assert_eq!(read_once(&mut server).await.unwrap(), b"all at once");
    assert_eq!(read_once(&mut server).await.unwrap(), b"");
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(client.receive_all().await, b"answer");
}
