//! What belongs to one call: its limits and its log.

use std::sync::Arc;

use serde::Serialize;
use wasmtime::ResourceLimiter;

use crate::{
    Limits,
    bindings::retrace::distro::{
        logging::{self, Level},
        types,
    },
};

/// Data of one store.
pub(crate) struct CallState {
    pub(crate) limiter: Limiter,
    pub(crate) log: Log,
}

impl CallState {
    pub(crate) fn new(plugin: Arc<str>, limits: &Limits) -> Self {
        let limiter = Limiter {
            memory_used: 0,
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            memories: limits.memories,
            instances: limits.instances,
        };
        Self { limiter, log: Log::new(plugin, limits) }
    }
}

impl types::Host for CallState {}

impl logging::Host for CallState {
    fn log(&mut self, level: Level, message: String) {
        self.log.write(level, &message);
    }
}

/// Bounds the sum over all memories, where wasmtime's own limiter bounds each by itself.
pub(crate) struct Limiter {
    memory_used: usize,
    memory_bytes: usize,
    table_elements: usize,
    memories: usize,
    instances: usize,
}

/// The call asked for more than it may have.
#[derive(Debug, thiserror::Error)]
#[error("over the memory limit of one call")]
pub(crate) struct OverLimit;

impl Limiter {
    /// Bytes of all memories. They never shrink, so this is the peak as well.
    pub(crate) fn memory_used(&self) -> usize {
        self.memory_used
    }
}

impl ResourceLimiter for Limiter {
    /// An error and not `false`: a guest that ignores a refused growth would go on with a null pointer.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.memory_used.checked_add(desired.saturating_sub(current)).ok_or(OverLimit)?;
        if used > self.memory_bytes {
            return Err(OverLimit.into());
        }
        self.memory_used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements { Err(OverLimit.into()) } else { Ok(true) }
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// A message of a plugin: one line, cut and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub text: String,
}

/// The guest's messages on their way to the host's log. Hostile: bounded and escaped.
pub(crate) struct Log {
    plugin: Arc<str>,
    max_messages: usize,
    message_bytes: usize,
    lines: Vec<LogLine>,
    dropped: u64,
    last_error: Option<String>,
}

/// What a call left in the log.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) dropped: u64,
    pub(crate) last_error: Option<String>,
}

impl Log {
    fn new(plugin: Arc<str>, limits: &Limits) -> Self {
        Self {
            plugin,
            max_messages: usize::try_from(limits.log_messages).unwrap_or(usize::MAX),
            message_bytes: limits.log_message_bytes,
            lines: Vec::new(),
            dropped: 0,
            last_error: None,
        }
    }

    fn write(&mut self, level: Level, message: &str) {
        // An error is kept even when the log is full: a panic says why the call failed.
        let (is_error, is_full) = (level == Level::Error, self.lines.len() >= self.max_messages);
        if is_full {
            self.dropped = self.dropped.saturating_add(1);
            if !is_error {
                return;
            }
        }
        let text = one_line(message, self.message_bytes);
        if is_error {
            self.last_error = Some(text.clone());
        }
        if is_full {
            return;
        }
        let plugin = &*self.plugin;
        let level = match level {
            Level::Trace => {
                tracing::trace!(plugin, "{text}");
                "trace"
            }
            Level::Debug => {
                tracing::debug!(plugin, "{text}");
                "debug"
            }
            Level::Info => {
                tracing::info!(plugin, "{text}");
                "info"
            }
            Level::Warn => {
                tracing::warn!(plugin, "{text}");
                "warn"
            }
            Level::Error => {
                tracing::error!(plugin, "{text}");
                "error"
            }
        };
        self.lines.push(LogLine { level, text });
    }

    /// Ends one call: says how much was left out, and is empty for the next.
    pub(crate) fn finish(&mut self) -> Logged {
        if self.dropped > 0 {
            tracing::warn!(plugin = &*self.plugin, "{} lines dropped", self.dropped);
        }
        Logged {
            lines: std::mem::take(&mut self.lines),
            dropped: std::mem::take(&mut self.dropped),
            last_error: self.last_error.take(),
        }
    }
}

/// At most `max_bytes` of a text, with everything escaped that could act on a terminal or forge a line.
pub(crate) fn one_line(text: &str, max_bytes: usize) -> String {
    let mut line = String::new();
    for c in text.chars() {
        let escaped = if is_plain(c) { None } else { Some(c.escape_unicode()) };
        let length = escaped.as_ref().map_or(c.len_utf8(), ExactSizeIterator::len);
        if line.len().saturating_add(length) > max_bytes {
            line.push_str("...");
            break;
        }
        match escaped {
            None => line.push(c),
            Some(escape) => line.extend(escape),
        }
    }
    line
}

/// No control character, and none that changes the direction of text.
pub(crate) fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_one_harmless_line() {
        let cases = [
            ("plain text: äöü", 100, "plain text: äöü"),
            ("a\nb\x1b[31m\0", 100, "a\\u{a}b\\u{1b}[31m\\u{0}"),
            ("a\u{202e}b", 100, "a\\u{202e}b"),
            ("abcdef", 3, "abc..."),
            ("ab\nc", 3, "ab..."),
            ("äöü", 3, "ä..."),
        ];
        for (text, max, want) in cases {
            assert_eq!(one_line(text, max), want, "text: {text:?}");
        }
    }

    #[test]
    fn a_flood_is_counted_and_the_last_error_kept() {
        let limits = Limits { log_messages: 3, ..Limits::default() };
        let mut log = CallState::new("p".into(), &limits).log;
        for _ in 0..10 {
            log.write(Level::Info, "flood");
        }
        log.write(Level::Error, "panicked");
        let logged = log.finish();
        assert_eq!((logged.lines.len(), logged.dropped), (3, 8));
        assert_eq!(logged.last_error.as_deref(), Some("panicked"));
        assert_eq!(log.finish().dropped, 0, "the next call starts anew");
    }

    #[test]
    fn memories_are_added_up() {
        let limits = Limits { memory_bytes: 100, table_elements: 5, ..Limits::default() };
        let mut limiter = CallState::new("p".into(), &limits).limiter;
        assert!(limiter.memory_growing(0, 60, None).is_ok());
        assert!(limiter.memory_growing(0, 40, None).is_ok());
        assert!(limiter.memory_growing(40, 41, None).unwrap_err().is::<OverLimit>());
        assert!(limiter.table_growing(0, 5, None).is_ok());
        assert!(limiter.table_growing(5, 6, None).unwrap_err().is::<OverLimit>());
    }
}
