//! What belongs to one call: its limits and its log.

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
    pub(crate) fn new(plugin: String, limits: &Limits) -> Self {
        let limiter = Limiter {
            memory_left: limits.memory_bytes,
            table_elements: limits.table_elements,
            memories: limits.memories,
            instances: limits.instances,
        };
        let log = Log {
            plugin,
            messages_left: limits.log_messages,
            message_bytes: limits.log_message_bytes,
            dropped: 0,
            last_error: None,
        };
        Self { limiter, log }
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
    memory_left: usize,
    table_elements: usize,
    memories: usize,
    instances: usize,
}

/// The call asked for more than it may have.
#[derive(Debug, thiserror::Error)]
#[error("over the memory limit of one call")]
pub(crate) struct OverLimit;

impl ResourceLimiter for Limiter {
    /// An error and not `false`: a guest that ignores a refused growth would go on with a null pointer.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let left = self.memory_left.checked_sub(desired.saturating_sub(current)).ok_or(OverLimit)?;
        self.memory_left = left;
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

/// The guest's messages on their way to the host's log. Hostile: bounded and escaped.
pub(crate) struct Log {
    plugin: String,
    messages_left: u32,
    message_bytes: usize,
    dropped: u64,
    last_error: Option<String>,
}

impl Log {
    fn write(&mut self, level: Level, message: &str) {
        // An error is kept even when the log is full: a panic says why the call failed.
        let is_error = level == Level::Error;
        if self.messages_left == 0 && !is_error {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let text = one_line(message, self.message_bytes);
        match self.messages_left.checked_sub(1) {
            Some(left) => self.messages_left = left,
            None => self.dropped = self.dropped.saturating_add(1),
        }
        if self.dropped == 0 {
            let plugin = &self.plugin;
            match level {
                Level::Trace => tracing::trace!(plugin, "{text}"),
                Level::Debug => tracing::debug!(plugin, "{text}"),
                Level::Info => tracing::info!(plugin, "{text}"),
                Level::Warn => tracing::warn!(plugin, "{text}"),
                Level::Error => tracing::error!(plugin, "{text}"),
            }
        }
        if is_error {
            self.last_error = Some(text);
        }
    }

    /// Says how much was left out; returns the last error message.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if self.dropped > 0 {
            tracing::warn!(plugin = self.plugin, "{} log messages of the plugin dropped", self.dropped);
        }
        self.last_error.take()
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
        let mut log = CallState::new("p".to_owned(), &limits).log;
        for _ in 0..10 {
            log.write(Level::Info, "flood");
        }
        log.write(Level::Error, "panicked");
        assert_eq!(log.dropped, 8);
        assert_eq!(log.finish().as_deref(), Some("panicked"));
    }

    #[test]
    fn memories_are_added_up() {
        let limits = Limits { memory_bytes: 100, table_elements: 5, ..Limits::default() };
        let mut limiter = CallState::new("p".to_owned(), &limits).limiter;
        assert!(limiter.memory_growing(0, 60, None).is_ok());
        assert!(limiter.memory_growing(0, 40, None).is_ok());
        assert!(limiter.memory_growing(40, 41, None).unwrap_err().is::<OverLimit>());
        assert!(limiter.table_growing(0, 5, None).is_ok());
        assert!(limiter.table_growing(5, 6, None).unwrap_err().is::<OverLimit>());
    }
}
