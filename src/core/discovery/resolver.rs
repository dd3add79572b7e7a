//! Asking DNS: as the system is set up, or one server.

use crate::event::{brief, io_words};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData},
    },
    system_conf::read_system_conf,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{task::spawn_blocking, time::timeout};

/// For one question, through all servers and domains of the search list.
const LIMIT: Duration = Duration::from_secs(10);
/// How long it counts that there is nothing, where the answer does not tell.
const NEGATIVE: Duration = Duration::from_secs(5);

/// What a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// What there is, and how long that counts. There may be nothing: the name is there without it.
    Known(T, Duration),
    /// There is no such name (NXDOMAIN).
    NoName,
    /// Why nothing is known.
    Failed(String),
}

/// A record of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) host: Name,
}

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    /// Instead of the servers of the system.
    server: Option<SocketAddr>,
}

impl Resolver {
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        Self { server }
    }

    /// The IPv4 and IPv6 addresses of a name. They are asked for apart: where one of them fails, the other still tells.
    pub(super) async fn addresses(self, name: &Name) -> [Answer<BTreeSet<IpAddr>>; 2] {
        let asking = |strategy| async move {
            let resolver = match self.with(strategy).await {
                Ok(resolver) => resolver,
                Err(why) => return Answer::Failed(why),
            };
            let found = timeout(LIMIT, resolver.lookup_ip(name.clone())).await;
            answer(found.map(|found| found.map(Lookup::from)), RData::ip_addr)
        };
        let (v4, v6) = tokio::join!(asking(LookupIpStrategy::Ipv4Only), asking(LookupIpStrategy::Ipv6Only));
        [v4, v6]
    }

    /// The records of a service.
    pub(super) async fn services(self, name: &Name) -> Answer<BTreeSet<Service>> {
        let resolver = match self.with(LookupIpStrategy::Ipv4Only).await {
            Ok(resolver) => resolver,
            Err(why) => return Answer::Failed(why),
        };
        let found = timeout(LIMIT, resolver.srv_lookup(name.clone())).await;
        answer(found, |data| match data {
            RData::SRV(srv) => {
                let host = srv.target.clone();
                Some(Service { priority: srv.priority, weight: srv.weight, port: srv.port, host })
            }
            _ => None,
        })
    }

    /// As the system is set up now: its servers change with its networks. Nothing is kept: how long an answer counts is for
    /// who asks.
    async fn with(self, strategy: LookupIpStrategy) -> Result<TokioResolver, String> {
        let building = spawn_blocking(move || {
            let read = read_system_conf();
            let (config, mut options) = match (read, self.server) {
                (Ok((config, options)), Some(server)) => {
                    let (domain, search, _) = config.into_parts();
                    (ResolverConfig::from_parts(domain, search, vec![at(server)]), options)
                }
                (Err(_), Some(server)) => (ResolverConfig::from_name_servers(vec![at(server)]), ResolverOpts::default()),
                (Ok(read), None) => read,
                (Err(error), None) => return Err(format!("cannot read how the system resolves names: {}", words(&error))),
            };
            options.ip_strategy = strategy;
            options.cache_size = 0;
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options;
            builder.build().map_err(|error| words(&error))
        });
        building.await.map_err(|error| error.to_string())?
    }
}

fn at(server: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

/// What a look-up came to: what `of` makes of its records.
fn answer<T: Ord>(
    found: Result<Result<Lookup, NetError>, tokio::time::error::Elapsed>,
    of: impl Fn(&RData) -> Option<T>,
) -> Answer<BTreeSet<T>> {
    match found {
        Ok(Ok(lookup)) => {
            let all = lookup.answers().iter().filter_map(|record| of(&record.data)).collect();
            Answer::Known(all, lookup.valid_until().saturating_duration_since(Instant::now()))
        }
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => match none.response_code {
            ResponseCode::NXDomain => Answer::NoName,
            ResponseCode::NoError => {
                let counts = none.negative_ttl.map_or(NEGATIVE, |ttl| Duration::from_secs(ttl.into()));
                Answer::Known(BTreeSet::new(), counts)
            }
            code => Answer::Failed(code_words(code)),
        },
        Ok(Err(error)) => Answer::Failed(brief(&words(&error))),
        Err(_) => Answer::Failed(format!("no answer for {LIMIT:?}")),
    }
}

fn words(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => code_words(*code),
        NetError::Timeout | NetError::NoConnections => "no answer".into(),
        NetError::Io(error) => io_words(error),
        other => other.to_string(),
    }
}

/// As dig and its like say them.
fn code_words(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::Refused => "REFUSED".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        other => other.to_string(),
    }
}
