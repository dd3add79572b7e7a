//! What is asked for while a command runs, beside its traffic.

use serde::Serialize;
use std::{num::NonZeroU32, time::Duration};

/// What was asked for while it runs. Serialized, all have the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAction {
    /// No new connections; those that it has are reset after so long.
    Drain { deadline: Option<Duration> },
    /// New connections again.
    Ready,
    /// Another share of the traffic.
    Weight { weight: NonZeroU32 },
    /// A new target.
    Add,
    /// It goes; its connections are reset after so long.
    Remove { deadline: Option<Duration> },
}

impl AdminAction {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Ready => "ready",
            Self::Weight { .. } => "weight",
            Self::Add => "add",
            Self::Remove { .. } => "remove",
        }
    }

    /// After how long connections are reset.
    #[must_use]
    pub fn deadline(self) -> Option<Duration> {
        match self {
            Self::Drain { deadline } | Self::Remove { deadline } => deadline,
            _ => None,
        }
    }

    /// The new share of the traffic.
    #[must_use]
    pub fn weight(self) -> Option<NonZeroU32> {
        if let Self::Weight { weight } = self { Some(weight) } else { None }
    }
}

impl Serialize for AdminAction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("AdminAction", 3)?;
        fields.serialize_field("action", self.word())?;
        fields.serialize_field("weight", &self.weight())?;
        fields.serialize_field("deadline_ms", &self.deadline().map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)))?;
        fields.end()
    }
}

/// What can be asked beside the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Beside {
    /// Control while running.
    Admin,
    /// Figures for Prometheus.
    Metrics,
}
