//! What `plugin test` and `plugin fuzz` have in common.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use retrace_plugin_host::conformance::Options;

use crate::{config::Config, wiring};

/// The bytes of a component, if it is no larger than a plugin may be by far: what is a little larger gets a report.
pub(crate) fn read(config: &Config, path: &Path) -> Result<Vec<u8>> {
    let limit = wiring::plugin_options(config).limits.file_bytes.saturating_mul(2);
    let failed = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).with_context(failed)?;
    ensure!(u64::try_from(bytes.len())? < limit, "{} has more than {limit} bytes: that is no plugin", path.display());
    Ok(bytes)
}

/// Limits, cache and compiler as the host has them.
pub(crate) fn suite_options(config: &Config, file: &Path, counter_examples: &Path, base: Options) -> Result<Options> {
    let host = wiring::plugin_options(config);
    Ok(Options {
        limits: host.limits,
        file: file.to_owned(),
        counter_examples: Some(counter_examples.to_owned()),
        cache_dir: Some(host.cache_dir),
        compiler: host.compiler,
        ..base
    })
}
