//! What the system knows of this process, by the names that Prometheus' own clients give it; Linux tells it in /proc (proc(5)).

/// What the process uses of what it has. What the system does not tell is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds of CPU, in this process and in the kernel for it.
    pub cpu_seconds: Option<f64>,
    /// Bytes in memory.
    pub resident: Option<u64>,
}

impl Usage {
    /// What it uses now.
    #[must_use]
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        let ticks = stat().and_then(|stat| Some(field(&stat, UTIME)? + field(&stat, STIME)?));
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Self { cpu_seconds: ticks.map(seconds), resident: pages.map(|pages| pages * rustix::param::page_size() as u64) }
    }

    /// The system does not tell.
    #[must_use]
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        Self::default()
    }
}

/// How many descriptors are open. To count thousands takes a while.
#[must_use]
#[cfg(target_os = "linux")]
pub fn descriptors() -> Option<u64> {
    // The one that reads the folder is not counted.
    std::fs::read_dir("/proc/self/fd").ok().map(|all| (all.count() as u64).saturating_sub(1))
}

/// When the process started, in seconds since 1970.
#[must_use]
#[cfg(target_os = "linux")]
pub fn started() -> Option<f64> {
    let since_boot = seconds(field(&stat()?, STARTTIME)?);
    let system = std::fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(booted as f64 + since_boot)
}

/// The system does not tell.
#[must_use]
#[cfg(not(target_os = "linux"))]
pub fn descriptors() -> Option<u64> {
    None
}

/// The system does not tell.
#[must_use]
#[cfg(not(target_os = "linux"))]
pub fn started() -> Option<f64> {
    None
}

/// Where times in ticks stand in /proc/self/stat, behind the name.
#[cfg(target_os = "linux")]
const UTIME: usize = 11;
#[cfg(target_os = "linux")]
const STIME: usize = 12;
#[cfg(target_os = "linux")]
const STARTTIME: usize = 19;

/// What stands behind the name, which may hold anything and ends with the last parenthesis.
#[cfg(target_os = "linux")]
fn stat() -> Option<String> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    stat.rsplit_once(')').map(|(_, rest)| rest.to_owned())
}

#[cfg(target_os = "linux")]
fn field(stat: &str, at: usize) -> Option<u64> {
    stat.split_ascii_whitespace().nth(at)?.parse().ok()
}

#[cfg(target_os = "linux")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        let usage = Usage::now();
        assert!(usage.cpu_seconds.unwrap() < 3600.0);
        assert!(usage.resident.unwrap() > 1 << 20);
        let (open, most) = (descriptors().unwrap(), crate::descriptors::limit().unwrap());
        assert!((3..most).contains(&open), "{open} of {most}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let started = started().unwrap();
        // The time since boot is told in whole seconds.
        assert!((now - 3600.0..now + 2.0).contains(&started), "{started} of {now}");
    }
}
