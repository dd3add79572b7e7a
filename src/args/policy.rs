//! The flags that say how the next backend is chosen.

use super::{Serve, UsageError};
use clap::{Args, ValueEnum};
use std::num::NonZeroU32;
use tapline::{
    balance::{Hash, Policy, Prefix, Settings},
    random::new_seed,
};

/// How the next backend is chosen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Balancing")]
pub struct Choosing {
    /// How the next backend is chosen [default: round-robin]
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PolicyName>,
    /// What of a client is its key, for rendezvous, ring and maglev: ip (the peer's address), ip-port, proxy-src (who a PROXY header announces, else
    /// the peer) or sni [default: proxy-src with --accept-proxy, else ip]
    ///
    /// ip/24 takes the first 24 bits of an IPv4 address, and 64 of an IPv6 address; ip/24/56 says both; proxy-src likewise. sni is the name in the hello,
    /// or in Host. Clients without an address (of a Unix socket) or without a name have one key.
    #[arg(long, value_name = "KEY")]
    pub hash: Option<Hash>,
    /// For ring: pass over backends that have more than so many percent of their share of what is open, 101 to 1000 (125 is common) [default: never,
    /// so that a key stays where it is]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(101..=1000))]
    pub hash_balance: Option<u32>,
}

/// What else there is of a client but its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The name that it asks for.
    Name,
    /// Nothing.
    Nothing,
}

impl Choosing {
    /// What a target may have of the ring, in percent of its share.
    pub fn bound(&self) -> Option<NonZeroU32> {
        self.hash_balance.and_then(NonZeroU32::new)
    }

    /// The policy that was asked for.
    pub fn policy(&self) -> Option<Policy> {
        self.policy.map(Policy::from)
    }

    /// All of it, with the seed of all random choices.
    pub fn settings(&self, seed: Option<u64>, serve: &Serve, known: Known) -> Result<Settings, UsageError> {
        let policy = self.policy().unwrap_or_default();
        let announced = !serve.accept_proxy.is_empty();
        let wrong = |why: String| Err(UsageError(why));
        match self.hash {
            Some(hash) if !policy.is_by_key() => {
                return wrong(format!("--hash {hash} is for --policy rendezvous, ring or maglev; {policy} has no key"));
            }
            Some(Hash::Sni) if known == Known::Nothing => {
                return wrong(
                    "--hash sni needs the name that a client asks for, which is not read here; use sni-route or tls-terminate".into(),
                );
            }
            Some(hash @ Hash::ProxySrc(_)) if !announced => {
                return wrong(format!("--hash {hash} needs --accept-proxy: nobody announces clients"));
            }
            _ => {}
        }
        if self.hash_balance.is_some() && policy != Policy::Ring {
            return wrong(format!("--hash-balance is for --policy ring; {policy} has no ring"));
        }
        let by_default = if announced { Hash::ProxySrc(Prefix::ALL) } else { Hash::Ip(Prefix::ALL) };
        Ok(Settings { policy, hash: self.hash.unwrap_or(by_default), most_percent: self.bound(), seed: seed.unwrap_or_else(new_seed) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyName {
    /// In turn, by weight
    RoundRobin,
    /// Any, by weight
    Random,
    /// The one with the fewest open for its weight; of equals, who was chosen longest ago
    LeastConnections,
    /// Of two drawn by weight, the one with fewer open for its weight
    P2c,
    /// The first that has room (max=N), in the order given
    First,
    /// By key: the highest score; moves only the keys of who goes
    Rendezvous,
    /// By key: the next point on a ring (ketama)
    Ring,
    /// By key: its place in a table (Maglev)
    Maglev,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::RoundRobin => Self::RoundRobin,
            PolicyName::Random => Self::Random,
            PolicyName::LeastConnections => Self::LeastConnections,
            PolicyName::P2c => Self::P2c,
            PolicyName::First => Self::First,
            PolicyName::Rendezvous => Self::Rendezvous,
            PolicyName::Ring => Self::Ring,
            PolicyName::Maglev => Self::Maglev,
        }
    }
}
