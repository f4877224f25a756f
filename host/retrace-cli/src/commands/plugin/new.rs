use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use retrace_plugin_kit::templates::{NewPlugin, SDK_VERSION, Sdk, Template};
use retrace_types::DistroId;
use serde::Serialize;

use crate::{args::Format, commands};

/// Names the folder `plugin-sdk` of a checkout.
const SDK_VARIABLE: &str = "RETRACE_SDK_PATH";

/// Start a new plugin: a folder with a small distribution that builds and passes the suite at once
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  retrace plugin new acme && cd acme && make test\n  \
                        retrace plugin new acme --template declarative --name \"Acme Linux\"\n  \
                        retrace plugin new acme --template python --dir plugins/acme\n\n\
                        Templates: rust (no tool but cargo), rust-std (for crates that need std), declarative (a TOML file, no code), c,\n\
                        javascript and python (each needs its own tools; the new README.md names them).\n\n\
                        The SDK comes from --sdk, else RETRACE_SDK_PATH, else the checkout of Retrace that the new folder lies in,\n\
                        else crates.io in the version of this command.\n\n\
                        Exit codes: 0 made, 2 wrong usage, or the folder exists: nothing is ever overwritten.")]
pub(crate) struct Args {
    /// The distribution's ID of os-release, such as acme
    id: DistroId,
    /// What to start from: rust, rust-std, declarative, c, javascript or python
    #[arg(long, default_value = "rust")]
    template: Template,
    /// The folder to make [default: the id, in the current folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The distribution as people know it [default: made of the id, "Acme Linux"]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Folder plugin-sdk of a checkout of Retrace, for templates in Rust
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    dir: String,
    template: &'static str,
    sdk: Option<String>,
    needs: &'static str,
    files: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(args.id.as_str()));
    let sdk = sdk(args, &dir)?;
    let plugin = NewPlugin::new(args.id.clone(), args.name.as_deref(), args.template, sdk.clone())?;
    plugin.write(&dir)?;

    let shown_sdk = args.template.uses_sdk().then(|| match &sdk {
        Sdk::Path(path) => path.display().to_string(),
        Sdk::Registry => format!("retrace-plugin-sdk {} of crates.io", SDK_VERSION),
    });
    let document = Document {
        dir: dir.display().to_string(),
        template: args.template.name(),
        sdk: shown_sdk,
        needs: args.template.needs(),
        files: plugin.files().into_iter().map(|(name, _)| name).collect(),
    };
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&text(&document))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn sdk(args: &Args, dir: &Path) -> Result<Sdk> {
    let named = args.sdk.clone().or_else(|| env::var_os(SDK_VARIABLE).map(PathBuf::from));
    match named {
        Some(path) => Ok(Sdk::at(&path)?),
        None => {
            let dir = std::path::absolute(dir).with_context(|| format!("{} is no usable path", dir.display()))?;
            Ok(Sdk::near(&dir))
        }
    }
}

fn text(document: &Document) -> String {
    let Document { dir, template, needs, .. } = document;
    let sdk = document.sdk.as_ref().map(|sdk| format!("\nSDK: {sdk}")).unwrap_or_default();
    format!("Made {dir} from the template {template}.{sdk}\nIt needs {needs}.\nNext: cd {dir} && make test\n")
}
