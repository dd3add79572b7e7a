//! The figures, one after the other, under their names.

use super::{Counts, Figures};
use crate::{
    descriptors,
    dial::Cause,
    histogram::{BOUNDS, Histogram},
    pool::{Backend, Pool},
    process::{self, Usage},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType::{self, Counter, Gauge, Info},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Targets that have figures of their own: each has some 40 lines.
const MOST_TARGETS: usize = 2000;

/// The name of a pool, a target, and whether it is still in it.
type Target = (Arc<str>, Arc<Backend>, bool);
type Count = fn(&Backend) -> &AtomicU64;
type Now = fn(&Target) -> u64;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.connections.count();
        let out = &mut Out(&mut encoder);
        self.process(out)?;
        let pools = self.pools.pools();
        Self::pools(out, &pools)?;
        let mut targets: Vec<Target> = Vec::new();
        for (name, pool) in &pools {
            let (here, leaving) = pool.here_and_leaving();
            targets.extend(here.into_iter().map(|backend| (name.clone(), backend, true)));
            targets.extend(leaving.into_iter().map(|backend| (name.clone(), backend, false)));
        }
        let left_out = targets.len().saturating_sub(MOST_TARGETS);
        targets.truncate(MOST_TARGETS);
        out.gauge("tapline_targets_left_out", "Targets that have no figures of their own, because there are too many", left_out as u64)?;
        each_target(out, &targets)
    }
}

impl Figures {
    fn process(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let Counts { accepted, accept_failed, received, sent, lasted, requests, requested, .. } = &*self.counts;
        let build = [("version", env!("CARGO_PKG_VERSION")), ("command", self.command)];
        out.family("tapline_build", "Which tapline this is", Info)?.encode_info(&build)?;
        out.counter("tapline_connections_accepted", "Connections that were accepted", accepted.load(Relaxed))?;
        out.counter(
            "tapline_accept_failures",
            "Times that no connection could be accepted and somebody was told",
            accept_failed.load(Relaxed),
        )?;
        out.gauge("tapline_connections_open", "Connections that have not ended", self.counts.open())?;
        if let Some(most) = self.program.most_connections() {
            out.gauge("tapline_connections_limit", "Connections that there may be at a time", most)?;
        }
        let mut ended = out.family("tapline_connections_ended", "Connections that have ended, by who, during what", Counter)?;
        for (by, during, failed, count) in self.counts.endings() {
            let labels = [("by", by.to_string()), ("during", during.to_string()), ("failed", failed.to_string())];
            ended.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        out.histogram("tapline_connection_duration_seconds", "How long connections lasted that have ended", lasted)?;
        out.counter("tapline_received_bytes", "Bytes from the sockets of clients, of connections that have ended", received.load(Relaxed))?;
        out.counter("tapline_sent_bytes", "Bytes to the sockets of clients, of connections that have ended", sent.load(Relaxed))?;
        if self.command == "lb7" {
            let mut answered = out.family("tapline_requests", "HTTP requests that were answered, by the class of the status", Counter)?;
            for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(requests) {
                answered.encode_family(&[("status", class)])?.encode_counter::<NoLabelSet, _, u64>(&count.load(Relaxed), None)?;
            }
            out.histogram("tapline_request_duration_seconds", "From a request to the head of its answer", requested)?;
        }
        out.counter("tapline_events_dropped", "Lines of events that nobody read fast enough", self.program.dropped_events())?;
        let usage = Usage::now();
        if let Some(seconds) = usage.cpu_seconds {
            let mut cpu = out.family("process_cpu_seconds", "CPU time of the process and of the kernel for it", Counter)?;
            cpu.encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
        }
        if let Some(seconds) = process::started() {
            out.family("process_start_time_seconds", "When the process started, in seconds since 1970", Gauge)?.encode_gauge(&seconds)?;
        }
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory that the process has", usage.resident),
            ("process_open_fds", "Descriptors that are open", process::descriptors()),
            ("process_max_fds", "Descriptors that may be open", descriptors::limit()),
        ] {
            if let Some(value) = value {
                out.gauge(name, help, value)?;
            }
        }
        Ok(())
    }

    fn pools(out: &mut Out<'_, '_>, pools: &[(Arc<str>, Pool)]) -> fmt::Result {
        let mut all = out.family("tapline_pool_targets", "Targets of a pool", Gauge)?;
        for (name, pool) in pools {
            all.encode_family(&[("pool", &**name)])?.encode_gauge(&pool.backends().len())?;
        }
        let mut eligible = out.family("tapline_pool_eligible_targets", "Targets that may be chosen", Gauge)?;
        for (name, pool) in pools {
            eligible.encode_family(&[("pool", &**name)])?.encode_gauge(&pool.eligible())?;
        }
        let mut waiting = out.family("tapline_pool_queue", "Clients that wait for a place at a target", Gauge)?;
        for (name, pool) in pools {
            waiting.encode_family(&[("pool", &**name)])?.encode_gauge(&pool.queue().waiting())?;
        }
        Ok(())
    }
}

fn each_target(out: &mut Out<'_, '_>, targets: &[Target]) -> fmt::Result {
    let counters: [(&str, &str, Count); 5] = [
        ("tapline_target_connections", "Connections that the target took", |backend| &backend.totals().connections),
        ("tapline_target_failures", "Connections that the target did not take", |backend| &backend.totals().failed),
        ("tapline_target_broken", "Connections that the target took and broke off", |backend| &backend.totals().broken),
        ("tapline_target_received_bytes", "Bytes from the target", |backend| &backend.totals().received),
        ("tapline_target_sent_bytes", "Bytes to the target", |backend| &backend.totals().sent),
    ];
    for (name, help, count) in counters {
        let mut family = out.family(name, help, Counter)?;
        for (pool, backend, _) in targets {
            let count = count(backend).load(Relaxed);
            family.encode_family(&labels(pool, backend))?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    let mut causes = out.family("tapline_target_failure_causes", "Why connections to the target were not made", Counter)?;
    for (pool, backend, _) in targets {
        for (cause, count) in Cause::ALL.iter().zip(&backend.totals().causes) {
            let [pool, target] = labels(pool, backend);
            let count = count.load(Relaxed);
            // A cause that never came has no line; most targets have none.
            if count > 0 {
                let labels = [pool, target, ("cause", cause.word())];
                causes.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
    }
    let gauges: [(&str, &str, Now); 5] = [
        ("tapline_target_open", "Connections or requests that the target has", |(_, backend, _)| backend.open() as u64),
        ("tapline_target_up", "Whether the checks of the target find it well", |(_, backend, _)| u64::from(backend.is_up())),
        (
            "tapline_target_draining",
            "Whether the target takes no new connections, because it was asked to or was taken out",
            |(_, backend, there)| u64::from(!there || backend.standing().draining),
        ),
        ("tapline_target_ejected", "Whether the target is left out for a while, because it did not take connections", |(_, backend, _)| {
            u64::from(backend.standing().ejection.is_ejected())
        }),
        ("tapline_target_weight", "The share of the traffic", |(_, backend, _)| u64::from(backend.standing().weight.get())),
    ];
    for (name, help, now) in gauges {
        let mut family = out.family(name, help, Gauge)?;
        for target in targets {
            family.encode_family(&labels(&target.0, &target.1))?.encode_gauge(&now(target))?;
        }
    }
    let mut connecting = out.family(
        "tapline_target_connect_duration_seconds",
        "How long it took until the target took a connection",
        MetricType::Histogram,
    )?;
    for (pool, backend, _) in targets {
        histogram(&mut connecting.encode_family(&labels(pool, backend))?, &backend.totals().connecting)?;
    }
    Ok(())
}

fn labels<'a>(pool: &'a str, backend: &'a Backend) -> [(&'static str, &'a str); 2] {
    [("pool", pool), ("target", &*backend.label)]
}

fn histogram(encoder: &mut MetricEncoder<'_>, of: &Histogram) -> fmt::Result {
    let counted = of.counted();
    let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(counted.buckets).collect();
    encoder.encode_histogram::<NoLabelSet>(counted.sum, counted.count(), &buckets, None)
}

/// Families, each begun by its name, its type and a line of help.
struct Out<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    /// The encoder appends what the type asks for: `_total`, `_info`.
    fn family<'s>(&'s mut self, name: &'s str, help: &str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, Counter)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, Gauge)?.encode_gauge(&value)
    }

    fn histogram(&mut self, name: &str, help: &str, of: &Histogram) -> fmt::Result {
        histogram(&mut self.family(name, help, MetricType::Histogram)?, of)
    }
}
