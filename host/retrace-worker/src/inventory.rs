//! Tells the store which plugins this worker has: the server has none, and people ask it.

use std::time::{Duration, Instant};

use retrace_plugin_host::{HostStatus, PluginHost};
use retrace_store::{PluginReport, Store};
use tokio_util::sync::CancellationToken;

/// How often to look for a change, and to say again that nothing changed.
const LOOK: Duration = Duration::from_secs(2);
const REPEAT: Duration = Duration::from_secs(5 * 60);

/// Reports until `stop`, then takes the report back.
pub(crate) async fn report(store: &Store, host: &PluginHost, worker: &str, stop: &CancellationToken) {
    let mut told: Option<(Vec<PluginReport>, Instant)> = None;
    while !stop.is_cancelled() {
        let plugins = reports(host);
        let is_news = told.as_ref().is_none_or(|(last, at)| *last != plugins || at.elapsed() >= REPEAT);
        if is_news {
            match store.report_plugins(worker, &plugins).await {
                Ok(()) => told = Some((plugins, Instant::now())),
                Err(error) => tracing::warn!(%error, "cannot tell the store which plugins serve"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    if let Err(error) = store.forget_worker(worker).await {
        tracing::warn!(%error, "cannot tell the store that this worker ends");
    }
}

fn reports(host: &PluginHost) -> Vec<PluginReport> {
    let registry = host.registry();
    let state = |state: &str| state.to_owned();
    let file_name =
        |path: &std::path::Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let info = |info: &retrace_plugin_host::PluginInfo, of: &str| PluginReport {
        plugin: info.id.to_string(),
        version: info.version.clone(),
        sha256: Some(info.sha256),
        state: state(of),
        distributions: std::iter::once(&info.id).chain(&info.aliases).map(ToString::to_string).collect(),
        message: None,
    };
    let of_file = |path: &std::path::Path, of: &str, message: Option<String>| PluginReport {
        plugin: file_name(path),
        version: String::new(),
        sha256: None,
        state: state(of),
        distributions: Vec::new(),
        message,
    };
    let status = HostStatus::of(host);
    let serving = registry.plugins().map(|plugin| info(plugin.info(), "serving"));
    let broken = status.faults.iter().map(|fault| of_file(&fault.path, "broken", Some(fault.reason.clone())));
    let warming = registry.warming().iter().map(|path| of_file(path, "warming", None));
    serving.chain(broken).chain(warming).collect()
}
