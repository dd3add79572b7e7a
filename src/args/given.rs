//! Which flags were written on the command line, whatever their values.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

/// The ids of the flags and arguments that were written. As a flattened field it comes before all others: they take their
/// values out of what it looks at.
#[derive(Clone, Debug)]
pub struct Given(Vec<String>);

impl Given {
    /// The first flag of a group that was written, as it is written.
    pub fn first_of<T: Args>(&self) -> Option<String> {
        let group = T::augment_args(Command::new("group"));
        let written = group.get_arguments().find(|argument| self.0.iter().any(|id| *id == argument.get_id().as_str()))?;
        let name = |argument: &Arg| {
            argument.get_value_names().and_then(<[_]>::first).map_or_else(|| argument.get_id().to_string(), ToString::to_string)
        };
        Some(written.get_long().map_or_else(|| name(written), |long| format!("--{long}")))
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let written = matches.ids().filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine));
        Ok(Self(written.map(ToString::to_string).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It adds nothing to the command line.
impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
