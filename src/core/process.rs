//! What the system knows of this process, by the names that Prometheus' own clients give it; Linux tells it in /proc (proc(5)).

/// What the process uses of what it has. What the system does not tell is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds of CPU, in this process and in the kernel for it.
    pub cpu_seconds: Option<f64>,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// How many there may be.
    pub most_descriptors: Option<u64>,
}

impl Usage {
    /// What it uses now.
    #[must_use]
    pub fn now() -> Self {
        Self { most_descriptors: crate::descriptors::limit(), ..Self::of_system() }
    }

    #[cfg(target_os = "linux")]
    fn of_system() -> Self {
        use std::fs;
        // The name, which may hold anything, ends with the last parenthesis; of what follows, utime and stime are the 12th and
        // 13th, in ticks.
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let ticks = stat.rsplit_once(')').and_then(|(_, rest)| {
            let mut fields = rest.split_ascii_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
            Some(fields.next()? + fields.next()?)
        });
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        // The one that reads the folder is not counted.
        let descriptors = fs::read_dir("/proc/self/fd").ok().map(|all| (all.count() as u64).saturating_sub(1));
        Self {
            cpu_seconds: ticks.map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64),
            resident: pages.map(|pages| pages * rustix::param::page_size() as u64),
            descriptors,
            most_descriptors: None,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn of_system() -> Self {
        Self::default()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        let usage = Usage::now();
        assert!(usage.cpu_seconds.unwrap() < 3600.0);
        assert!(usage.resident.unwrap() > 1 << 20);
        let (open, most) = (usage.descriptors.unwrap(), usage.most_descriptors.unwrap());
        assert!((3..most).contains(&open), "{open} of {most}");
    }
}
