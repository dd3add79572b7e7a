use super::*;
use crate::{
    addr::TargetSpec,
    balance::Policy,
    dial::Options,
    tls::{ClientTls, Trust},
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn checks(steps: &[&str], timeout: Duration) -> Checks {
    let probe = Probe::new(steps.iter().map(|step| step.parse().unwrap()).collect()).unwrap();
    let one = NonZeroU32::MIN;
    Checks { probe, announce: None, every: Duration::from_secs(1), timeout, rise: one, fall: one }
}

/// What a check of a target says.
async fn verdict_within(timeout: Duration, target: &str, steps: &[&str]) -> Verdict {
    let specs = [target.parse::<TargetSpec>().unwrap()];
    let backend = Pool::new(&specs, Policy::default()).await.unwrap().backends().remove(0);
    let tls = ClientTls::new(&Trust::Anyone).unwrap();
    let dialer = Dialer { connect_timeout: timeout, options: Options::default(), tls };
    match check(&backend, &checks(steps, timeout), &dialer).await {
        Ok(verdict) => verdict,
        Err(Unasked(why)) => panic!("{why}"),
    }
}

async fn verdict(target: &str, steps: &[&str]) -> Verdict {
    verdict_within(Duration::from_secs(20), target, steps).await
}

/// A server of one connection, which is over when `serve` is.
async fn server<F: Future<Output = ()> + Send>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    addr.to_string()
}

#[test]
fn the_first_verdict_decides_and_later_ones_count() {
    let three = NonZeroU32::new(3).unwrap();
    let two = NonZeroU32::new(2).unwrap();
    let checks = Checks { rise: two, fall: three, ..checks(&[], Duration::ZERO) };
    let (mut observed, mut up) = (Observed::default(), true);
    let mut states = String::new();
    for ok in [false, true, true, false, false, true, false, false, false, true, false, true, true] {
        up ^= observed.turns(up, ok, &checks);
        states.push(if up { '1' } else { '0' });
    }
    assert_eq!(states, "0011111100001");
}

#[test]
fn checks_are_spread_over_the_interval() {
    let every = Duration::from_secs(1);
    let mut places: Vec<_> = (1..=100).map(|id| second(BackendId(id), every)).collect();
    places.sort();
    assert!(places[0] >= every / 2 && places[99] <= every * 3 / 2);
    // Evenly, each would be 10 ms after the one before.
    let widest = places.windows(2).map(|pair| pair[1].abs_diff(pair[0])).max().unwrap();
    assert!(widest < Duration::from_millis(20), "{widest:?}");
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_also_in_pieces() {
    let greeter = |pieces: &'static [&'static str]| {
        server(move |mut stream| async move {
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            let _ = stream.read(&mut [0]).await;
        })
    };
    let steps = ["expect:220 ", r"expect:ready\r\n"];
    assert_eq!(verdict(&greeter(&["22", "0 mail.test re", "ady\r", "\n"]).await, &steps).await, Ok(r#"said "ready\r\n""#.into()));
    let silent = server(|mut stream| async move { drop(stream.read(&mut [0]).await) }).await;
    let limit = Duration::from_millis(100);
    assert_eq!(verdict_within(limit, &silent, &steps).await, Err(r#"did not say "220 ": nothing came, nothing more for 100ms"#.into()));
    let other = server(|mut stream| async move { stream.write_all(b"421 busy\r\n").await.unwrap() }).await;
    assert_eq!(verdict(&other, &steps).await, Err(r#"did not say "220 ": "421 busy\r\n" came, ended"#.into()));
}

#[tokio::test]
async fn what_is_sent_is_answered_and_no_endless_answer_is_read() {
    let redis = server(|mut stream| async move {
        let mut asked = [0; 6];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(if &asked == b"PING\r\n" { b"+PONG\r\n" } else { b"-ERR\r\n" }).await.unwrap();
        // The check ends with FIN.
        assert_eq!(stream.read(&mut asked).await.unwrap(), 0);
    });
    assert_eq!(verdict(&redis.await, &[r"send:PING\r\n", "expect:+PONG"]).await, Ok(r#"said "+PONG""#.into()));
    let endless = server(|mut stream| async move { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} }).await;
    let why = verdict(&endless, &["expect:y"]).await.unwrap_err();
    assert!(why.ends_with("xxx...\" came, 64 KiB read"), "{why}");
}

#[tokio::test]
async fn http_is_asked_on_a_connection_of_its_own() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Ok("answered 200 OK")),
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", Ok("answered 302 Found")),
        ("HTTP/1.0 503 Busy\r\n\r\n", Err("answered 503 Service Unavailable")),
        ("SSH-2.0-x\r\n", Err("invalid HTTP version parsed")),
        ("", Err("connection closed before message completed")),
    ] {
        let (tell, asked) = tokio::sync::oneshot::channel();
        let target = server(move |mut stream| async move {
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.unwrap();
            request.truncate(n);
            tell.send(String::from_utf8(request).unwrap()).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let said = verdict(&target, &["http:/health?x=1"]).await;
        assert_eq!(said.as_ref().map(String::as_str).map_err(String::as_str), expected);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /health?x=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {target}\r\n")), "{asked}");
    }
    let silent = server(|mut stream| async move { while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {} }).await;
    assert_eq!(verdict_within(Duration::from_millis(100), &silent, &["http:/"]).await, Err("no HTTP answer for 100ms".into()));
}

#[tokio::test]
async fn a_server_without_tls_fails_a_check_by_tls_in_words() {
    let plain = server(|mut stream| async move {
        stream.write_all(b"220 hello\r\n").await.unwrap();
        drop(stream.read(&mut [0; 4096]).await);
    });
    let why = verdict(&plain.await, &["tls"]).await.unwrap_err();
    assert!(!why.is_empty() && !why.starts_with("no TLS handshake"), "{why}");
    let silent = server(|mut stream| async move { while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {} }).await;
    assert_eq!(verdict_within(Duration::from_millis(100), &silent, &["tls:a.test"]).await, Err("no TLS handshake for 100ms".into()));
}

#[cfg(unix)]
mod commands {
    use super::*;

    #[tokio::test]
    async fn the_status_decides_and_the_first_line_is_the_reason() {
        let command = r#"exec:echo; echo "$TAPLINE_TARGET is $TAPLINE_HOST and $TAPLINE_PORT"; echo more"#;
        assert_eq!(verdict("[::1]:7", &[command]).await, Ok("[::1]:7 is ::1 and 7".into()));
        assert_eq!(verdict("h:7", &["exec:echo why >&2; exit 3"]).await, Err("why".into()));
        assert_eq!(verdict("h:7", &["exec:exit 3"]).await, Err("exit status: 3".into()));
        // What it writes is bounded, and it may go on writing.
        let long = verdict("h:7", &["exec:yes x | tr -d '\\n' | head -c 1000000; echo; exit 1"]).await.unwrap_err();
        assert!(long.starts_with("xxx") && long.len() < 300, "{long}");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = std::env::temp_dir().join(format!("tapline-exec-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let pids = folder.join("pids");
        // One that the shell waits for, and one that it does not.
        let command = format!("exec:sleep 1000 & echo $! >{0}; sleep 1001 & echo $! >>{0}; wait", pids.display());
        let said = verdict_within(Duration::from_millis(300), "h:7", &[&command]).await;
        assert_eq!(said, Err("not done after 300ms".into()));
        let text = std::fs::read_to_string(&pids).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(text.lines().count(), 2);
        let is_gone = || {
            // A zombie that nobody waits for is dead as well.
            text.lines().all(|pid| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
                Err(_) => true,
            })
        };
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !is_gone() {
            assert!(std::time::Instant::now() < deadline, "they live: {text}");
            tokio::task::yield_now().await;
        }
    }
}
