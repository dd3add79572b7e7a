//! The flags of `Routes`: where rules come from beside the arguments.

use super::{UsageError, duration};
use crate::serve::Session;
use clap::{ArgAction, Args};
use std::time::Duration;
use tapline::{
    dial::Dialer,
    event::Events,
    route::Rule,
    routes::{self, Fits, Follow, Kept, Loaded, RoutesError, Source},
};

/// Where rules come from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Routing")]
pub struct Routes {
    /// Take rules from FILE or redis://HOST too, and follow their changes; may be given again. SIGHUP reads all again
    ///
    /// A FILE has one rule a line; # begins a comment. One with an error is refused whole: at the start that is the end,
    /// later the rules stay as they were. Replace it by renaming. redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// (TLS,
    /// checked as a tls: target is) or redis+unix:///PATH[?db=DB] is a server with sets hostnames:NAME:backends of HOST:PORT,
    /// or hipache's lists frontend:NAME (identifier, http://HOST:PORT...) and sets dead:NAME; the set counts where a name has
    /// both. Whoever may list processes sees the password. A wrong entry is skipped. While the server is away its last rules
    /// stay. A rule given in an argument or file goes before one of redis. Connections go on when their rule goes.
    #[arg(long, value_name = "FILE|redis://HOST", action = ArgAction::Append)]
    routes: Vec<String>,
    /// From one reading of all --routes to the next, beside what is noticed at once
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, requires = "routes")]
    routes_interval: Duration,
}

impl Routes {
    /// Reads all of them, after the rules that are given as arguments.
    pub async fn load(&self, arguments: Vec<Rule>, dialer: &Dialer, fits: Fits, session: &Session) -> anyhow::Result<Loaded<Kept>> {
        // Not while the arguments are read, which would show a password where one is wrong.
        let sources = self.routes.iter().map(|text| text.parse::<Source>()).collect::<Result<Vec<_>, _>>();
        let sources = sources.map_err(|error| UsageError(format!("--routes {error}")))?;
        match session.preparing(routes::load(arguments, sources, dialer, fits)).await? {
            Err(RoutesError::Duplicate(rule)) => Err(UsageError(rule.to_string()).into()),
            loaded => Ok(loaded?),
        }
    }

    /// How they are followed.
    pub fn follow(&self, session: &Session, events: &Events) -> Follow {
        Follow { every: self.routes_interval, shutdown: session.shutdown.clone(), events: events.clone() }
    }
}
