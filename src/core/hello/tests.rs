use super::*;
use proptest::prelude::*;

/// A ClientHello as rustls writes it, in one record.
pub(crate) fn client_hello(name: &str, alpn: &[&str]) -> Vec<u8> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = rustls::RootCertStore::empty();
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let mut client = rustls::ClientConnection::new(config.into(), name.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same handshake message in records of at most `size` bytes.
pub(crate) fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in hello[5..].chunks(size) {
        out.extend([22, 3, 1]);
        out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        out.extend(part);
    }
    out
}

/// The record that a draft of a hello makes.
pub(crate) fn record(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[22, 3, 1], &length[..], message].concat()
}

/// A handshake message with these cipher suites and extensions.
pub(crate) fn hello_of(cipher_suites: &[u16], extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let u16 = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16(2 * cipher_suites.len()));
    body.extend(cipher_suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let list: Vec<u8> = extensions.iter().flat_map(|(code, data)| [&code.to_be_bytes(), &u16(data.len()), *data].concat()).collect();
    body.extend(u16(list.len()));
    body.extend(list);
    [&[1, 0], &u16(body.len())[..], &body].concat()
}

/// A hello of TLS 1.0 in the format of SSL 2.0.
pub(crate) const SSL2: &[u8] = b"\x80\x25\x01\x03\x01\0\x0c\0\0\0\x10\0\0\x2f\x01\0\x80\0\0\x0a\0\0\xffABCDEFGHIJKLMNOP";

pub(crate) fn tls(bytes: &[u8]) -> ClientHello {
    match read(bytes) {
        Some(Greeting::Tls(hello)) => *hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_tells_its_name_protocols_and_versions() {
    let bytes = client_hello("www.example.test", &["h2", "http/1.1"]);
    let hello = tls(&bytes);
    assert_eq!(hello.name, Name::Dns("www.example.test".parse().unwrap()));
    assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(hello.versions, [0x0304, 0x0303]);
    assert_eq!(hello.size(), bytes.len());
    assert_eq!(hello.records(), 1);
    assert!(hello.ciphers() > 5);
}

#[test]
fn recorded_hellos_are_read() {
    for (bytes, name, alpn, versions) in [
        (&include_bytes!("../../../tests/data/curl-openssl3.bin")[..], "www.example.test", &["h2", "http/1.1"][..], 4),
        (include_bytes!("../../../tests/data/s_client-tls12.bin"), "www.example.test", &["h2"], 1),
        (include_bytes!("../../../tests/data/s_client-no-name.bin"), "-", &[], 4),
        (include_bytes!("../../../tests/data/s_client-resumed.bin"), "www.example.test", &["h2"], 4),
        (include_bytes!("../../../tests/data/gnutls-3.7.bin"), "www.example.test", &["h2", "http/1.1"], 4),
        (include_bytes!("../../../tests/data/chromium-156.bin"), "www.example.test", &["h2", "http/1.1"], 2),
        (include_bytes!("../../../tests/data/firefox-153.bin"), "localhost", &["h2", "http/1.1"], 2),
    ] {
        let hello = tls(bytes);
        assert_eq!(
            (hello.name.to_string().as_str(), hello.alpn_text(), hello.size()),
            (name, alpn.iter().map(ToString::to_string).collect(), bytes.len())
        );
        assert_eq!(hello.versions.len(), versions, "{:?}", hello.version_text());
    }
}

#[test]
fn a_hello_without_sni_is_read_and_says_so() {
    assert_eq!(tls(&client_hello("127.0.0.1", &[])).name, Name::Absent);
}

#[test]
fn a_hello_in_several_records_is_read_whole() {
    let whole = client_hello("www.example.test", &["h2"]);
    for size in [1, 2, 3, 4, 5, 50, 100, 1000] {
        let split = in_records(&whole, size);
        let hello = tls(&split);
        assert_eq!(hello.name.to_string(), "www.example.test", "records of {size} bytes");
        assert_eq!(hello.records(), (whole.len() - 5).div_ceil(size));
        assert_eq!(hello.size(), split.len());
    }
}

#[test]
fn a_hello_in_several_segments_asks_for_more_until_it_is_whole() {
    let bytes = in_records(&client_hello("www.example.test", &["h2"]), 100);
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end]), None, "after {end} of {} bytes", bytes.len());
    }
    tls(&bytes);
}

#[test]
fn what_follows_the_hello_is_not_part_of_it() {
    let mut bytes = client_hello("a.test", &[]);
    let size = bytes.len();
    bytes.extend([20, 3, 3, 0, 1, 1]);
    assert_eq!(tls(&bytes).size(), size);
}

#[test]
fn text_is_recognised_at_its_first_byte_and_not_awaited_as_a_record() {
    for text in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f", b"hello\n"] {
        assert!(matches!(read(text), Some(Greeting::NotTls(_))), "{text:?}");
    }
    assert_eq!(read(b"x"), Some(Greeting::NotTls(Protocol::Unknown)));
}

#[test]
fn a_hello_in_the_format_of_ssl_2_is_one_without_a_name() {
    for end in 0..SSL2.len() {
        assert_eq!(read(&SSL2[..end]), None, "after {end}");
    }
    let hello = tls(&[SSL2, b"more"].concat());
    assert_eq!((hello.size(), hello.records(), hello.came.clone()), (SSL2.len(), 0, Framing::Ssl2));
    assert_eq!((hello.name.clone(), hello.version_text()), (Name::Absent, vec!["TLSv1.0".to_owned()]));
    // One of the four specs is of SSL 2.0.
    assert_eq!((hello.cipher_suites.as_slice(), hello.random()), (&[0x002f, 0x000a, 0x00ff][..], &b"ABCDEFGHIJKLMNOP"[..]));
    for (at, to) in [(6, 0x0d), (8, 1), (10, 0x0f), (6, 0x09)] {
        let mut wrong = SSL2.to_vec();
        wrong[at] = to;
        // As soon as the lengths are there.
        assert!(matches!(read(&wrong[..11]), Some(Greeting::Malformed(_))), "{at}");
        assert_eq!(read(&wrong[..11]), read(&wrong));
    }
}

#[test]
fn every_cut_into_two_segments_or_records_gives_the_same_hello() {
    let bytes = client_hello("www.example.test", &["h2"]);
    let whole = tls(&bytes);
    for cut in 1..bytes.len() {
        let mut reader = Reader::new();
        assert_eq!(reader.read(&bytes[..cut]), None);
        assert_eq!(reader.read(&bytes), Some(Greeting::Tls(Box::new(whole.clone()))), "segments cut at {cut}");
    }
    for cut in 1..bytes.len() - 5 {
        let (first, second) = bytes[5..].split_at(cut);
        let mut hello = tls(&[record(first), record(second)].concat());
        assert_eq!(hello.records(), 2);
        hello.came = whole.came.clone();
        assert_eq!(hello, whole, "records cut at {cut}");
    }
    let mut bare = message(&bytes[5..], Framing::Bare).unwrap();
    bare.came = whole.came.clone();
    assert_eq!(bare, whole);
}

#[test]
fn reading_byte_by_byte_takes_linear_time() {
    // 12,000 records of one byte: 60 KB of wire, each byte of which comes alone.
    let bytes = in_records(&record(&hello_of(&vec![0x1301; 5970], &[])), 1);
    assert!(bytes.len() > 70_000);
    let mut reader = Reader::new();
    for end in 1..bytes.len() {
        assert_eq!(reader.read(&bytes[..end]), None);
    }
    assert!(matches!(reader.read(&bytes), Some(Greeting::Tls(_))));
    // Each call looks once, and once more for each record that it finishes.
    assert!(reader.steps() <= 2 * bytes.len(), "{} steps for {} bytes", reader.steps(), bytes.len());
}

#[test]
fn a_hello_tells_its_faults_and_what_is_right_with_it() {
    const NAME: (u16, &[u8]) = (0, b"\0\x09\0\0\x06a.test");
    const OTHER: (u16, &[u8]) = (0, b"\0\x09\0\0\x06b.test");
    const PROTOCOLS: (u16, &[u8]) = (16, b"\0\x03\x02h2");
    const VERSIONS: (u16, &[u8]) = (43, b"\x02\x03\x04");
    // Where the list of extensions begins on the wire.
    const START: usize = 5 + 4 + 34 + 1 + 2 + 2 + 2 + 2;
    for (extensions, faults, name) in [
        (&[NAME, PROTOCOLS, VERSIONS][..], &[][..], "a.test"),
        (&[NAME, OTHER, PROTOCOLS, VERSIONS], &[(START + 15, "an extension sent twice")], "a.test"),
        (&[(7, b""), (7, b""), NAME, PROTOCOLS, VERSIONS], &[(START + 4, "an extension sent twice")], "a.test"),
        (&[(0, b"\0\x09\0\0\x07a.test"), PROTOCOLS, VERSIONS], &[(START + 4, "a server name that cannot be read")], "\0\t\0\0\u{7}a.test"),
        (&[(0, b"\0\x08\0\0\x01a\0\0\x01b"), PROTOCOLS, VERSIONS], &[(START + 4, "two server names")], "a"),
        (&[(16, b"\0\x04\x02h2"), NAME, VERSIONS], &[(START + 4, "ALPN protocols that cannot be read")], "a.test"),
        (&[(43, b"\x03\x03\x04"), NAME, PROTOCOLS], &[(START + 4, "versions that cannot be read")], "a.test"),
    ] {
        let wire = record(&hello_of(&[0x1301], extensions));
        let hello = tls(&wire);
        let told: Vec<_> = hello.faults.iter().map(|fault| (fault.offset, fault.what)).collect();
        assert_eq!(told, faults);
        assert_eq!(hello.name.text().as_deref(), Some(name));
        assert_eq!(hello.extensions.len(), extensions.len());
        for (extension, (code, data)) in hello.extensions.iter().zip(extensions) {
            assert_eq!((extension.code, hello.data(extension)), (*code, *data));
            let at = hello.on_wire(extension.offset);
            assert_eq!(&wire[at..at + extension.length], *data);
        }
        assert_eq!(hello.alpn.is_empty(), faults.iter().any(|(_, what)| what.starts_with("ALPN")));
        let sound = Greeting::Tls(Box::new(hello)).sound();
        assert_eq!(matches!(sound, Greeting::Malformed(_)), !faults.is_empty(), "{sound:?}");
    }
}

#[test]
fn a_list_of_extensions_that_does_not_fit_is_a_fault_after_those_that_do() {
    let whole = hello_of(&[0x1301], &[(0, b"\0\x09\0\0\x06a.test"), (23, b"")]);
    let changed = |from_end: usize, to: u8| {
        let mut bytes = whole.clone();
        let at = bytes.len() - from_end;
        bytes[at] = to;
        message(&bytes, Framing::Bare).unwrap()
    };
    let hello = changed(1, 1);
    assert_eq!((hello.name.to_string(), hello.extensions.len()), ("a.test".into(), 1));
    assert_eq!(hello.faults[0], Malformed { offset: whole.len() - 2, what: "an extension longer than the hello" });
    // The length of the list itself: too long, then too short.
    let hello = changed(20, 0x14);
    assert_eq!(hello.faults[0].what, "extensions that do not fit the hello");
    assert_eq!(hello.name, Name::Absent);
    let hello = changed(20, 0x0f);
    assert_eq!((hello.name.to_string(), hello.faults[0].what), ("a.test".into(), "bytes after the last field of the hello"));
    // And so short that the list is empty.
    assert_eq!(changed(20, 0).faults[0].what, "bytes after the last field of the hello");
}

#[test]
fn a_message_is_checked_as_a_whole() {
    let whole = hello_of(&[0x1301], &[]);
    assert!(message(&whole, Framing::Bare).is_ok());
    for (bytes, what) in [
        (&whole[..whole.len() - 1], "a message whose length is not that of its bytes"),
        (&[&whole[..], b"x"].concat(), "a message whose length is not that of its bytes"),
        (&whole[..3], "no end of the hello"),
        (b"", "no end of the hello"),
        (b"\x02\0\0\0", "a handshake message that is no ClientHello"),
        (b"\x01\x01\0\x01", "a hello longer than 64 KiB"),
        (b"\x01\0\0\x02\x03\x03", "a hello whose fields do not fit its length"),
    ] {
        assert_eq!(message(bytes, Framing::Bare).unwrap_err().what, what, "{bytes:?}");
    }
}

#[test]
fn the_cookie_of_dtls_is_passed_over() {
    let plain = hello_of(&[0x1301, 0xc02f], &[(0, b"\0\x09\0\0\x06a.test")]);
    let with_cookie = [&plain[..4 + 35], b"\x04cook", &plain[4 + 35..]].concat();
    let mut with_cookie = with_cookie;
    with_cookie[3] += 5;
    let hello = message(&with_cookie, Framing::Dtls { version: 0xfefd, datagrams: 1 }).unwrap();
    assert_eq!((hello.name.to_string(), hello.cipher_suites.as_slice()), ("a.test".into(), &[0x1301, 0xc02f][..]));
    assert_eq!((hello.compression_methods(), hello.random()), (&[0][..], &[7; 32][..]));
    // A cookie that does not fit is no panic.
    for length in 0..=255 {
        with_cookie[4 + 35] = length;
        let _ = message(&with_cookie, Framing::Dtls { version: 0xfefd, datagrams: 1 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_mutation_panics_and_a_verdict_stays(at in 0usize..400, to in any::<u8>(), size in 1usize..300) {
        let mut bytes = in_records(&client_hello("www.example.test", &["h2"]), size);
        let at = at % bytes.len();
        bytes[at] = to;
        // Whatever was said of a prefix holds for the whole: more bytes never change a verdict.
        for end in 0..bytes.len() {
            if let Some(verdict) = read(&bytes[..end]) {
                prop_assert_eq!(Some(verdict), read(&bytes));
                break;
            }
        }
    }
}

#[test]
fn the_highest_version_of_dtls_has_the_lowest_number() {
    // Versions 1.0 and 1.2 among the supported ones, after an empty session id and an empty cookie.
    let versions = [0, 43, 0, 5, 4, 0xfe, 0xff, 0xfe, 0xfd];
    let body = [&[0xfe, 0xfd][..], &[7; 32], &[0, 0], &[0, 2, 0, 0x2f], &[1, 0], &[0, 9], &versions].concat();
    let bytes = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let hello = message(&bytes, Framing::Dtls { version: 0xfeff, datagrams: 1 }).unwrap();
    assert_eq!(hello.version_text(), ["DTLSv1.0", "DTLSv1.2"]);
    assert_eq!(hello.highest_version().as_deref(), Some("DTLSv1.2"));
}
