use super::*;
use rcgen::{CertificateParams, KeyPair};

fn made() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn cert(bytes: &[u8]) -> Result<usize, String> {
    let path = Path::new("file");
    let found = sections(path, bytes).and_then(|sections| chain(path, bytes, &sections));
    found.map(|chain| chain.len()).map_err(|error| error.to_string())
}

fn secret(bytes: &[u8]) -> Result<(), String> {
    let path = Path::new("file");
    let found = sections(path, bytes).and_then(|sections| key(path, bytes, &sections));
    found.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn sections_stand_in_any_order_with_words_between_and_any_line_ends() {
    let (one, other) = made();
    let both = format!("\u{feff}{one}words: {{\n{other}\n-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n{one}");
    for text in [both.clone(), both.replace('\n', "\r\n"), both.replace('\n', " \n")] {
        assert_eq!((cert(text.as_bytes()), secret(text.as_bytes())), (Ok(2), Ok(())), "{text}");
    }
    assert_eq!(cert(one.trim_end().as_bytes()), Ok(1));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let (one, other) = made();
    let spoiled = |at: usize, with: &str| {
        let mut lines: Vec<_> = one.lines().collect();
        lines[at] = with;
        lines.join("\n")
    };
    for (text, why) in [
        (String::new(), "file holds no certificate in PEM: it is empty"),
        ("words\n".into(), "file holds no certificate in PEM"),
        ("\n\n".to_owned() + &other, "file holds no certificate in PEM, but PRIVATE KEY (line 3)"),
        (spoiled(2, "not base64!"), "file, line 3: is no base64, within CERTIFICATE which line 1 begins"),
        (spoiled(2, "AA==AAAA"), "file, line 1: CERTIFICATE is not whole: its base64 does not end as it should"),
        (spoiled(0, "-----BEGIN certificate-----"), "file, line 1: begins a section, but not as -----BEGIN LABEL-----"),
        (one.replace("-----END CERTIFICATE-----", "-----END X-----"), "ends another section than CERTIFICATE, which line 1 begins"),
        (one.replace("-----END CERTIFICATE-----\n", &one), "begins a section within CERTIFICATE, which line 1 begins"),
        (format!("\n{}", &one[..one.len() / 2]), "file, line 2: CERTIFICATE has no end: the file was cut"),
    ] {
        let said = cert(text.as_bytes()).unwrap_err();
        assert!(said.contains(why), "{said} for {text}");
    }
    let der = [&[0x30, 0x82, 1, 0][..], &[b'\n'; 256]].concat();
    assert!(cert(&der).unwrap_err().ends_with("it is DER; openssl x509 -inform der -in file turns it into PEM"));
    assert!(secret(&der).unwrap_err().ends_with("it is DER; openssl pkey -inform der -in file turns it into PEM"));
}

#[test]
fn an_encrypted_key_is_named_as_such_in_both_forms() {
    let (_, other) = made();
    let modern = other.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = other.replace("PRIVATE KEY", "EC PRIVATE KEY");
    let old = old.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123456789ABCDEF\n\n", 1);
    for text in [modern, old] {
        let said = secret(format!("\n{text}").as_bytes()).unwrap_err();
        assert!(said.starts_with("file, line 2: the key is encrypted; tapline asks for no passphrase"), "{said}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_no_piece_of_them_is_told(
        parts in proptest::collection::vec("-----(BEGIN|END) (PRIVATE KEY|CERTIFICATE|X)-----\n|[a-z0-9+/=:]{0,70}\n|[^-]{0,9}", 0..12),
        cut in 0_usize..4,
    ) {
        let text = parts.concat();
        let bytes = &text.as_bytes()[..text.len().saturating_sub(cut)];
        for said in [cert(bytes).err(), secret(bytes).err()].into_iter().flatten() {
            for line in text.lines().filter(|line| line.len() > 12 && !line.starts_with('-')) {
                proptest::prop_assert!(!said.contains(line), "{} tells {}", said, line);
            }
        }
    }
}
