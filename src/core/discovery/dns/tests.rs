use super::*;
use crate::{
    balance::Policy,
    dial::Dialer,
    discovery::Sources,
    event::{Event, Events, Sink},
    pool::Pool,
    shutdown::Shutdown,
};
use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SOA, SRV},
    },
    serialize::binary::{BinDecodable, BinEncodable},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::{mpsc, watch},
};

/// What a name has: records with their TTLs, or an error.
type Zone = HashMap<(String, RecordType), Result<Vec<(u32, RData)>, ResponseCode>>;

/// A server of DNS over UDP and TCP on one port.
#[derive(Clone, Default)]
struct Server {
    zone: Arc<Mutex<Zone>>,
    /// How many questions have come.
    asked: watch::Sender<usize>,
}

impl Server {
    async fn start(&self) -> SocketAddr {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let addr = tcp.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            let mut question = [0; 4096];
            while let Ok((len, peer)) = udp.recv_from(&mut question).await {
                let answer = server.answer(&question[..len], 512);
                udp.send_to(&answer, peer).await.unwrap();
            }
        });
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = tcp.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    while let Ok(len) = client.read_u16().await {
                        let mut question = vec![0; len.into()];
                        client.read_exact(&mut question).await.unwrap();
                        let answer = server.answer(&question, 65_535);
                        client.write_u16(answer.len() as u16).await.unwrap();
                        client.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        addr
    }

    fn answer(&self, question: &[u8], room: usize) -> Vec<u8> {
        let asked = Message::from_bytes(question).unwrap();
        let query = asked.queries[0].clone();
        let key = (query.name().to_string(), query.query_type());
        self.asked.send_modify(|asked| *asked += 1);
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_available = true;
        let zone = self.zone.lock().unwrap();
        match zone.get(&key) {
            Some(Ok(records)) => {
                answer.answers.extend(records.iter().map(|(ttl, data)| Record::from_rdata(query.name().clone(), *ttl, data.clone())));
            }
            Some(Err(code)) => answer.metadata.response_code = *code,
            None if zone.keys().any(|(name, _)| *name == key.0) => {
                // The name is there, without this.
                let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 7);
                answer.authorities.push(Record::from_rdata(query.name().clone(), 7, RData::SOA(soa)));
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer.queries.push(query);
        let bytes = answer.to_bytes().unwrap();
        if bytes.len() <= room {
            return bytes;
        }
        answer.answers.clear();
        answer.metadata.truncation = true;
        answer.to_bytes().unwrap()
    }

    fn set(&self, name: &str, kind: RecordType, what: Result<Vec<(u32, RData)>, ResponseCode>) {
        self.zone.lock().unwrap().insert((name.to_owned(), kind), what);
    }

    fn has_v4(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let records = addresses.iter().map(|ip| (ttl, RData::A(A(ip.parse().unwrap())))).collect();
        self.set(name, RecordType::A, Ok(records));
    }

    fn has_v6(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let records = addresses.iter().map(|ip| (ttl, RData::AAAA(AAAA(ip.parse().unwrap())))).collect();
        self.set(name, RecordType::AAAA, Ok(records));
    }

    fn has_services(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, host): &(u16, u16, u16, &str)| {
            (60, RData::SRV(SRV::new(*priority, *weight, *port, host.parse().unwrap())))
        };
        self.set(name, RecordType::SRV, Ok(services.iter().map(record).collect()));
    }
}

fn reader(server: SocketAddr, name: &str) -> Reader {
    Reader::addresses(Resolver::new(Some(server)), DnsName(name.parse().unwrap()), 80, TargetSpec::from(()))
}

fn services(server: SocketAddr) -> Reader {
    Reader::services(Resolver::new(Some(server)), DnsName("_x._tcp.a.test.".parse().unwrap()), TargetSpec::from(()))
}

const HOUR: Duration = Duration::from_hours(1);

/// The targets or why there are none, what is wrong beside, and the seconds until it is asked again.
async fn read(reader: &mut Reader) -> (String, String, u64) {
    let (found, next) = reader.read(HOUR).await;
    let (targets, why) = match found {
        Found::All { targets, skipped } => {
            let shown = |spec: &TargetSpec| {
                let weight = if spec.weight.get() == 1 { String::new() } else { format!("*{}", spec.weight) };
                format!("{}{weight}{}", spec.target, if spec.backup { " backup" } else { "" })
            };
            (targets.iter().map(shown).collect::<Vec<_>>().join(", "), skipped.words().unwrap_or_default())
        }
        Found::Nothing(why) => ("nothing".into(), why),
    };
    (targets, why, next.as_secs())
}

fn told(targets: &str, why: &str, next: u64) -> (String, String, u64) {
    (targets.into(), why.into(), next)
}

#[tokio::test]
async fn each_address_is_a_target_in_one_order_until_the_first_expires() {
    let server = Server::default();
    let addr = server.start().await;
    server.has_v4("a.test.", 30, &["10.0.0.2", "10.0.0.1", "10.0.0.2"]);
    server.has_v6("a.test.", 20, &["2001:db8::1"]);
    let mut reader = reader(addr, "a.test.");
    let all = "10.0.0.1:80, 10.0.0.2:80, [2001:db8::1]:80";
    // What is left of a TTL is a little less.
    let (targets, why, next) = read(&mut reader).await;
    assert_eq!((targets.as_str(), why.as_str()), (all, ""));
    assert!((19..=20).contains(&next), "{next}");
    // The order of an answer says nothing, and nobody is asked without end.
    server.has_v4("a.test.", 0, &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(read(&mut reader).await, told(all, "", 1));
    server.has_v4("a.test.", 86_400, &["10.0.0.1"]);
    server.has_v6("a.test.", 86_400, &[]);
    server.zone.lock().unwrap().remove(&("a.test.".into(), RecordType::AAAA));
    let (targets, _, next) = read(&mut reader).await;
    assert_eq!(targets, "10.0.0.1:80");
    assert!((6..=7).contains(&next), "that there is no IPv6 counts for 7 s, as the zone says: {next}");
}

#[tokio::test]
async fn the_last_good_answer_stays_while_there_is_none() {
    let server = Server::default();
    let addr = server.start().await;
    let mut reader = reader(addr, "a.test.");
    assert_eq!(read(&mut reader).await, told("nothing", "no such name (NXDOMAIN)", 1));
    server.has_v4("a.test.", 30, &["10.0.0.1"]);
    server.has_v6("a.test.", 30, &["2001:db8::1"]);
    assert_eq!(read(&mut reader).await.0, "10.0.0.1:80, [2001:db8::1]:80");
    for kind in [RecordType::A, RecordType::AAAA] {
        server.set("a.test.", kind, Err(ResponseCode::ServFail));
    }
    assert_eq!(read(&mut reader).await, told("nothing", "SERVFAIL; its last targets stay", 1));
    // As long as it lasts it is told in the same words, and asked for in growing pauses.
    server.zone.lock().unwrap().clear();
    assert_eq!(read(&mut reader).await, told("nothing", "SERVFAIL; its last targets stay", 2));
    // One of the two is there again.
    server.has_v4("a.test.", 30, &["10.0.0.2"]);
    server.set("a.test.", RecordType::AAAA, Err(ResponseCode::Refused));
    let (targets, why, next) = read(&mut reader).await;
    assert_eq!(targets, "10.0.0.2:80, [2001:db8::1]:80");
    assert_eq!((why.as_str(), next), ("SERVFAIL for IPv6; the last addresses of that kind stay", 4));
    server.has_v6("a.test.", 30, &[]);
    let (targets, why, next) = read(&mut reader).await;
    assert_eq!((targets.as_str(), why.as_str()), ("10.0.0.2:80", ""));
    assert!(next > 1);
    // The name is there, without addresses.
    server.zone.lock().unwrap().clear();
    server.set("a.test.", RecordType::TXT, Ok(Vec::new()));
    assert_eq!(read(&mut reader).await.0, "");
}

#[tokio::test]
async fn a_kind_that_had_addresses_keeps_them_and_the_other_one_expires_as_it_says() {
    let server = Server::default();
    let addr = server.start().await;
    let mut reader = reader(addr, "a.test.");
    server.has_v4("a.test.", 1, &["10.0.0.1"]);
    server.has_v6("a.test.", 30, &["2001:db8::1"]);
    read(&mut reader).await;
    // As at the end of a search list, after SERVFAIL.
    server.set("a.test.", RecordType::AAAA, Err(ResponseCode::NXDomain));
    let why = "no such name (NXDOMAIN) for IPv6; the last addresses of that kind stay";
    for _ in 0..3 {
        assert_eq!(read(&mut reader).await, told("10.0.0.1:80, [2001:db8::1]:80", why, 1));
    }
    // Who never had any has none.
    server.has_v6("a.test.", 30, &[]);
    read(&mut reader).await;
    server.set("a.test.", RecordType::AAAA, Err(ResponseCode::NXDomain));
    assert_eq!(read(&mut reader).await, told("10.0.0.1:80", "", 1));
}

#[tokio::test]
async fn an_answer_of_any_length_comes_by_tcp_and_is_bounded() {
    let server = Server::default();
    let addr = server.start().await;
    let many: Vec<_> = (0..1500).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
    server.has_v4("big.test.", 30, &many.iter().map(String::as_str).collect::<Vec<_>>());
    server.set("big.test.", RecordType::CNAME, Ok(vec![(5, RData::CNAME(CNAME("a.test.".parse().unwrap())))]));
    let mut big = reader(addr, "big.test.");
    let (Found::All { targets, .. }, _) = big.read(HOUR).await else { panic!("nothing") };
    assert_eq!(targets.len(), 1500);
    // Many hosts with many addresses each are one service.
    let hosts: Vec<_> = (1..=9).map(|n| (0, 0, n, "big.test.")).collect();
    server.has_services("_x._tcp.a.test.", &hosts);
    let (Found::All { targets, skipped }, _) = services(addr).read(HOUR).await else { panic!("nothing") };
    assert_eq!((targets.len(), skipped.total()), (MOST_TARGETS, 9 * 1500 - MOST_TARGETS));
}

#[tokio::test]
async fn of_a_service_the_lowest_priority_is_in_use_and_weights_and_ports_are_its_own() {
    let server = Server::default();
    let addr = server.start().await;
    server.has_v4("one.test.", 30, &["10.0.0.1"]);
    server.has_v4("two.test.", 30, &["10.0.0.2", "10.0.0.3"]);
    server.has_services("_x._tcp.a.test.", &[(20, 5, 81, "one.test."), (10, 60, 80, "one.test."), (10, 20, 80, "two.test.")]);
    let mut reader = services(addr);
    let all = "10.0.0.2:80*20, 10.0.0.3:80*20, 10.0.0.1:80*60, 10.0.0.1:81*5 backup";
    assert_eq!(read(&mut reader).await.0, all);
    // A host that cannot be resolved keeps its addresses.
    server.set("two.test.", RecordType::A, Err(ResponseCode::ServFail));
    server.set("two.test.", RecordType::AAAA, Err(ResponseCode::ServFail));
    let now = read(&mut reader).await;
    assert_eq!(now, told(all, "two.test.: SERVFAIL; its last addresses stay", 1));
    // Meanwhile the others expire as they say.
    server.has_v4("one.test.", 1, &["10.0.0.1"]);
    for _ in 0..3 {
        assert_eq!(read(&mut reader).await.2, 1);
    }
    server.has_services("_x._tcp.a.test.", &[(1, 0, 80, "one.test.")]);
    assert_eq!(read(&mut reader).await.0, "10.0.0.1:80");
    server.set("_x._tcp.a.test.", RecordType::SRV, Err(ResponseCode::ServFail));
    assert_eq!(read(&mut reader).await, told("nothing", "SERVFAIL; its last targets stay", 1));
    // "." says that the service is not available.
    server.has_services("_x._tcp.a.test.", &[(0, 0, 0, ".")]);
    assert_eq!(read(&mut reader).await.0, "");
}

#[test]
fn weights_fit_the_range_and_keep_their_proportions() {
    let scaled = |weights: &[u16]| {
        let (most, zero) = (*weights.iter().max().unwrap(), weights.contains(&0));
        weights.iter().map(|of| weight(*of, most, zero).get()).collect::<Vec<_>>()
    };
    assert_eq!(scaled(&[0, 0]), [1, 1]);
    assert_eq!(scaled(&[10, 20]), [10, 20]);
    assert_eq!(scaled(&[0, 1]), [1, 1000]);
    assert_eq!(scaled(&[65_535, 32_768, 1]), [1000, 500, 1]);
}

/// Hands events over as they come.
struct Told(mpsc::UnboundedSender<Event>);

impl Sink for Told {
    fn emit(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

#[tokio::test]
async fn what_changes_fails_and_returns_is_told_once_each() {
    let server = Server::default();
    let addr = server.start().await;
    server.has_v4("a.test.", 0, &["10.0.0.1", "10.0.0.2"]);
    let sources = Sources {
        all: vec!["10.0.0.9:80".parse().unwrap(), "dns:a.test.:80,weight=3".parse().unwrap()],
        every: HOUR,
        resolver: Some(addr),
    };
    let pool = Pool::new(&sources.fixed(), Policy::default()).await.unwrap();
    let loaded = sources.load(&pool, &dialer()).await.unwrap();
    let labels =
        || pool.backends().iter().map(|backend| format!("{}*{}", backend.label, backend.standing().weight)).collect::<Vec<_>>().join(" ");
    assert_eq!(labels(), "10.0.0.9:80*1 10.0.0.1:80*3 10.0.0.2:80*3");
    let (to, mut events) = mpsc::unbounded_channel();
    let shutdown = Shutdown::new();
    loaded.follow(&shutdown, &Events::new(Told(to)));
    let mut next = async || match events.recv().await.unwrap() {
        Event::Targets { source, targets, added, removed, changed, skipped, why } => {
            assert_eq!((source.as_str(), changed, skipped), ("dns:a.test.:80", 0, 0));
            (targets, added, removed, why.unwrap_or_default())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, (2, 2, 0, String::new()));
    server.has_v4("a.test.", 0, &["10.0.0.3", "10.0.0.2"]);
    assert_eq!(next().await, (2, 1, 1, String::new()));
    assert_eq!(labels(), "10.0.0.9:80*1 10.0.0.2:80*3 10.0.0.3:80*3");
    server.zone.lock().unwrap().clear();
    assert_eq!(next().await, (2, 0, 0, "no such name (NXDOMAIN); its last targets stay".into()));
    // It is asked again, for addresses of both kinds, and nothing more is told until it is well.
    let asked = *server.asked.borrow();
    server.asked.subscribe().wait_for(|now| *now >= asked + 2).await.unwrap();
    server.has_v4("a.test.", 60, &["10.0.0.2", "10.0.0.3"]);
    assert_eq!(next().await, (2, 0, 0, String::new()));
    shutdown.drain();
}

#[tokio::test]
async fn a_start_without_any_target_is_none_and_says_why() {
    let server = Server::default();
    let addr = server.start().await;
    let load = async |texts: &[&str]| {
        let all = texts.iter().map(|text| text.parse().unwrap()).collect();
        let sources = Sources { all, every: HOUR, resolver: Some(addr) };
        let pool = Pool::new(&sources.fixed(), Policy::default()).await.unwrap();
        sources.load(&pool, &dialer()).await.map(drop).map_err(|error| error.to_string())
    };
    server.has_v4("there.test.", 60, &["10.0.0.1"]);
    server.set("empty.test.", RecordType::TXT, Ok(Vec::new()));
    let both = load(&["dns:none.test.:80", "dns:empty.test.:80"]).await.unwrap_err();
    assert_eq!(both, "there is no target: dns:none.test.:80 (no such name (NXDOMAIN)); dns:empty.test.:80 has none");
    assert_eq!(load(&["dns:none.test.:80", "dns:there.test.:80"]).await, Ok(()));
    assert_eq!(load(&["srv:_x._tcp.none.test.", "h:1"]).await, Ok(()));
}

fn dialer() -> Dialer {
    use crate::tls::{ClientTls, Trust};
    Dialer { connect_timeout: HOUR, options: crate::dial::Options::default(), tls: ClientTls::new(&Trust::Anyone).unwrap() }
}
