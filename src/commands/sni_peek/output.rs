//! In which form hellos are shown.

use super::{
    detail::detail,
    fields::{Field, row},
    seen::{Said, Seen},
    walk::walk,
};
use crate::{
    args::UsageError,
    report::{Closed, Reporter, Show},
};
use clap::Args;

/// How a hello is shown, unless in a line or as JSON.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Showing hellos")]
pub struct Form {
    /// Show tables of everything that it says
    #[arg(long, conflicts_with_all = ["anatomy", "fields"])]
    detail: bool,
    /// Walk through its bytes and explain each
    #[arg(long, conflicts_with = "fields")]
    anatomy: bool,
    /// Columns with tabs between them, a line a hello and none with names: client, source, destination, transport, time, file,
    /// sni, alpn, version (the highest), versions, legacy_version, ciphers, cipher_names, extensions, extension_names, groups,
    /// key_shares, signature_algorithms, pq, ech, ja3, ja3_text, ja3n, ja4, ja4_r, ja4_o, ja4_ro, random, session_id, size,
    /// records, packets, faults. Lists have commas; what is absent is empty
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', hide_possible_values = true)]
    fields: Vec<Field>,
}

/// Where hellos are shown.
#[derive(Clone)]
pub struct Output {
    reporter: Reporter,
    form: Form,
}

impl Output {
    pub fn new(reporter: Reporter, form: Form) -> Result<Self, UsageError> {
        let form_given = [(form.detail, "--detail"), (form.anatomy, "--anatomy"), (!form.fields.is_empty(), "--fields")];
        if let Some((_, flag)) = form_given.iter().find(|(given, _)| *given && reporter.style().json) {
            return Err(UsageError(format!("{flag} is a form of its own; --json shows everything already")));
        }
        Ok(Self { reporter, form })
    }

    /// Shows it; waits where stdout is not read.
    pub async fn show(&self, seen: &Seen) -> Result<(), Closed> {
        let look = self.reporter.style().stdout;
        let text = match &seen.said {
            Said::Hello { facts, .. } if self.form.detail => detail(facts, &seen.origin, look),
            Said::Hello { hello, .. } if self.form.anatomy => format!("{}\n{}\n", seen.line(), walk(hello, look)),
            Said::Hello { facts, .. } if !self.form.fields.is_empty() => row(&self.form.fields, facts, &seen.origin) + "\n",
            // Who counts on columns gets nothing else. Of a connection, the end tells it; of a file, nothing else would.
            _ if !self.form.fields.is_empty() => {
                if seen.origin.file.is_some() {
                    self.reporter.note(seen.line());
                }
                return Ok(());
            }
            _ => return self.reporter.result(seen).await,
        };
        self.reporter.to_stdout(text.into_bytes()).await
    }
}
