//! What comes after a hello was shown.

use std::str::FromStr;
use tapline::addr::TargetSpec;

/// The value of `--then`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// TLS is refused by an alert, anything else closed.
    Alert,
    /// The connection is closed without a word.
    Close,
    /// It goes on to a target.
    Forward(TargetSpec),
}

impl FromStr for Then {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "alert" => Ok(Self::Alert),
            "close" => Ok(Self::Close),
            target => target.parse().map(Self::Forward).map_err(|error| format!("is neither alert nor close, and {error}")),
        }
    }
}
