use super::*;
use crate::hello::{
    message,
    tests::{SSL2, hello_of, tls},
};

fn numbers(list: &str) -> Vec<u16> {
    list.split(',').map(|number| u16::from_str_radix(number, 16).unwrap()).collect()
}

/// A hello with the parts that JA4 looks at; `extensions` are empty, but for those that have data here.
fn hello(ciphers: &str, extensions: &str, data: &[(u16, &[u8])]) -> ClientHello {
    let data = |code| data.iter().find(|(other, _)| *other == code).map_or(&[][..], |(_, data)| data);
    let extensions: Vec<(u16, &[u8])> = numbers(extensions).into_iter().map(|code| (code, data(code))).collect();
    message(&hello_of(&numbers(ciphers), &extensions), Framing::Bare).unwrap()
}

/// A list of 16-bit numbers after its length in so many bytes.
fn vector(width: usize, list: &str) -> Vec<u8> {
    let bytes: Vec<u8> = numbers(list).into_iter().flat_map(u16::to_be_bytes).collect();
    [&bytes.len().to_be_bytes()[8 - width..], &bytes].concat()
}

const CIPHERS: &str = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035";
const NAME: (u16, &[u8]) = (0, b"\0\x09\0\0\x06a.test");
const H2: (u16, &[u8]) = (16, b"\0\x0c\x02h2\x08http/1.1");

#[test]
fn the_example_of_the_specification() {
    let signatures = vector(2, "0403,0804,0401,0503,0805,0501,0806,0601");
    let versions = vector(1, "0304,0303");
    let data = [NAME, H2, (13, &signatures), (43, &versions)];
    let order = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015";
    let all = ja4(&hello(CIPHERS, order, &data));
    assert_eq!(all.ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
    let sorted = "002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9";
    let sorted_extensions = "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01";
    let algorithms = "0403,0804,0401,0503,0805,0501,0806,0601";
    assert_eq!(all.ja4_r, format!("t13d1516h2_{sorted}_{sorted_extensions}_{algorithms}"));
    assert_eq!(all.ja4_ro, format!("t13d1516h2_{CIPHERS}_{order}_{algorithms}"));
    assert!(all.ja4_o.starts_with("t13d1516h2_acb858a92679_"));
    // Without signature algorithms there is no underscore, and the hash is the one that the specification gives.
    let without = ja4(&hello(CIPHERS, &order.replace("000d,", "").replace("001b,", "001b,000d,"), &data[..2]));
    assert!(without.ja4.ends_with("_6d807ffa2a79"), "{}", without.ja4);
}

#[test]
fn grease_changes_nothing_wherever_it_is() {
    // Chrome since 152 has it among the signature algorithms, a fresh one each time.
    let extensions = "0000,0005,000a,000b,000d,0010,0012,0017,001b,0023,002b,002d,0033,44cd,ca34,fe0d,ff01";
    let algorithms = "0904,0905,0906,0403,0804,0401,0503,0805,0501,0806,0601";
    let mut seen = Vec::new();
    for grease in ["", "0a0a,", "fafa,"] {
        let signatures = vector(2, &format!("{grease}{algorithms}"));
        let versions = vector(1, &format!("{grease}0304,0303"));
        let groups = vector(2, &format!("{grease}11ec,001d,0017,0018"));
        let data = [NAME, H2, (13, &signatures[..]), (43, &versions), (10, &groups), (11, b"\x01\0")];
        let hello = hello(&format!("{grease}{CIPHERS}"), &format!("{grease}{extensions}"), &data);
        assert_eq!(ja4(&hello).ja4, "t13d1517h2_8daaf6152771_cb7bf5808d99");
        seen.push((ja4(&hello), ja3(&hello), ja3n(&hello)));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(
        seen[0].1.text,
        "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,0-5-10-11-13-16-18-23-27-35-43-45-51-17613-51764-65037-65281,4588-29-23-24,0"
    );
}

#[test]
fn the_protocol_is_its_first_and_last_byte_or_hexadecimal_digit() {
    for (protocol, expected) in [
        (&b""[..], "00"),
        (b"h", "hh"),
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"\xab", "ab"),
        (b"\x20", "20"),
        (b"\xab\xcd", "ad"),
        (b"\x20\x61", "21"),
        (b"\x30\xab", "3b"),
        (b"\x61\x20", "60"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
    ] {
        assert_eq!(ja4_alpn(protocol), expected, "{protocol:?}");
    }
}

#[test]
fn what_is_absent_is_zeros() {
    let bare = message(&hello_of(&[], &[]), Framing::Bare).unwrap();
    let all = ja4(&bare);
    assert_eq!((all.ja4.as_str(), all.ja4_o.as_str()), ("t12i000000_000000000000_000000000000", "t12i000000_000000000000_000000000000"));
    assert_eq!((all.ja4_r.as_str(), all.ja4_ro.as_str()), ("t12i000000__", "t12i000000__"));
    assert_eq!(ja3(&bare).text, "771,,,,");
    // Of a hello with nothing but a name, FoxIO's programs print zeros for the hash in both orders.
    let named = ja4(&hello("002f", "0000", &[NAME]));
    assert!(named.ja4.ends_with("_000000000000") && named.ja4_o.ends_with("_000000000000"), "{named:?}");
    assert!(named.ja4_ro.ends_with("_002f_0000") && named.ja4_r.ends_with("_002f_"), "{named:?}");
}

#[test]
fn the_letters_before_the_counts() {
    let framed = |came, versions: &str| {
        let versions = vector(1, versions);
        ja4(&message(&hello_of(&[0x1301], &[(43, &versions)]), came).unwrap()).ja4[..4].to_owned()
    };
    assert_eq!(framed(Framing::Bare, "0303,0304"), "t13i");
    let quic = Framing::Quic { version: 1, packets: 1, datagrams: 1, destination: Vec::new(), source: Vec::new() };
    assert_eq!(framed(quic, "0304"), "q13i");
    // An unknown version is the highest by its number.
    assert_eq!(framed(Framing::Bare, "7f1c,0303"), "t00i");
    let counts = |many| ja4(&message(&hello_of(&vec![0x1301; many], &[]), Framing::Bare).unwrap()).ja4[4..6].to_owned();
    assert_eq!((counts(7), counts(99), counts(100)), ("07".into(), "99".into(), "99".into()));
    assert_eq!(&ja4(&tls(SSL2)).ja4[..6], "t10i03");
}

#[test]
fn ja3_hashes_its_text() {
    // The example in the README of github.com/salesforce/ja3.
    let groups = vector(2, "0017,0018,0019");
    let mut bytes = hello_of(&[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4], &[(0, NAME.1), (10, &groups), (11, b"\x01\0")]);
    bytes[5] = 1;
    let all = ja3(&message(&bytes, Framing::Bare).unwrap());
    assert_eq!(all.text, "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
    assert_eq!(all.hash, "ada70206e40642a3e4461f35503241d5");
}

#[test]
fn a_recorded_browser_has_the_fingerprint_that_others_publish() {
    let chromium = tls(include_bytes!("../../../../tests/data/chromium-156.bin"));
    assert_eq!(ja4(&chromium).ja4, "t13d1517h2_8daaf6152771_cb7bf5808d99");
}
