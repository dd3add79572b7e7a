//! DTLS 1.0 to 1.3 (RFC 6347 and 9147): the ClientHello from the fragments in plaintext records.

use super::{Alert, ClientHello, Framing, Greeting, MOST, Malformed, pieces::Pieces};
use tls_parser::{TlsRecordType, parse_dtls_record_header};

/// Hellos of a flow that are known at a time: one without a cookie and one with it, of this connection and an earlier one.
const MOST_MESSAGES: usize = 4;
/// Type, length, sequence, offset and length of the fragment (RFC 6347 section 4.2.2).
const FRAGMENT_HEADER: usize = 12;

/// What is known of a flow.
#[derive(Debug, Default)]
pub(super) struct Dtls {
    /// The one that was heard of last comes last.
    messages: Vec<Message>,
    /// How many datagrams have come.
    datagrams: u64,
    /// There was another message of a handshake.
    other: bool,
    /// Of the last record.
    version: Option<[u8; 2]>,
    /// How often the client was refused.
    refusals: u64,
}

/// A ClientHello that is coming.
#[derive(Debug)]
struct Message {
    /// Its number in the handshake: the one with the cookie has another than the one without.
    sequence: u16,
    length: usize,
    datagrams: usize,
    /// The datagram of the latest fragment.
    latest: Option<u64>,
    pieces: Pieces,
    /// It was told, or why it is none.
    done: bool,
}

/// Whether a datagram begins with a record of DTLS in plaintext: a type, then major version 254.
pub(super) fn may_be_dtls(datagram: &[u8]) -> bool {
    matches!(datagram, [20..=26, 0xfe, 0xfd..=0xff, ..])
}

impl Dtls {
    /// Takes a datagram of the client's. What is malformed is told once for a datagram, and ends it.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Vec<Greeting> {
        self.datagrams += 1;
        let mut hellos = Vec::new();
        let malformed = self.records(datagram, &mut hellos).err();
        hellos.into_iter().map(|hello| Greeting::Tls(Box::new(hello))).chain(malformed.map(Greeting::Malformed)).collect()
    }

    fn records(&mut self, datagram: &[u8], hellos: &mut Vec<ClientHello>) -> Result<(), Malformed> {
        let mut rest = datagram;
        while may_be_dtls(rest) {
            let wrong = |what| Malformed { offset: datagram.len() - rest.len(), what };
            let (body, header) = parse_dtls_record_header(rest).map_err(|_| wrong("a DTLS record that ends inside its header"))?;
            let handshake = header.content_type == TlsRecordType::Handshake && header.epoch == 0;
            let Some((payload, after)) = body.split_at_checked(header.length.into()) else {
                return if handshake { Err(wrong("a DTLS record longer than its datagram")) } else { Ok(()) };
            };
            if handshake {
                self.version = Some(header.version.0.to_be_bytes());
                self.fragments(payload, datagram.len() - body.len(), header.version.0, hellos)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// Takes the fragments in a record, which stand at `start` of its datagram.
    fn fragments(&mut self, payload: &[u8], start: usize, version: u16, hellos: &mut Vec<ClientHello>) -> Result<(), Malformed> {
        let mut rest = payload;
        while !rest.is_empty() {
            let wrong = |what| Err(Malformed { offset: start + payload.len() - rest.len(), what });
            let Some((header, body)) = rest.split_first_chunk::<FRAGMENT_HEADER>() else {
                return wrong("a DTLS fragment that ends inside its header");
            };
            let [kind, l1, l2, l3, s1, s2, o1, o2, o3, f1, f2, f3] = *header;
            let number = |high, middle, low| u32::from_be_bytes([0, high, middle, low]) as usize;
            let (length, at) = (number(l1, l2, l3), number(o1, o2, o3));
            let Some((data, after)) = body.split_at_checked(number(f1, f2, f3)) else {
                return wrong("a DTLS fragment longer than its record");
            };
            match kind {
                1 if length > MOST => return wrong("a hello longer than 64 KiB"),
                1 if at + data.len() > length => return wrong("a DTLS fragment that ends after its message"),
                1 => hellos.extend(self.fragment(u16::from_be_bytes([s1, s2]), length, at, data, version)?),
                _ => self.other = true,
            }
            rest = after;
        }
        Ok(())
    }

    fn fragment(&mut self, sequence: u16, length: usize, at: usize, data: &[u8], version: u16) -> Result<Option<ClientHello>, Malformed> {
        let known = self.messages.iter().rposition(|message| message.sequence == sequence && message.length == length);
        let mut message = match known {
            Some(known) => self.messages.remove(known),
            None => Message::new(sequence, length),
        };
        let mut put = message.pieces.put(at, data);
        if put.is_err() && message.done {
            // Not the one that was told: another connection from the same address (RFC 6347 section 4.2.8).
            message = Message::new(sequence, length);
            put = message.pieces.put(at, data);
        }
        let told = match put {
            Ok(()) => message.told(version, self.datagrams),
            Err(what) => {
                message.done = true;
                Err(Malformed { offset: at, what })
            }
        };
        if self.messages.len() == MOST_MESSAGES {
            self.messages.remove(0);
        }
        self.messages.push(message);
        told
    }

    /// Why there is no hello, where one was begun.
    pub(super) fn unfinished(&self) -> Option<Malformed> {
        match self.messages.iter().rev().find(|message| !message.done) {
            Some(message) => Some(Malformed::unfinished(message.pieces.whole())),
            None if self.messages.is_empty() && self.other => {
                Some(Malformed { offset: 0, what: "a handshake message that is no ClientHello" })
            }
            None => None,
        }
    }

    /// Bytes of memory that this takes, roughly.
    pub(super) fn cost(&self) -> usize {
        self.messages.iter().map(|message| size_of::<Message>() + message.pieces.cost()).sum()
    }

    /// The record that refuses the client, by a fatal alert (RFC 6347 section 4.1).
    pub(super) fn refusal(&mut self, alert: Alert) -> Option<Vec<u8>> {
        let [major, minor] = self.version?;
        // The sequence is 48 bits long; who sees a number twice drops the record as a replay (RFC 6347 section 4.1.2.6).
        let sequence = self.refusals & 0xffff_ffff_ffff;
        self.refusals += 1;
        // Type 21, version, epoch 0 and the sequence, length 2, level fatal.
        Some([&[21, major, minor][..], &sequence.to_be_bytes(), &[0, 2, 2, alert as u8]].concat())
    }
}

impl Message {
    fn new(sequence: u16, length: usize) -> Self {
        Self { sequence, length, datagrams: 0, latest: None, pieces: Pieces::default(), done: false }
    }

    /// The hello, once it is whole, after one more fragment in this datagram.
    fn told(&mut self, version: u16, datagram: u64) -> Result<Option<ClientHello>, Malformed> {
        if self.done {
            return Ok(None);
        }
        self.datagrams += usize::from(self.latest.replace(datagram) != Some(datagram));
        if self.pieces.whole().len() < self.length {
            return Ok(None);
        }
        self.done = true;
        let mut message = (self.length as u32).to_be_bytes().to_vec();
        message[0] = 1;
        message.extend(self.pieces.whole());
        super::message(&message, Framing::Dtls { version, datagrams: self.datagrams }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::{Datagrams, ja4, tests::client_hello};
    use proptest::prelude::*;

    const DTLS12: [u8; 2] = [0xfe, 0xfd];

    /// The hello of rustls as DTLS has it: another version, and a cookie after the session id.
    fn body(name: &str, cookie: &[u8]) -> Vec<u8> {
        let message = client_hello(name, &["h2"]).split_off(5);
        let session_id = 4 + 2 + 32;
        let after = session_id + 1 + usize::from(message[session_id]);
        [&DTLS12[..], &message[6..after], &[cookie.len() as u8], cookie, &message[after..]].concat()
    }

    fn record(kind: u8, epoch: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0xfe, 0xff, 0, epoch, 0, 0, 0, 0, 0, 7][..], &(payload.len() as u16).to_be_bytes(), payload].concat()
    }

    fn fragment(kind: u8, sequence: u8, body: &[u8], at: usize, length: usize) -> Vec<u8> {
        let number = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        [&[kind][..], &number(body.len()), &[0, sequence], &number(at), &number(length), &body[at..at + length]].concat()
    }

    fn whole(sequence: u8, body: &[u8]) -> Vec<u8> {
        record(22, 0, &fragment(1, sequence, body, 0, body.len()))
    }

    fn only(greetings: &[Greeting]) -> &ClientHello {
        match greetings {
            [Greeting::Tls(hello)] => hello,
            other => panic!("{other:?}"),
        }
    }

    fn malformed(greetings: &[Greeting]) -> (usize, &'static str) {
        match greetings {
            [Greeting::Malformed(malformed)] => (malformed.offset, malformed.what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_without_a_cookie_and_one_with_it_are_both_told_and_each_once() {
        let (first, second) = (body("a.test", b""), body("a.test", b"cookie"));
        let mut flow = Datagrams::default();
        let told = flow.take(&whole(0, &first));
        let hello = only(&told);
        assert_eq!((hello.name.to_string(), &hello.message()[4..]), ("a.test".to_owned(), &first[..]));
        assert_eq!(hello.came, Framing::Dtls { version: 0xfeff, datagrams: 1 });
        assert!(ja4(hello).ja4.starts_with('d'));
        assert_eq!(flow.take(&whole(0, &first)), [], "sent again");
        assert_eq!(&only(&flow.take(&whole(1, &second))).message()[4..], second);
        // Another connection from the same port.
        let other = body("b.test", b"");
        assert_eq!(only(&flow.take(&whole(0, &other))).name.to_string(), "b.test");
        assert_eq!(flow.take(&whole(0, &other)), []);
        assert_eq!(flow.unfinished(), None);
        // Fragments that share a datagram.
        let parts: Vec<_> = (0..4).map(|part| record(22, 0, &fragment(1, 2, &second, 20 * part, 20))).collect();
        assert_eq!(flow.take(&parts.concat()), []);
        let told = flow.take(&record(22, 0, &fragment(1, 2, &second, 80, second.len() - 80)));
        assert_eq!(only(&told).came, Framing::Dtls { version: 0xfeff, datagrams: 2 });
    }

    #[test]
    fn records_that_are_no_plain_handshake_are_passed_over() {
        let hello = whole(0, &body("a.test", b""));
        let datagram = [record(20, 0, b"\x01"), record(22, 1, b"sealed"), hello, record(21, 0, b"\x01\0")].concat();
        only(&Datagrams::default().take(&datagram));
        let mut flow = Datagrams::default();
        assert_eq!(flow.take(&record(22, 0, &fragment(2, 0, b"server", 0, 6))), []);
        assert_eq!(flow.unfinished().unwrap().what, "a handshake message that is no ClientHello");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let body = body("a.test", b"");
        let take = |datagram: &[u8]| Datagrams::default().take(datagram);
        assert_eq!(malformed(&take(&whole(0, &body)[..100])), (0, "a DTLS record longer than its datagram"));
        assert_eq!(malformed(&take(&[22, 0xfe, 0xfd, 0])), (0, "a DTLS record that ends inside its header"));
        assert_eq!(malformed(&take(&record(22, 0, &[1, 0, 0]))), (13, "a DTLS fragment that ends inside its header"));
        assert_eq!(malformed(&take(&record(22, 0, &[1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9]))), (13, "a DTLS fragment longer than its record"));
        assert_eq!(
            malformed(&take(&record(22, 0, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]))).1,
            "a DTLS fragment that ends after its message"
        );
        assert_eq!(malformed(&take(&record(22, 0, &[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]))).1, "a hello longer than 64 KiB");
        let mut flow = Datagrams::default();
        assert_eq!(flow.take(&record(22, 0, &fragment(1, 0, &body, 0, 50))), []);
        assert_eq!(flow.unfinished().unwrap(), Malformed { offset: 50, what: "no end of the hello" });
        let other = vec![7; body.len()];
        assert_eq!(
            malformed(&flow.take(&record(22, 0, &fragment(1, 0, &other, 0, 50)))),
            (0, "bytes of the hello that come again and differ")
        );
    }

    #[test]
    fn what_is_malformed_is_told_once_for_a_datagram() {
        let empty: Vec<u8> = (0..9).flat_map(|sequence| fragment(1, sequence, b"", 0, 0)).collect();
        let datagram = [whole(0, &body("a.test", b"")), record(22, 0, &empty), whole(7, &body("b.test", b""))].concat();
        let told = Datagrams::default().take(&datagram);
        assert!(matches!(told[..], [Greeting::Tls(_), Greeting::Malformed(_)]), "{told:?}");
    }

    #[test]
    fn a_refusal_is_an_alert_in_the_version_of_the_client() {
        let mut flow = Datagrams::default();
        flow.take(&whole(0, &body("a.test", b"")));
        for sequence in 0..2 {
            let alert = vec![21, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, sequence, 0, 2, 2, 40];
            assert_eq!(flow.refusal(Alert::HandshakeFailure), Some(alert));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_fragments_in_any_order_give_the_hello(
            // Single bytes, shuffled, would be more pieces than may wait.
            size in 2usize..600, extra in proptest::collection::vec((0usize..250, 1usize..200), 0..10), order in any::<u64>(),
        ) {
            let body = body("www.example.test", b"cookie");
            let mut cuts: Vec<_> = (0..body.len()).step_by(size).map(|at| (at, size)).chain(extra).collect();
            cuts.sort_by_key(|(at, length)| (*at as u64).wrapping_mul(order | 1) ^ *length as u64);
            let mut flow = Datagrams::default();
            let told: Vec<_> = cuts
                .iter()
                .filter(|(at, _)| *at < body.len())
                .flat_map(|(at, length)| flow.take(&record(22, 0, &fragment(1, 1, &body, *at, (*length).min(body.len() - at)))))
                .collect();
            prop_assert_eq!(&only(&told).message()[4..], body);
        }

        #[test]
        fn no_datagrams_panic(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..6)) {
            let mut flow = Datagrams::default();
            for datagram in datagrams {
                flow.take(&record(22, 0, &datagram));
                flow.take(&[&[22, 0xfe, 0xfd], &datagram[..]].concat());
            }
            let _ = (flow.unfinished(), flow.refusal(Alert::HandshakeFailure));
        }
    }
}
