//! Targets from DNS: the addresses of a name, or the hosts of a service, asked for again when what is known has expired.

use super::{
    Found, MOST_TARGETS,
    resolver::{Answer, Resolver, Service},
    source::DnsName,
};
use crate::{
    addr::{Host, HostPort, MOST_WEIGHT, Target, TargetSpec},
    reading::{Following, Send, Skipped},
};
use hickory_resolver::proto::rr::Name;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

/// Answers that expire sooner are asked for no more often.
const FLOOR: Duration = Duration::from_secs(1);
/// The longest pause after a failure; the first is [`FLOOR`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Hosts of a service that are resolved at a time.
const AT_A_TIME: usize = 16;

/// Who asks DNS for targets, with what it knows.
#[derive(Debug)]
pub(super) struct Reader {
    resolver: Resolver,
    asked: Asked,
    /// What every target has besides.
    options: TargetSpec<()>,
    /// Whether there were targets the last time that something was answered.
    had: bool,
    pause: Duration,
}

#[derive(Debug)]
enum Asked {
    Addresses { name: Name, port: u16, known: Known },
    Services { name: Name, services: Kept<Service>, hosts: BTreeMap<Name, Known> },
}

/// What is known of a name: the last good answer stays.
#[derive(Debug)]
struct Kept<T> {
    last: BTreeSet<T>,
    /// What was wrong when it began to be. It is told in the same words until it is over.
    wrong: Option<String>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { last: BTreeSet::new(), wrong: None }
    }
}

impl<T> Kept<T> {
    /// Takes an answer, and returns how long it counts; nothing where it is none.
    fn take(&mut self, answer: Answer<BTreeSet<T>>) -> Option<Duration> {
        let why = match answer {
            Answer::Known(all, counts) => {
                *self = Self { last: all, wrong: None };
                return Some(counts);
            }
            // Names go by mistake, and all of a service with them; who is really gone fails its checks.
            Answer::NoName => "no such name (NXDOMAIN)".to_owned(),
            Answer::Failed(why) => why,
        };
        self.wrong.get_or_insert(why);
        None
    }
}

/// The addresses of a name.
#[derive(Debug, Default)]
struct Known {
    families: [Kept<IpAddr>; 2],
}

impl Known {
    /// Takes the answers for IPv4 and IPv6, and returns how long those count that are answers, and what is wrong: with all of it, or
    /// with one of the two.
    fn take(&mut self, mut answers: [Answer<BTreeSet<IpAddr>>; 2]) -> (Duration, Option<String>) {
        // A name in the hosts file with addresses of one kind may be unknown to DNS, which is asked for the other kind. Who had
        // addresses of that kind keeps them: a server that fails, and a search list that goes on, come to the same answer.
        if answers.iter().any(|answer| matches!(answer, Answer::Known(..))) {
            for (answer, family) in answers.iter_mut().zip(&self.families) {
                if *answer == Answer::NoName && family.last.is_empty() {
                    *answer = Answer::Known(BTreeSet::new(), Duration::MAX);
                }
            }
        }
        let [v4, v6] = answers;
        let [a, aaaa] = &mut self.families;
        let counts = [a.take(v4), aaaa.take(v6)];
        let least = counts.into_iter().flatten().min().unwrap_or(Duration::MAX);
        let why = match (&a.wrong, &aaaa.wrong) {
            (Some(v4), Some(v6)) if v4 == v6 => Some(v4.clone()),
            (Some(v4), Some(v6)) => Some(format!("{v4} for IPv4, {v6} for IPv6")),
            (Some(v4), None) => Some(format!("{v4} for IPv4")),
            (None, Some(v6)) => Some(format!("{v6} for IPv6")),
            (None, None) => None,
        };
        (least, why)
    }

    /// Whether nothing was answered the last time.
    fn is_failed(&self) -> bool {
        self.families.iter().all(|family| family.wrong.is_some())
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.families.iter().flat_map(|family| family.last.iter().copied())
    }
}

impl Reader {
    /// The addresses of a name.
    pub(super) fn addresses(resolver: Resolver, name: DnsName, port: u16, options: TargetSpec<()>) -> Self {
        Self { resolver, asked: Asked::Addresses { name: name.0, port, known: Known::default() }, options, had: false, pause: FLOOR }
    }

    /// The hosts of a service.
    pub(super) fn services(resolver: Resolver, name: DnsName, options: TargetSpec<()>) -> Self {
        let asked = Asked::Services { name: name.0, services: Kept::default(), hosts: BTreeMap::new() };
        Self { resolver, asked, options, had: false, pause: FLOOR }
    }

    /// Asks, and says when to ask again.
    pub(super) async fn read(&mut self, every: Duration) -> (Found, Duration) {
        let (targets, counts, failed, mut skipped, is_wrong) = match &mut self.asked {
            Asked::Addresses { name, port, known } => {
                let (counts, why) = known.take(self.resolver.addresses(name).await);
                if known.is_failed() {
                    (Vec::new(), Duration::MAX, why, Skipped::default(), true)
                } else {
                    let mut skipped = Skipped::default();
                    if let Some(why) = &why {
                        skipped.add(&format!("{why}; the last addresses of that kind stay"));
                    }
                    (known.addresses().map(|ip| target(ip, *port, &self.options)).collect(), counts, None, skipped, why.is_some())
                }
            }
            Asked::Services { name, services, hosts } => match services.take(self.resolver.services(name).await) {
                None => (Vec::new(), Duration::MAX, services.wrong.clone(), Skipped::default(), true),
                Some(counts) => {
                    let mut skipped = Skipped::default();
                    let (resolved, is_wrong) = resolve(self.resolver, &services.last, hosts, &mut skipped).await;
                    (members(&services.last, hosts, &self.options), resolved.min(counts), None, skipped, is_wrong)
                }
            },
        };
        // After a failure it is asked for again and again, in growing pauses, and no later than what was answered expires.
        let next = if is_wrong {
            let longer = (self.pause * 2).min(LONGEST_PAUSE);
            std::mem::replace(&mut self.pause, longer).min(counts)
        } else {
            self.pause = FLOOR;
            counts
        };
        let next = next.clamp(FLOOR, every.max(FLOOR));
        if let Some(why) = failed {
            return (Found::Nothing(if self.had { format!("{why}; its last targets stay") } else { why }), next);
        }
        // In one order, whatever that of the answer was, so that of too many the same are left out.
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut targets: Vec<_> = targets.into_iter().filter(|spec| seen.insert(spec.target.to_string())).collect();
        let over = targets.len().saturating_sub(MOST_TARGETS);
        targets.truncate(MOST_TARGETS);
        self.had = !targets.is_empty();
        skipped.add_many(over, Some(format!("it has more than {MOST_TARGETS} targets")));
        (Found::All { targets, skipped }, next)
    }

    /// Asks when what is known has expired, at the latest each time `every` has passed, and when it is asked for, until nobody
    /// wants to know any more. The first time is `next` from now.
    pub(super) async fn follow(mut self: Box<Self>, mut next: Duration, how: Following, found: Send<Found>) {
        let Following { every, flag: _, mut asked } = how;
        loop {
            let told = tokio::select! {
                () = sleep(next) => false,
                changed = asked.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
            };
            let (what, again) = self.read(every).await;
            next = again;
            if found.send(what, told).await.is_err() {
                return;
            }
        }
    }
}

fn target(ip: IpAddr, port: u16, options: &TargetSpec<()>) -> TargetSpec {
    options.with(Target::Tcp(HostPort { host: Host::Ip(ip), port }))
}

/// Resolves the hosts of a service, and returns how long what was answered counts, and whether something is wrong.
async fn resolve(
    resolver: Resolver,
    services: &BTreeSet<Service>,
    hosts: &mut BTreeMap<Name, Known>,
    skipped: &mut Skipped,
) -> (Duration, bool) {
    // RFC 2782: a target of "." says that the service is decidedly not available.
    let names: BTreeSet<_> = services.iter().map(|service| &service.host).filter(|host| !host.is_root()).collect();
    hosts.retain(|host, _| names.contains(host));
    let mut left = names.into_iter().take(MOST_TARGETS).cloned();
    let mut asking = JoinSet::new();
    let ask = |asking: &mut JoinSet<_>, host: Name| {
        let _ = asking.spawn(async move { (resolver.addresses(&host).await, host) });
    };
    left.by_ref().take(AT_A_TIME).for_each(|host| ask(&mut asking, host));
    let (mut counts, mut lost) = (Duration::MAX, false);
    let mut wrong = BTreeMap::new();
    while let Some(answered) = asking.join_next().await {
        if let Some(host) = left.next() {
            ask(&mut asking, host);
        }
        let Ok((answers, host)) = answered else {
            lost = true;
            continue;
        };
        let (least, why) = hosts.entry(host.clone()).or_default().take(answers);
        counts = counts.min(least);
        if let Some(why) = why {
            wrong.insert(host, why);
        }
    }
    let is_wrong = lost || !wrong.is_empty();
    for (host, why) in wrong {
        skipped.add(&format!("{host}: {why}; its last addresses stay"));
    }
    (counts, is_wrong)
}

/// The targets of a service: the lowest priority is in use, and whoever has a higher one is a backup.
fn members(services: &BTreeSet<Service>, hosts: &BTreeMap<Name, Known>, options: &TargetSpec<()>) -> Vec<TargetSpec> {
    let first = services.iter().filter(|service| !service.host.is_root()).map(|service| service.priority).min();
    let mut heaviest: BTreeMap<u16, (u16, bool)> = BTreeMap::new();
    for service in services {
        let (most, zero) = heaviest.entry(service.priority).or_default();
        *most = service.weight.max(*most);
        *zero |= service.weight == 0;
    }
    // By priority, then by weight.
    let of = |service: &Service| {
        let (most, zero) = heaviest.get(&service.priority).copied().unwrap_or_default();
        let weighted = TargetSpec {
            weight: weight(service.weight, most, zero),
            backup: options.backup || Some(service.priority) != first,
            ..options.clone()
        };
        let addresses = hosts.get(&service.host).into_iter().flat_map(Known::addresses);
        addresses.map(|ip| target(ip, service.port, &weighted)).collect::<Vec<_>>()
    };
    services.iter().flat_map(of).collect()
}

/// The weight among those of one priority, of which `most` is the largest. Where 0 is among them it stands for a very small share
/// (RFC 2782): the others are made as large as they can be.
fn weight(weight: u16, most: u16, zero: bool) -> NonZeroU32 {
    let (weight, most) = (u32::from(weight), u32::from(most));
    let scaled = match most {
        0 => 1,
        most if most > MOST_WEIGHT || zero => (weight * MOST_WEIGHT + most / 2) / most,
        _ => weight,
    };
    NonZeroU32::new(scaled).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests;
