//! The targets of commands that balance, and where they come from.

use super::{Serve, Top, UsageError, duration};
use clap::Args;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tapline::{
    addr::{AddrError, TargetSpec},
    discovery::{self, TargetSource},
};

#[derive(Args, Clone, Debug)]
pub struct Sources {
    /// Where to send: targets, each with an optional weight (h2:80,weight=3), or where they come from: dns:NAME:PORT,
    /// srv:_SERVICE._tcp.NAME, @FILE, redis://HOST, or "-" for lines on stdin
    ///
    /// Options follow after commas: weight=1..1000, max=N connections at a time, backup (for when no other target can be used). Those of
    /// a source are for all that comes from it. What a source has is followed while connections go on: new targets get
    /// their share, those that are gone get no new connections and keep what they have. While a source cannot be read, or
    /// is wrong, its last targets stay; each change is said once. SIGHUP reads all sources again, but stdin. A target that several
    /// sources have is one, with the options of the first of them; given twice as an argument it is two, NAME#1 and NAME#2.
    ///
    /// dns: each IPv4 and IPv6 address is a target; asked for again when the answer expires. A name ending with a dot is
    /// complete; to others the system's search list applies. NXDOMAIN, SERVFAIL and silence keep the last addresses; an
    /// answer without addresses empties them. srv: (RFC 2782) hosts, ports and weights of the lowest priority; those of higher ones
    /// are backups. @FILE: one target a line with its options, # begins a comment; one with an error is refused whole; replace it by
    /// renaming. redis://[[USER]:PASSWORD@]HOST[:PORT][/DB][?key=KEY], rediss:// (TLS) or redis+unix:///PATH[?db=DB][&key=KEY]: a
    /// set or list of HOST:PORT with options, or a hash of HOST:PORT and weights; KEY is "targets" if it is not given. Whoever may list
    /// processes sees the password. "-": a line adds a target or changes its options, -TARGET removes it; at the end of stdin the
    /// targets stay.
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// Ask this DNS server for dns: and srv: targets, not those of the system
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server, help_heading = "Balancing")]
    resolver: Option<SocketAddr>,
    /// From one reading of all sources of targets to the next, beside what is noticed at once
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Balancing")]
    targets_interval: Duration,
}

impl Sources {
    /// As they were written.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(String::as_str)
    }

    /// What was written. It is not done while the arguments are read, which would show a password where one is wrong.
    pub fn read(&self, serve: &Serve, top: Top) -> Result<discovery::Sources, UsageError> {
        let wrong = |error: AddrError| UsageError(error.to_string());
        let all = self.targets.iter().map(|text| text.parse()).collect::<Result<Vec<TargetSpec<TargetSource>>, _>>().map_err(wrong)?;
        let mut seen = BTreeSet::new();
        for source in all.iter().map(|spec| &spec.target).filter(|source| !source.is_fixed()) {
            if matches!(source, TargetSource::Input) && !serve.command.is_empty() {
                return Err(UsageError("- and COMMAND would both read stdin; give a file with @FILE".into()));
            }
            if matches!(source, TargetSource::Input) && top.is_asked() && io::stdin().is_terminal() {
                return Err(UsageError("- and --top would both read the terminal; give a file with @FILE, or a pipe".into()));
            }
            if !seen.insert(source.to_string()) {
                return Err(UsageError(format!("{source} is given twice")));
            }
        }
        Ok(discovery::Sources { all, every: self.targets_interval, resolver: self.resolver })
    }
}

/// An address, with port 53 where none is given.
fn server(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().ok().filter(|addr: &SocketAddr| addr.port() > 0);
    let server = with_port.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)));
    server.ok_or_else(|| "is not the address of a DNS server; write ADDR or ADDR:PORT".into())
}
