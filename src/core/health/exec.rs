//! Checks by a command.

use super::probe::{Unasked, Verdict};
use crate::{
    addr::Target,
    event::{brief, io_words},
    pool::Backend,
    text::text,
};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::{Instant, timeout_at},
};

/// The most that is kept of what a command writes.
const MOST_KEPT: usize = 4096;

/// Runs a command of the shell for a backend, with `TAPLINE_TARGET`, `TAPLINE_HOST` and `TAPLINE_PORT` in its environment. It has
/// answered when it and all that it started have closed what they write to; what has not by the deadline is killed.
pub(super) async fn run(command: &str, backend: &Backend, deadline: Instant, limit: Duration) -> Result<Verdict, Unasked> {
    let (host, port) = match &backend.target {
        Target::Tcp(to) | Target::Tls(to) => (to.host.to_string(), to.port.to_string()),
        Target::Unix(_) | Target::Builtin(_) => (String::new(), String::new()),
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    shell.envs([("TAPLINE_TARGET", &*backend.label), ("TAPLINE_HOST", &host), ("TAPLINE_PORT", &port)]);
    #[cfg(unix)]
    shell.process_group(0);
    let mut child = shell.spawn().map_err(|error| Unasked(format!("cannot run sh: {}", io_words(&error))))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut group = Group(child);
    let running = async {
        let (said, complained) = tokio::join!(first_line(stdout), first_line(stderr));
        // Waited for last: as long as it is not, its number is nobody else's.
        (group.0.wait().await, said.or(complained))
    };
    let Ok((status, said)) = timeout_at(deadline, running).await else {
        return Ok(Err(format!("not done after {limit:?}")));
    };
    let status = status.map_err(|error| Unasked(io_words(&error)))?;
    let why = said.unwrap_or_else(|| status.to_string());
    Ok(if status.success() { Ok(why) } else { Err(why) })
}

/// A process and all that it started. They are killed when this is dropped before the process was waited for.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// The first line with something in it, of all that is written.
async fn first_line(from: Option<impl AsyncRead + Unpin>) -> Option<String> {
    let mut from = from?;
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    // All is read: whoever cannot write any more would not end well.
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let room = MOST_KEPT - kept.len();
        kept.extend(buffer.iter().take(n.min(room)));
    }
    let all = text(&kept);
    all.lines().map(str::trim).find(|line| !line.is_empty()).map(brief)
}
