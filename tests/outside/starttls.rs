//! TLS that begins within another protocol: psql and a server of PostgreSQL, openssl as a client of mail.

use crate::support::*;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Instant,
};

/// Makes a key and a certificate for a.test in a folder.
fn certificate(folder: &Path) -> [String; 2] {
    let paths = ["key", "cert"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let ec = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a.test", "-days", "2"];
    let made = finish(outside("openssl").args(ec).args(["-keyout", &paths[0], "-out", &paths[1]]));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    paths
}

/// A program of PostgreSQL's server, which refuses to run as root.
fn postgres(program: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("postgresql is installed");
    let path: PathBuf = versions.map(|version| version.unwrap().path().join("bin").join(program)).find(|path| path.exists()).unwrap();
    if !rustix::process::geteuid().is_root() {
        return outside(path);
    }
    let mut command = outside("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    command
}

/// A server of PostgreSQL with TLS, on a loopback port.
struct Postgres(Child, SocketAddr, #[expect(dead_code, reason = "removed at the end")] tempfile::TempDir);

impl Postgres {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [key, cert] = certificate(folder.path());
        if rustix::process::geteuid().is_root() {
            let owned = outside("chown").args(["-R", "postgres", folder.path().to_str().unwrap()]).status().unwrap();
            assert!(owned.success());
        }
        let data = folder.path().join("data").to_str().unwrap().to_owned();
        let made = finish(postgres("initdb").args(["-D", &data, "-A", "trust", "-U", "me", "--no-sync"]));
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let tls = ["ssl=on".to_owned(), format!("ssl_key_file={key}"), format!("ssl_cert_file={cert}")];
        loop {
            // It takes no port 0. Where somebody else takes the port in between, it ends, and another one is tried.
            let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let port = format!("port={}", addr.port());
            let options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", &port];
            let options = options.into_iter().chain(tls.iter().map(String::as_str)).flat_map(|option| ["-c", option]);
            let mut child = postgres("postgres").args(["-D", &data]).args(options).spawn().unwrap();
            let started = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(addr).is_ok() {
                    return Self(child, addr, folder);
                }
                assert!(started.elapsed() < DEADLINE, "postgres does not listen");
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        // At once, with the processes that it has started.
        let _ = kill_process(Pid::from_raw(self.0.id().cast_signed()).unwrap(), Signal::QUIT);
        let _ = self.0.wait();
    }
}

/// What is asked of a server comes to once it is ready, which only asking tells: it takes connections a little earlier.
fn once_ready(ask: impl Fn() -> Finished) -> Finished {
    let started = Instant::now();
    loop {
        let asked = ask();
        if asked.code == Some(0) || started.elapsed() > DEADLINE {
            return asked;
        }
    }
}

#[test]
fn psql_reaches_its_server_by_the_name_that_it_asks_for() {
    let server = Postgres::start();
    let mut router = Tapline::start(&["sni-route", "0", &format!("a.test={}", server.1), "--starttls", "postgres"]);
    let addr = router.addr();
    let psql = |name: &str, mode: &str| {
        let to = format!("host={name} hostaddr={} port={} user=me dbname=postgres sslmode={mode}", addr.ip(), addr.port());
        let query = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
        finish(outside("psql").args([&to, "-XAtc", query]))
    };
    let first = once_ready(|| psql("a.test", "require"));
    assert_eq!((first.stdout.as_str(), first.code), ("t|TLSv1.3\n", Some(0)), "{}", first.stderr);
    let unknown = psql("b.test", "require");
    assert!(unknown.stderr.contains("unrecognized name"), "{}", unknown.stderr);
    let plain = psql("a.test", "disable");
    assert!(plain.stderr.contains("TLS is required"), "{}", plain.stderr);
    router.stop();
    let outcomes: Vec<_> = router.seen.iter().filter(|event| event["event"] == "routed").map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes[outcomes.len() - 3..], ["matched", "unknown_name", "not_tls"]);
}

#[test]
fn s_client_reaches_a_mail_server_by_the_name_that_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let [key, cert] = certificate(folder.path());
    // Everything but the TLS of a mail server; that is openssl's.
    let mut openssl =
        outside("openssl").args(["s_server", "-accept", "127.0.0.1:0", "-key", &key, "-cert", &cert, "-rev"]).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(openssl.stdout.take().unwrap()));
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT ")).expect("s_server says where it accepts");
    let inner: SocketAddr = line.trim_start_matches("ACCEPT ").parse().unwrap();
    let mail = server(move |mut stream| {
        stream.write_all(b"220 mail.a.test ESMTP\r\n").unwrap();
        for (command, answer) in [("EHLO [127.0.0.1]\r\n", "250-mail.a.test\r\n250 STARTTLS\r\n"), ("STARTTLS\r\n", "220 go\r\n")] {
            assert_eq!(read_n(&mut stream, command.len()), command.as_bytes());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        let inside = connect(inner);
        let (mut from, mut to) = (stream.try_clone().unwrap(), inside.try_clone().unwrap());
        let up = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut { inside }, &mut stream);
        let _ = up.join();
    });
    let mut router = Tapline::start(&["sni-route", "0", &format!("a.test={mail}"), "--starttls", "smtp"]);
    let args = ["s_client", "-starttls", "smtp", "-servername", "a.test", "-CAfile", &cert, "-brief", "-connect"];
    let mut client = outside("openssl").args(args).arg(router.addr().to_string()).stdin(std::process::Stdio::piped()).spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(b"desrever\n").unwrap();
    // What the mail server has said in clear comes before it.
    let (stdout, mut said) = (client.stdout.as_mut().unwrap(), Vec::new());
    while !said.ends_with(b"reversed") {
        said.extend(read_n(stdout, 1));
    }
    drop(client.stdin.take());
    let mut stderr = String::new();
    client.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    client.wait().unwrap();
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    assert!(stderr.contains("Verification: OK"), "{stderr}");
    assert_eq!(router.event("routed")["outcome"], "matched");
}

#[test]
fn psql_reaches_a_server_without_tls_through_tls_terminate() {
    let server = Postgres::start();
    let mut tapline = Tapline::start(&["tls-terminate", "0", &server.1.to_string(), "--starttls", "postgres", "--names", "a.test"]);
    let ca = certificate_of(&mut tapline);
    let addr = tapline.addr();
    let psql = |name: &str, mode: &str| {
        let to = format!("host={name} hostaddr={} port={} user=me dbname=postgres sslmode={mode} sslrootcert={ca}", addr.ip(), addr.port());
        let query = "select ssl, sum(length(repeat('x', 1000))) from pg_stat_ssl, generate_series(1, 1000) where pid = pg_backend_pid() group by ssl";
        finish(outside("psql").args([&to, "-XAtc", query]))
    };
    let first = once_ready(|| psql("a.test", "verify-full"));
    // The line that is printed works as it stands; who asks is another matter.
    let line = tapline.seen.iter().find_map(|event| event["try_with"].as_str()).unwrap().to_owned();
    assert!(line.starts_with("psql 'host=a.test hostaddr=127.0.0.1 port="), "{line}");
    let printed =
        finish(outside("sh").args(["-c", &format!("{line} -XAtc 'select 1 + 1'")]).envs([("PGUSER", "me"), ("PGDATABASE", "postgres")]));
    assert_eq!(printed.stdout, "2\n", "{line}: {printed:?}");
    // The server has a connection in clear.
    assert_eq!((first.stdout.as_str(), first.code), ("f|1000000\n", Some(0)), "{}", first.stderr);
    let wrong = psql("b.test", "verify-full");
    assert!(wrong.stderr.contains("unrecognized name"), "{}", wrong.stderr);
    let plain = psql("a.test", "disable");
    assert!(plain.stderr.contains("TLS is required"), "{}", plain.stderr);
}

/// The file with the authority of a certificate made in memory.
fn certificate_of(tapline: &mut Tapline) -> String {
    tapline.event("certificate")["ca"].as_str().unwrap().to_owned()
}

/// A mail server without TLS, which keeps what it is sent.
fn mail_server() -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    use std::io::BufRead;
    let (sender, mails) = std::sync::mpsc::channel();
    let addr = server(move |mut stream| {
        let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        stream.write_all(b"220-mail.a.test\r\n220 ready\r\n").unwrap();
        while let Some(line) = lines.next() {
            let answer = match line.split(' ').next().unwrap_or_default() {
                "EHLO" => "250-mail.a.test\r\n250 8BITMIME\r\n",
                "DATA" => {
                    stream.write_all(b"354 go\r\n").unwrap();
                    let mail: Vec<_> = lines.by_ref().take_while(|line| line != ".").collect();
                    let _ = sender.send(mail.join("\n"));
                    "250 kept\r\n"
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").unwrap(),
                _ => "250 OK\r\n",
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (addr, mails)
}

#[test]
fn curl_sends_mail_to_a_server_without_tls_through_tls_terminate() {
    let (addr, mails) = mail_server();
    let mut tapline = Tapline::start(&["tls-terminate", "0", &addr.to_string(), "--starttls", "smtp"]);
    let ca = certificate_of(&mut tapline);
    let url = format!("smtp://{}/client.test", tapline.addr());
    let curl = [
        "-sS",
        "--max-time",
        "20",
        "--ssl-reqd",
        "--cacert",
        &ca,
        "--mail-from",
        "me@a.test",
        "--mail-rcpt",
        "you@a.test",
        "-T",
        "-",
        &url,
    ];
    let sent = finish_fed(outside("curl").args(curl), b"Subject: secret\r\n\r\nhello\r\n");
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert_eq!(mails.recv().unwrap(), "Subject: secret\n\nhello");
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn the_line_printed_for_mail_works_as_it_stands() {
    let (addr, _mails) = mail_server();
    let addr = addr.to_string();
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("a socket").display());
    for args in [&["0"][..], &["0", "--strict-sni"], &["[::1]:0", "--names", "*.a.test"], &[&socket], &[&socket, "--names", "192.0.2.7"]] {
        let flags = [&["tls-terminate", args[0], &addr, "--starttls", "smtp"], &args[1..]].concat();
        let mut tapline = Tapline::start(&flags);
        let made = tapline.event("certificate");
        let line = made["try_with"].as_str().unwrap();
        assert_eq!(line.starts_with("curl "), !args[0].starts_with("unix:"), "{line}");
        let answer = finish_fed(outside("sh").args(["-c", line]), b"QUIT\r\n");
        assert_eq!(answer.code, Some(0), "{line}: {answer:?}");
        assert_eq!(tapline.event("handshake")["version"], "TLSv1.3");
    }
}

#[test]
fn the_line_printed_for_databases_on_a_socket_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("a socket").display());
    let mut tapline = Tapline::start(&["tls-terminate", &socket, "builtin:echo", "--starttls", "postgres", "--strict-sni"]);
    let made = tapline.event("certificate");
    let line = made["try_with"].as_str().unwrap();
    let answer = finish_fed(outside("sh").args(["-c", line]), b"Q\n");
    assert!(answer.code == Some(0) && answer.stdout.contains("Verification: OK"), "{line}: {answer:?}");
}

#[test]
fn s_client_speaks_with_a_mail_server_without_tls_through_tls_terminate() {
    let (addr, _mails) = mail_server();
    let mut tapline = Tapline::start(&["tls-terminate", "0", &addr.to_string(), "--starttls", "smtp"]);
    let args = ["s_client", "-starttls", "smtp", "-quiet", "-ign_eof", "-verify_return_error", "-CAfile"];
    let said = finish_fed(
        outside("openssl").args(args).arg(certificate_of(&mut tapline)).args(["-connect", &tapline.addr().to_string()]),
        b"EHLO client.test\r\nQUIT\r\n",
    );
    assert!(said.stdout.contains("250-mail.a.test\r\n250 8BITMIME\r\n221 bye\r\n"), "{said:?}");
}
