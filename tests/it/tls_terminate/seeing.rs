//! `--keylog` and `--record-tls`: the secrets are those that the other ends have, and the wire is all of the wire.

use super::{pair, start};
use crate::{
    recordings::{self, Piece, Recorded},
    support::*,
    tls,
};
use std::{
    collections::BTreeSet,
    io::{BufRead, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tapline::text::hex;

/// The lines that an end of TLS writes itself.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<BTreeSet<String>>>);

impl rustls::KeyLog for Heard {
    fn log(&self, label: &str, random: &[u8], secret: &[u8]) {
        // A server that takes no early data has this secret all the same.
        if label == "CLIENT_EARLY_TRAFFIC_SECRET" {
            return;
        }
        self.0.lock().unwrap().insert(format!("{label} {} {}", hex(random), hex(secret)));
    }
}

impl Heard {
    fn lines(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().clone()
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    assert!(text.ends_with('\n'), "{text:?} ends within a line");
    text.lines().filter(|line| !line.starts_with("CLIENT_EARLY_TRAFFIC_SECRET")).map(str::to_owned).collect()
}

fn folder() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let name = path.to_str().unwrap().to_owned();
    (folder, path, name)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_key_log_has_the_secrets_of_both_sides_behind_what_it_had() {
    let (folder, path, name) = folder();
    std::fs::write(&path, "# of another program\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let issued = tls::issue(&["localhost"]);
    let (behind, heard) = (Heard::default(), Heard::default());
    let mut config = rustls::ServerConfig::clone(&issued.server_config());
    config.key_log = Arc::new(behind.clone());
    let config = Arc::new(config);
    let target = server(move |tcp| {
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), tcp);
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
        // Until the client has ended.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &issued.ca).unwrap();
    let target = format!("tls:localhost:{}", target.port());
    let (mut tapline, ca) = start(&target, &["--keylog", &name, "--ca", ca_file.to_str().unwrap()]);
    let note = tapline.seen.iter().find(|event| event["event"] == "note").unwrap();
    let text = note["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("keys are written to {name} (others than its owner may read it):")), "{text}");
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let mut config = tls::trusting_with(&ca, &[], versions);
        config.key_log = Arc::new(heard.clone());
        let mut client = tls::client(tapline.connect(), config, "localhost");
        client.write_all(b"x").unwrap();
        assert_eq!(read_n(&mut client, 1), b"x");
    }
    assert_eq!(tapline.stop(), Some(0));
    let log = std::fs::read_to_string(&path).unwrap();
    let wanted = lines("# of another program\n").into_iter().chain(heard.lines()).chain(behind.lines()).collect();
    // TLS 1.3 has five secrets, 1.2 has one; behind, both sessions are of TLS 1.3.
    assert_eq!((heard.lines().len(), behind.lines().len()), (5 + 1, 5 + 5));
    assert_eq!(lines(&log), wanted);
}

#[test]
fn a_key_log_that_is_new_is_for_its_owner_and_what_cannot_be_written_is_told_before_anything_is_served() {
    let (_folder, path, name) = folder();
    let (tapline, _) = start("builtin:echo", &["--keylog", &name]);
    assert_eq!(mode(&path), 0o600);
    drop(tapline);
    // The port is taken: it would be told first, were it asked for first.
    let (_taken, addr) = listener();
    let addr = addr.to_string();
    for (flags, code, why) in [
        (&["--keylog", "/no/such/folder/keys"][..], 3, "cannot write /no/such/folder/keys"),
        (&["--keylog", "-"], 2, "--keylog - would mix keys"),
        (&["--record-tls", "-", "--record", "-"], 2, "--record and --record-tls would both write to -"),
        (&["--record-tls", "-", "--", "true"], 2, "--record-tls - and COMMAND"),
        (&["--keylog", &name, "--record", &name], 2, "--record and --keylog would both write to"),
        (&["--record-tls", &name, "--keylog", &name], 2, "--keylog and --record-tls would both write to"),
    ] {
        let refused = run(&[&["tls-terminate", &addr, "builtin:echo"], flags].concat());
        assert_eq!((refused.code, refused.stderr.contains(why)), (Some(code), true), "{}", refused.stderr);
    }
    let refused = run(&["tls-terminate", "0", "builtin:echo", "--record-tls", "/no/such/folder/wire"]);
    assert_eq!((refused.code, refused.stderr.contains("cannot write /no/such/folder/wire")), (Some(3), true), "{}", refused.stderr);
    let refused = run(&["listen", "0", "--keylog", &name]);
    assert_eq!((refused.code, refused.stderr.contains("--tls")), (Some(2), true), "{}", refused.stderr);
    let refused = run(&["listen", "0", "--tls", "--record-tls", "-", "--output", "-"]);
    assert_eq!((refused.code, refused.stderr.contains("--output and --record-tls would both")), (Some(2), true), "{}", refused.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_log_that_takes_no_more_is_said_once_and_stops_no_traffic() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, reader) = fifo(&dir);
    let (mut tapline, ca) = start("builtin:echo", &["--keylog", pipe.to_str().unwrap()]);
    drop(reader);
    for _ in 0..3 {
        let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &[]), "localhost");
        client.write_all(b"x").unwrap();
        assert_eq!(read_n(&mut client, 1), b"x");
    }
    assert_eq!(tapline.stop(), Some(3));
    let said =
        |event: &&serde_json::Value| event["text"].as_str().is_some_and(|text| text.starts_with("the key log ends here: cannot write"));
    assert_eq!(tapline.seen.iter().filter(said).count(), 1, "{:#?}", tapline.seen);
}

/// The bytes that were recorded of a client's connection, up and down.
fn wire(all: &Recorded, client: u16, tapline: &Tapline) -> (Vec<u8>, Vec<u8>) {
    let port = tapline.addr().port();
    let of = |way| all.bytes.get(&way).map(|(bytes, _)| bytes.clone()).unwrap_or_default();
    (of((client, port)), of((port, client)))
}

/// The flags of the last packet from the first port to the second.
fn last_flags(all: &Recorded, from: u16, to: u16) -> u8 {
    all.bytes[&(from, to)].1
}

const RST: u8 = 4;

/// A socket between a client of TLS and the program that keeps what passes.
struct Kept {
    tcp: TcpStream,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.tcp.read(buffer)?;
        self.down.extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.tcp.write(bytes)?;
        self.up.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.tcp.flush()
    }
}

#[test]
fn the_recording_of_tls_is_the_wire_and_has_each_secret_before_what_it_encrypts() {
    let (_folder, path, name) = folder();
    // What others have written there goes: it is a recording of this run.
    std::fs::write(&path, pattern(100_000)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (mut tapline, ca) = start("builtin:echo", &["--record-tls", &name]);
    let heard = Heard::default();
    let mut sessions = Vec::new();
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let mut config = tls::trusting_with(&ca, &[], versions);
        config.key_log = Arc::new(heard.clone());
        let config = Arc::new(config);
        // The second is resumed.
        for _ in 0..2 {
            let tcp = tapline.connect();
            let port = tcp.local_addr().unwrap().port();
            let session = rustls::ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
            let mut client = rustls::StreamOwned::new(session, Kept { tcp, up: Vec::new(), down: Vec::new() });
            for part in pattern(300_000).chunks(50_000) {
                client.write_all(part).unwrap();
                let mut back = vec![0; part.len()];
                client.read_exact(&mut back).unwrap();
                assert!(back == part);
            }
            client.conn.send_close_notify();
            client.flush().unwrap();
            client.read_to_end(&mut Vec::new()).unwrap();
            tapline.closed();
            sessions.push((port, client.sock.up, client.sock.down));
        }
    }
    assert_eq!(tapline.stop(), Some(0));
    let all = recordings::read(&path);
    for (port, up, down) in &sessions {
        assert!(wire(&all, *port, &tapline) == (up.clone(), down.clone()), "port {port}");
        // It has ended, and nobody was reset.
        assert_eq!(last_flags(&all, tapline.addr().port(), *port) & RST, 0);
    }
    assert_eq!(lines(&all.secrets()), heard.lines());
    assert_eq!(heard.lines().len(), 2 * 5 + 2);
    // The first packet of a client that begins what is encrypted has its secrets before it, of the same number of sessions.
    let (mut secrets, mut began) = (0, BTreeSet::new());
    for piece in &all.pieces {
        match piece {
            Piece::Secrets(lines) => {
                secrets +=
                    lines.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0") || line.starts_with("CLIENT_RANDOM")).count();
            }
            Piece::Bytes(port, bytes) if *port != tapline.addr().port() && bytes[0] != 22 && began.insert(*port) => {
                assert!(secrets >= began.len(), "{bytes:?}");
            }
            Piece::Bytes(..) => {}
        }
    }
    assert_eq!(all.comments.len(), 4);
}

#[test]
fn what_fails_is_recorded_too_and_what_comes_before_tls() {
    let (_folder, path, name) = folder();
    let (mut tapline, ca) = start("builtin:echo", &["--record-tls", &name, "--accept-proxy", "127.0.0.1"]);
    assert_eq!(mode(&path), 0o600);
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n";
    // Not TLS at all.
    let mut plain = tapline.connect();
    plain.write_all(&[&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat()).unwrap();
    let answer = read_all(&mut plain);
    let plain_port = plain.local_addr().unwrap().port();
    drop(plain);
    tapline.closed();
    // A client that does not trust the certificate: its alert is encrypted, and can be read with the secrets.
    let mut tcp = tapline.connect();
    let wary_port = tcp.local_addr().unwrap().port();
    tcp.write_all(header).unwrap();
    let mut wary = tls::client(tcp, tls::trusting(&tls::issue(&["localhost"]).ca, &[]), "localhost");
    wary.write_all(b"x").unwrap_err();
    drop(wary);
    let closed = tapline.closed();
    // One that is reset while it speaks.
    let mut tcp = tapline.connect();
    let reset_port = tcp.local_addr().unwrap().port();
    tcp.write_all(header).unwrap();
    let mut client = tls::client(tcp, tls::trusting(&ca, &[]), "localhost");
    client.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"x");
    reset(client.sock);
    tapline.closed();
    assert_eq!(tapline.stop(), Some(0));
    let all = recordings::read(&path);
    let (up, down) = wire(&all, plain_port, &tapline);
    assert_eq!((up, down), ([&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat(), answer));
    let (up, down) = wire(&all, wary_port, &tapline);
    assert!(up.starts_with(header));
    assert_eq!((up.len(), down.len()), (closed["received"].as_u64().unwrap() as usize, closed["sent"].as_u64().unwrap() as usize));
    assert!(all.secrets().contains("CLIENT_HANDSHAKE_TRAFFIC_SECRET"));
    assert_eq!(last_flags(&all, reset_port, tapline.addr().port()) & RST, RST);
    // The wire is between the proxy in front and here, whoever was announced.
    assert!(all.comments[0].contains(&format!("from 127.0.0.1:{plain_port} to {}", tapline.addr())), "{:?}", all.comments);
}

#[test]
fn nothing_is_lost_where_the_recording_of_tls_is_read_slowly_from_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let issued = tls::issue(&["localhost"]);
    let [cert, key] = [("cert", &issued.cert), ("key", &issued.key)].map(|(name, pem)| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let mut command = program();
    command.args([
        "--json",
        "tls-terminate",
        "0",
        "builtin:echo",
        "--cert",
        &cert,
        "--key",
        &key,
        "--connections",
        "1",
        "--record-tls",
        "-",
    ]);
    let mut child = command.spawn().unwrap();
    let mut events =
        std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let first: serde_json::Value = events.next().unwrap();
    let addr: std::net::SocketAddr = first["addr"].as_str().unwrap().parse().unwrap();
    // More than the queue, the pipe and all buffers between take.
    let size = 12 << 20;
    let mut client = tls::client(connect(addr), tls::trusting(&issued.ca, &[]), "localhost");
    let port = client.sock.local_addr().unwrap().port();
    let client = std::thread::spawn(move || {
        for part in pattern(size).chunks(64 * 1024) {
            client.write_all(part).unwrap();
            assert!(read_n(&mut client, part.len()) == part);
        }
        client.conn.send_close_notify();
        client.flush().unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
    });
    let (mut stdout, mut file, mut buffer) = (child.stdout.take().unwrap(), Vec::new(), [0; 3000]);
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            n => file.extend_from_slice(&buffer[..n]),
        }
    }
    client.join().unwrap();
    let closed = events.find(|event| event["event"] == "closed").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let path = folder.path().join("copy");
    std::fs::write(&path, file).unwrap();
    let all = recordings::read(&path);
    let count = |way| all.bytes[&way].0.len() as u64;
    let counts = (count((port, addr.port())), count((addr.port(), port)));
    assert_eq!(counts, (closed["received"].as_u64().unwrap(), closed["sent"].as_u64().unwrap()));
    assert!(counts.0 > size as u64 && counts.1 > size as u64, "{counts:?}");
}

#[test]
fn both_recordings_can_be_made_at_once_and_the_plain_one_has_no_secrets() {
    let (folder, path, name) = folder();
    let clear = folder.path().join("clear");
    let (listener, target) = listener();
    let (mut tapline, ca) = start(&target.to_string(), &["--record-tls", &name, "--record", clear.to_str().unwrap()]);
    let (mut client, mut server) = pair(&tapline, &ca, &listener);
    let port = client.sock.local_addr().unwrap().port();
    // A half-close, and a reply after it.
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(read_all(&mut server), b"");
    server.write_all(b"late").unwrap();
    drop(server);
    let mut late = Vec::new();
    client.read_to_end(&mut late).unwrap();
    assert_eq!(late, b"late");
    tapline.closed();
    // One that is cut by the target.
    let (client, mut server) = pair(&tapline, &ca, &listener);
    let cut = client.sock.local_addr().unwrap().port();
    server.write_all(b"par").unwrap();
    wait_sent(&server);
    reset(server);
    let mut sock = client.sock;
    assert!(read_to_any_end(&mut sock).1.is_err());
    tapline.closed();
    assert_eq!(tapline.stop(), Some(0));
    let all = recordings::read(&clear);
    assert_eq!(all.bytes[&(port, target.port())].0, b"!");
    assert_eq!(all.bytes[&(target.port(), port)].0, b"late");
    assert_eq!(last_flags(&all, target.port(), port) & RST, 0);
    assert_eq!((last_flags(&all, target.port(), cut) & RST, all.secrets().as_str()), (RST, ""));
    let all = recordings::read(&path);
    assert_eq!(last_flags(&all, tapline.addr().port(), cut) & RST, RST);
    assert_eq!(all.secrets().lines().count(), 10);
}
