//! Limits that are far above what was ever used.

use aseptic_model::{ByteSize, Limits, RunRecord, describe_ms};

use super::{Suggestion, Used};

/// A limit so many times above the most that was used is far above it.
const FAR: u64 = 8;

/// What is left above the most that was used: inputs grow, and machines are slow now and then.
const ROOM: u64 = 2;

/// Below this nothing is suggested: a limit that stops the interpreter from starting protects nobody.
const BYTES_MIN: u64 = 64 << 20;

/// The same for time.
const MS_MIN: u64 = 60_000;

impl Used<'_> {
    pub(super) fn limits(&self) -> Vec<Suggestion> {
        let limits = &self.experiment.limits;
        let memory = |record: &RunRecord| record.usage.as_ref()?.memory_peak_bytes;
        let outputs = |record: &RunRecord| Some(record.outputs.iter().map(|output| output.size).sum());
        let traffic = |record: &RunRecord| {
            let egress = record.egress.as_ref().filter(|egress| egress.complete)?;
            let bytes = |used: &aseptic_model::GrantUse| {
                used.traffic.sent_bytes.saturating_add(used.traffic.received_bytes)
            };
            Some(egress.grants.iter().map(bytes).fold(0_u64, u64::saturating_add))
        };
        let found = [
            self.limit("memory", limits.memory_bytes, memory, Unit::Bytes),
            self.limit("outputs", limits.outputs_bytes, outputs, Unit::Bytes),
            self.limit("traffic", limits.traffic_bytes, traffic, Unit::Bytes),
            self.limit("wall", limits.wall_ms, |record| Some(whole_ms(record)), Unit::Milliseconds),
        ];
        let found: Vec<Narrower> = found.into_iter().flatten().collect();
        let line = line(limits, &found);
        let one = |one: &Narrower| {
            let element = format!("limits.{}", one.name);
            self.suggestion("high-limit", element, one.message.clone(), Some(line.clone()))
        };
        found.iter().map(one).collect()
    }

    /// A limit that is far above the most that any run used.
    fn limit(
        &self,
        name: &'static str,
        limit: Option<u64>,
        used: impl Fn(&RunRecord) -> Option<u64>,
        unit: Unit,
    ) -> Option<Narrower> {
        let limit = limit?;
        let used: Option<Vec<u64>> = self.records.iter().map(used).collect();
        let most = used?.into_iter().max()?;
        let narrower = unit.narrower(most.saturating_mul(ROOM))?;
        if limit / FAR < most.max(1) || limit <= narrower {
            return None;
        }
        let (set, used, when) = (unit.shown(limit), unit.shown(most), self.when());
        let message = format!("the limit `{name}` is {set}, and at most {used} was used {when}");
        Some(Narrower { name, value: unit.written(narrower), message })
    }
}

/// A limit that can be narrower.
struct Narrower {
    name: &'static str,
    /// As a spec has it.
    value: String,
    message: String,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Bytes,
    Milliseconds,
}

impl Unit {
    /// The limit with room for `used`, as a round number.
    fn narrower(self, used: u64) -> Option<u64> {
        match self {
            Self::Bytes => used.max(BYTES_MIN).checked_next_power_of_two(),
            Self::Milliseconds => used.max(MS_MIN).checked_next_multiple_of(MS_MIN),
        }
    }

    fn shown(self, value: u64) -> String {
        match self {
            Self::Bytes => ByteSize(value).to_string(),
            Self::Milliseconds => describe_ms(value),
        }
    }

    /// A limit as a spec has it: in the largest unit that it is a whole number of.
    fn written(self, value: u64) -> String {
        let (units, smallest): (&[(u64, &str)], _) = match self {
            Self::Bytes => (&[(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")], "B"),
            Self::Milliseconds => (&[(3_600_000, "h"), (60_000, "m"), (1_000, "s")], "ms"),
        };
        let whole = units.iter().find(|(unit, _)| value >= *unit && value.is_multiple_of(*unit));
        whole.map_or_else(|| format!("{value}{smallest}"), |(unit, name)| format!("{}{name}", value / unit))
    }
}

/// The limits of an experiment, as narrow as they can be, as a line of a spec.
fn line(limits: &Limits, narrower: &[Narrower]) -> String {
    let bytes = |bytes: u64| Unit::Bytes.written(bytes);
    let ms = |ms: u64| Unit::Milliseconds.written(ms);
    let set = [
        ("wall", limits.wall_ms.map(ms)),
        ("grace", Some(limits.grace_ms).filter(|grace| *grace != Limits::GRACE_MS).map(ms)),
        ("memory", limits.memory_bytes.map(bytes)),
        ("cpus", limits.cpus.map(|cpus| cpus.to_string())),
        (
            "processes",
            Some(limits.processes).filter(|most| *most != Limits::PROCESSES).map(|most| most.to_string()),
        ),
        ("files", limits.files.map(|files| files.to_string())),
        ("scratch", limits.scratch_bytes.map(bytes)),
        ("scratch-files", limits.scratch_files.map(|files| files.to_string())),
        ("outputs", limits.outputs_bytes.map(bytes)),
        ("connections", limits.connections.map(|count| count.to_string())),
        ("traffic", limits.traffic_bytes.map(bytes)),
        ("bandwidth", limits.bandwidth_bytes.map(bytes)),
    ];
    let entry = |(key, value): (&str, Option<String>)| {
        let value = value?;
        let value = narrower.iter().find(|one| one.name == key).map_or(value, |one| one.value.clone());
        Some(if value.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("{key} = {value}")
        } else {
            format!("{key} = \"{value}\"")
        })
    };
    format!("limits = {{ {} }}", set.into_iter().filter_map(entry).collect::<Vec<_>>().join(", "))
}

/// How long a job took.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded and never negative")]
fn whole_ms(record: &RunRecord) -> u64 {
    record.duration_ms.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_a_spec_has_them() {
        for (value, unit, text) in [
            (1 << 30, Unit::Bytes, "1GiB"),
            (96 << 20, Unit::Bytes, "96MiB"),
            (1000, Unit::Bytes, "1000B"),
            (3_600_000, Unit::Milliseconds, "1h"),
            (90_000, Unit::Milliseconds, "90s"),
            (60_000, Unit::Milliseconds, "1m"),
        ] {
            assert_eq!(unit.written(value), text);
        }
        let limits = Limits {
            wall_ms: Some(7_200_000),
            cpus: Some(2),
            memory_bytes: Some(64 << 30),
            ..Limits::default()
        };
        let narrower = Narrower { name: "memory", value: "4GiB".to_owned(), message: String::new() };
        assert_eq!(line(&limits, &[narrower]), "limits = { wall = \"2h\", memory = \"4GiB\", cpus = 2 }");
    }
}
