use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a plugin may cost. The defaults are the contract's; `[plugins.limits]` of the configuration changes them, a
/// duration there is a number of milliseconds with `_ms` behind its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Size of a component's file. A Python component, the largest known kind, has 18 MiB.
    pub file_bytes: u64,
    /// Plugins in one folder.
    pub plugins: usize,
    /// Functions in one component.
    pub functions: u32,
    /// Code bytes of one function. Compile time grows faster than this: a function of 1.3 MB took 8 s, one of 2.7 MB
    /// 114 s, while functions of Rust plugins have at most some 10 KiB.
    pub function_bytes: u64,
    /// Local variables of one function, without its parameters; a lever of the same attack.
    pub locals: u32,
    /// Core modules and components inside one component. A Python component has 38.
    pub modules: u32,
    /// Processor time for compiling one component, in whole seconds.
    #[serde(rename = "compile_cpu_ms", with = "milliseconds")]
    pub compile_cpu: Duration,
    /// Time on the clock for compiling one component.
    #[serde(rename = "compile_wall_ms", with = "milliseconds")]
    pub compile_wall: Duration,
    /// Address space of the process that compiles.
    pub compile_memory_bytes: u64,
    /// Memory of one call, over all memories.
    pub memory_bytes: usize,
    /// Memories of one call.
    pub memories: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances and tables of one call, each.
    pub instances: usize,
    /// Processor time for one call, to within 10 ms; twenty times as much on the clock on the wall.
    #[serde(rename = "deadline_ms", with = "milliseconds")]
    pub deadline: Duration,
    /// The same for `describe` and for `releases`.
    #[serde(rename = "long_deadline_ms", with = "milliseconds")]
    pub long_deadline: Duration,
    /// Data that one answer, or one log message, may bring into the host.
    pub answer_bytes: usize,
    /// File names in one call; a longer list is asked in parts.
    pub batch: usize,
    /// Calls in one instance that serves a whole job; then it gets a new one.
    pub job_calls: u32,
    /// Log messages of one call; the rest is counted.
    pub log_messages: u32,
    /// Bytes of one log message; the rest is cut.
    pub log_message_bytes: usize,
    /// So many failures within `breaker_window` make a plugin degraded: it is not asked for a while.
    pub breaker_failures: u32,
    /// See `breaker_failures`.
    #[serde(rename = "breaker_window_ms", with = "milliseconds")]
    pub breaker_window: Duration,
    /// How long a plugin is left alone the first time; each further time twice as long.
    #[serde(rename = "breaker_pause_ms", with = "milliseconds")]
    pub breaker_pause: Duration,
    /// Longest time that a plugin is left alone.
    #[serde(rename = "breaker_longest_pause_ms", with = "milliseconds")]
    pub breaker_longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            plugins: 256,
            functions: 100_000,
            function_bytes: 1 << 20,
            locals: 1_000,
            modules: 64,
            compile_cpu: Duration::from_secs(60),
            compile_wall: Duration::from_secs(120),
            compile_memory_bytes: 2 << 30,
            memory_bytes: 64 << 20,
            memories: 4,
            table_elements: 20_000,
            instances: 64,
            deadline: Duration::from_millis(100),
            long_deadline: Duration::from_millis(500),
            answer_bytes: 1 << 20,
            batch: 1_000,
            job_calls: 10_000,
            log_messages: 64,
            log_message_bytes: 1 << 10,
            breaker_failures: 5,
            breaker_window: Duration::from_secs(60),
            breaker_pause: Duration::from_secs(5 * 60),
            breaker_longest_pause: Duration::from_secs(60 * 60),
        }
    }
}

/// One line of the table that `retrace plugin limits` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitRow {
    /// Key in `[plugins.limits]`, or the contract's name for a limit that no operator can change.
    pub name: &'static str,
    /// The limit in force.
    pub value: u64,
    /// What it counts.
    pub unit: &'static str,
    /// What it bounds, and why it is as it is.
    pub why: &'static str,
    /// Whether `[plugins.limits]` can change it.
    pub configurable: bool,
}

impl Limits {
    /// Every limit with its value in force, its unit and its reason: those of this struct, then those that the contract
    /// fixes for values.
    #[must_use]
    pub fn table(&self) -> Vec<LimitRow> {
        let row = |name, value, unit, why| LimitRow { name, value, unit, why, configurable: true };
        let fixed =
            |name, value: usize, unit, why| LimitRow { name, value: wide(value), unit, why, configurable: false };
        vec![
            row("file_bytes", self.file_bytes, "bytes", "size of a plugin's file; a Python component has 18 MiB"),
            row("plugins", wide(self.plugins), "files", "plugins in one folder"),
            row(
                "functions",
                self.functions.into(),
                "functions",
                "in one component, counted before anything is compiled",
            ),
            row(
                "function_bytes",
                self.function_bytes,
                "bytes",
                "code of one function: compile time grows faster than it",
            ),
            row("locals", self.locals.into(), "variables", "local variables of one function, for the same reason"),
            row("modules", self.modules.into(), "modules", "core modules and components; a Python component has 38"),
            row("compile_cpu_ms", millis(self.compile_cpu), "ms", "processor time of the process that compiles"),
            row("compile_wall_ms", millis(self.compile_wall), "ms", "time on the clock of the process that compiles"),
            row(
                "compile_memory_bytes",
                self.compile_memory_bytes,
                "bytes",
                "address space of the process that compiles",
            ),
            row("memory_bytes", wide(self.memory_bytes), "bytes", "memory of one instance, over all its memories"),
            row("memories", wide(self.memories), "memories", "of one instance"),
            row("table_elements", wide(self.table_elements), "elements", "of one table"),
            row("instances", wide(self.instances), "instances", "core instances and tables, each, of one instance"),
            row("deadline_ms", millis(self.deadline), "ms", "processor time of one call, to within 10 ms"),
            row("long_deadline_ms", millis(self.long_deadline), "ms", "the same for describe and releases"),
            row("answer_bytes", wide(self.answer_bytes), "bytes", "data of one answer or one log message"),
            row("batch", wide(self.batch), "names", "in one call of parse-file-names"),
            row("job_calls", self.job_calls.into(), "calls", "in one instance that serves a whole job; then a new one"),
            row("log_messages", self.log_messages.into(), "lines", "of one call; the rest is counted"),
            row("log_message_bytes", wide(self.log_message_bytes), "bytes", "of one log line; the rest is cut"),
            row(
                "breaker_failures",
                self.breaker_failures.into(),
                "failures",
                "within breaker_window_ms degrade a plugin",
            ),
            row("breaker_window_ms", millis(self.breaker_window), "ms", "see breaker_failures"),
            row(
                "breaker_pause_ms",
                millis(self.breaker_pause),
                "ms",
                "a degraded plugin is left alone, then twice as long",
            ),
            row("breaker_longest_pause_ms", millis(self.breaker_longest_pause), "ms", "longest such time"),
            fixed(
                "string",
                crate::convert::MAX_TEXT_BYTES,
                "bytes",
                "any text of an answer; many have a smaller limit",
            ),
            fixed("list", crate::convert::MAX_LIST, "elements", "any list of an answer; some have a smaller limit"),
            fixed("url", crate::convert::MAX_URL_BYTES, "bytes", "a mirror's URL, before and after its variables"),
            fixed(
                "release-source",
                crate::convert::MAX_SOURCE_BYTES,
                "bytes",
                "text of a crash as input; the rest is cut",
            ),
        ]
    }
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn millis(value: Duration) -> u64 {
    u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(super::millis(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_limit_of_the_configuration() {
        let limits = Limits::default();
        let document = serde_json::to_value(&limits).unwrap();
        let rows: Vec<_> = limits.table().into_iter().filter(|row| row.configurable).collect();
        assert_eq!(rows.len(), document.as_object().unwrap().len());
        for row in rows {
            assert_eq!(document[row.name], row.value, "{}", row.name);
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_unknown_keys_are_refused() {
        let limits = Limits { deadline: Duration::from_millis(7), plugins: 3, ..Limits::default() };
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
        assert!(serde_json::from_str::<Limits>(r#"{"deadline": 5}"#).is_err());
    }
}
