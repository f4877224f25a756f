use retrace_types::DistroId;
use serde::Deserialize;

use crate::PluginInfo;

/// The part of `plugin.toml` that says which plugin it is about. The rest is for people; the file is not signed, so
/// nothing is decided by it.
#[derive(Deserialize)]
struct About {
    id: DistroId,
    version: Option<String>,
}

/// The text of `plugin.toml` if it is about this plugin. A file that merely lies in the same folder, as beside a build's
/// many results, is left out.
pub(crate) fn for_plugin<'a>(text: Option<&'a str>, plugin: &PluginInfo) -> Option<&'a str> {
    let about: About = toml::from_str(text?).ok()?;
    let fits = about.id == plugin.id && about.version.is_none_or(|version| version == plugin.version);
    if !fits {
        tracing::warn!(plugin = %plugin.id, "plugin.toml is about {}: it is left out", about.id);
    }
    if fits { text } else { None }
}
