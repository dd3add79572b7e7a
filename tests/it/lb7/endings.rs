//! Draining.

use super::*;

/// A backend that answers when it is told to.
fn told() -> (SocketAddr, Receiver<()>, std::sync::mpsc::Sender<()>) {
    let ((asked, was_asked), (go, wait)) = (channel(), channel());
    let wait = std::sync::Mutex::new(wait);
    let addr = server(move |mut stream| {
        while read_head(&mut stream).is_some() {
            let _ = asked.send(());
            let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
            let _ = stream.write_all(OK.as_bytes());
        }
    });
    (addr, was_asked, go)
}

#[test]
fn a_drain_finishes_the_request_under_way_and_closes_the_idle_at_once() {
    let (addr, asked, go) = told();
    let mut tapline = balancer(&[addr], &[]);
    // One that asked before and waits, one that never asked, and one that is being answered.
    let (mut kept, mut fresh, mut busy) = (tapline.connect(), tapline.connect(), tapline.connect());
    go.send(()).unwrap();
    exchange(&mut kept, GET);
    asked.recv_timeout(DEADLINE).unwrap();
    busy.write_all(GET.as_bytes()).unwrap();
    asked.recv_timeout(DEADLINE).unwrap();
    for _ in 0..3 {
        tapline.event("opened");
    }
    tapline.signal("TERM");
    assert_eq!(read_to_any_end(&mut kept), (vec![], Ok(())));
    assert_eq!(read_to_any_end(&mut fresh), (vec![], Ok(())));
    for _ in 0..2 {
        let closed = tapline.closed();
        assert_eq!((&closed["by"], &closed["failed"]), (&"shutdown".into(), &false.into()), "{closed}");
    }
    go.send(()).unwrap();
    let answer = Message::read(&mut busy).unwrap();
    assert_eq!((answer.text().as_str(), answer.all("connection")), ("ok", vec!["close"]));
    assert_eq!(read_to_any_end(&mut busy), (vec![], Ok(())));
    assert_eq!(tapline.wait().code(), Some(0));
}

#[test]
fn a_request_that_outlives_the_grace_is_cut() {
    let (addr, asked, _go) = told();
    let mut tapline = balancer(&[addr], &["--grace", "200ms"]);
    let mut client = tapline.connect();
    client.write_all(GET.as_bytes()).unwrap();
    asked.recv_timeout(DEADLINE).unwrap();
    tapline.signal("INT");
    assert!(read_to_any_end(&mut client).1.is_err());
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["during"]), (&"shutdown".into(), &"response".into()), "{closed}");
    assert_eq!(tapline.wait().code(), Some(5));
}
