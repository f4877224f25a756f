//! Any bytes are a core or a clear error, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retrace_coredump::{Limits, read_facts};

fuzz_target!(|core: &[u8]| {
    let limits = Limits { max_threads: 16, max_mappings: 64, max_modules: 16, ..Limits::default() };
    if let Ok(facts) = read_facts(&core, &limits) {
        assert!(facts.threads.len() <= limits.max_threads);
        assert!(facts.mappings.len() <= limits.max_mappings);
        assert!(facts.modules.len() <= limits.max_modules);
        assert!(facts.link_map.len() <= limits.max_modules);
        assert!(facts.mappings.iter().all(|mapping| mapping.start < mapping.end));
        assert!(facts.truncation.is_none_or(|truncation| truncation.expected_size > core.len() as u64));
    }
});
