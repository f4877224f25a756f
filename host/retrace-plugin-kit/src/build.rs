//! Builds: from a folder with a plugin to a component.

mod rust;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use retrace_process::{Ending, Invocation, capture, find_program};

use crate::{
    KitError, Language,
    component::{self, Encoding},
    contract, section,
    section::Manifest,
};

/// Where a build puts the component, below the plugin's folder.
pub const RESULT: &str = "build/plugin.wasm";

/// No build takes longer, unless something hangs; the first one of a Rust plugin compiles the SDK's dependencies.
const TIME_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Bytes kept of what a tool writes; cargo writes a line for each crate.
const OUTPUT_LIMIT_BYTES: usize = 16 << 20;
/// Most characters of a failed tool's output that are shown, from its end.
const SHOWN_OUTPUT: usize = 8 << 10;

/// What is built, and where to.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Where to put the component; [`RESULT`] below the plugin's folder otherwise.
    pub out: Option<PathBuf>,
    /// Cargo's profile for a Rust plugin.
    pub profile: String,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self { out: None, profile: "release".to_owned() }
    }
}

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// What the plugin is written in.
    pub language: Language,
    /// The component.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// How long it took.
    pub duration: Duration,
    /// The commands that made it, for people; the component step is Retrace's own.
    pub commands: Vec<String>,
}

/// Builds the plugin in a folder. The component replaces an older one as the last step.
///
/// # Errors
/// [`KitError`]: no plugin there, a tool is missing or refuses the source, or the result is no component.
pub async fn build(dir: &Path, options: &BuildOptions) -> Result<Built, KitError> {
    let started = Instant::now();
    let language = Language::of(dir)?;
    let dir = fs::canonicalize(dir).map_err(KitError::file("read", dir))?;
    let scratch = dir.join("build");
    fs::create_dir_all(&scratch).map_err(KitError::file("make", &scratch))?;
    let manifest = Manifest::of(&dir)?;
    let mut tools = Tools { dir: dir.clone(), commands: Vec::new() };
    let made = match language {
        Language::Rust => rust::build(&mut tools, &options.profile).await?,
        Language::C => c(&mut tools, &scratch).await?,
        Language::JavaScript => javascript(&mut tools, &scratch).await?,
        Language::Python => python(&mut tools, &scratch).await?,
    };
    let bytes = fs::read(&made).map_err(KitError::file("read", &made))?;
    let component = match Encoding::of(&bytes) {
        Some(Encoding::Component) => bytes,
        Some(Encoding::Module) => component::from_module(&bytes)?,
        None => return Err(KitError::NotWasm { path: made }),
    };
    let component = match &manifest {
        Some(manifest) => section::add(component, manifest),
        None => component,
    };
    let path = options.out.clone().unwrap_or_else(|| dir.join(RESULT));
    replace(&path, &component)?;
    Ok(Built {
        language,
        path,
        size_bytes: u64::try_from(component.len()).unwrap_or(u64::MAX),
        duration: started.elapsed(),
        commands: tools.commands,
    })
}

/// Runs the programs of one build in the plugin's folder.
struct Tools {
    dir: PathBuf,
    commands: Vec<String>,
}

impl Tools {
    /// Runs a tool to its successful end; gives its standard output.
    ///
    /// It sees our whole environment, as it would if its user had started it: compilers are configured by it.
    async fn run(&mut self, program: &Path, arguments: Vec<String>) -> Result<Vec<u8>, KitError> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.commands.push([name.clone()].into_iter().chain(arguments.iter().cloned()).collect::<Vec<_>>().join(" "));
        let mut call = Invocation::new(program)
            .args(arguments)
            .working_dir(&self.dir)
            .time_limit(TIME_LIMIT)
            .output_limit_bytes(OUTPUT_LIMIT_BYTES);
        for (name, value) in env::vars_os() {
            call = call.env(name, value);
        }
        let output = capture(&call).await?;
        match output.ending {
            Ending::Exited(status) if status.success() => Ok(output.stdout),
            Ending::Exited(_) => {
                // cargo's standard output is for programs.
                let stdout = if name == "cargo" { String::new() } else { tail(&output.stdout) };
                let said = format!("{stdout}{}", tail(&output.stderr));
                Err(KitError::ToolFailed { tool: name, output: said.trim().to_owned() })
            }
            Ending::TimedOut => Err(output.check(&call).map_or_else(KitError::from, |_| KitError::ToolFailed {
                tool: name,
                output: "it did not end".to_owned(),
            })),
        }
    }

    /// A tool of the plugin's own folder, else of the machine.
    async fn find(&self, own: &str, names: &[&'static str], install: &'static str) -> Result<PathBuf, KitError> {
        if let Some(found) = find_program(self.dir.join(own)).await {
            return Ok(found);
        }
        for name in names {
            if let Some(found) = find_program(name).await {
                return Ok(found);
            }
        }
        Err(KitError::ToolMissing { tool: names.first().copied().unwrap_or("a tool"), install })
    }
}

/// Names of clang: the plain one, then those of Debian's versioned packages.
const CLANG: [&str; 10] = [
    "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14",
];

async fn c(tools: &mut Tools, scratch: &Path) -> Result<PathBuf, KitError> {
    let install = "install clang, lld, wasi-libc and libclang-rt-dev-wasm32 (Debian's names)";
    let clang = tools.find("bin/clang", &CLANG, install).await?;
    let bindings = scratch.join("bindings");
    write_all(&bindings, contract::c_bindings()?)?;

    let core = scratch.join("core.wasm");
    let mut arguments: Vec<String> = ["--target=wasm32-wasi", "-mexec-model=reactor", "-std=c11", "-Os", "-Wall"]
        .map(String::from)
        .into_iter()
        .chain(["-Wl,--strip-all".to_owned(), "-Ibuild/bindings".to_owned(), "-o".to_owned()])
        .chain(["build/core.wasm".to_owned()])
        .collect();
    let mut sources = c_sources(&tools.dir)?;
    sources.extend(["build/bindings/plugin.c".to_owned(), "build/bindings/plugin_component_type.o".to_owned()]);
    arguments.extend(sources);
    remove(&core)?;
    tools.run(&clang, arguments).await?;
    let hint = "the linker wrote no file";
    if core.is_file() { Ok(core) } else { Err(KitError::NoResult { tool: "clang", hint }) }
}

/// The `*.c` files of the folder, sorted.
fn c_sources(dir: &Path) -> Result<Vec<String>, KitError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(KitError::file("read", dir))? {
        let name = entry.map_err(KitError::file("read", dir))?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.ends_with(".c") && !name.starts_with(['-', '@'])) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

async fn javascript(tools: &mut Tools, scratch: &Path) -> Result<PathBuf, KitError> {
    let install =
        "install it with `npm install @bytecodealliance/jco@1.35.0` in the plugin's folder (needs Node.js 20)";
    let jco = tools.find("node_modules/.bin/jco", &["jco"], install).await?;
    write_all(&scratch.join("wit"), contract_files())?;
    let made = scratch.join("javascript.wasm");
    remove(&made)?;
    let arguments = [
        "componentize",
        "distribution.js",
        "--wit",
        "build/wit",
        "--world-name",
        contract::WORLD,
        "--backend",
        "qjs",
        "--backend-qjs-stub-wasi",
        "--backend-qjs-disable-async",
        "--out",
        "build/javascript.wasm",
    ];
    tools.run(&jco, arguments.map(String::from).to_vec()).await?;
    let hint = "see what `jco componentize` says";
    if made.is_file() { Ok(made) } else { Err(KitError::NoResult { tool: "jco", hint }) }
}

async fn python(tools: &mut Tools, scratch: &Path) -> Result<PathBuf, KitError> {
    let install = "install it with `python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1` in the \
                   plugin's folder";
    let componentize = tools.find(".venv/bin/componentize-py", &["componentize-py"], install).await?;
    write_all(&scratch.join("wit"), contract_files())?;
    let made = scratch.join("python.wasm");
    remove(&made)?;
    let arguments = [
        "--wit-path",
        "build/wit",
        "--world",
        contract::WORLD,
        "componentize",
        "--stub-wasi",
        "distribution",
        "--output",
        "build/python.wasm",
    ];
    tools.run(&componentize, arguments.map(String::from).to_vec()).await?;
    let hint = "see what `componentize-py` says";
    if made.is_file() { Ok(made) } else { Err(KitError::NoResult { tool: "componentize-py", hint }) }
}

fn contract_files() -> Vec<(String, Vec<u8>)> {
    contract::FILES.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

fn write_all(dir: &Path, files: Vec<(String, Vec<u8>)>) -> Result<(), KitError> {
    fs::create_dir_all(dir).map_err(KitError::file("make", dir))?;
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::write(&path, bytes).map_err(KitError::file("write", &path))?;
    }
    Ok(())
}

/// What an earlier build left must not pass for the result of this one.
fn remove(path: &Path) -> Result<(), KitError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(KitError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whoever reads the file sees the old one or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), KitError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(KitError::file("make", parent))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = parent.join(name);
    fs::write(&new, bytes).map_err(KitError::file("write", &new))?;
    fs::rename(&new, path).map_err(KitError::file("write", path))
}

fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(SHOWN_OUTPUT);
    String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_without_a_plugin_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = build(dir.path(), &BuildOptions::default()).await.unwrap_err();
        assert!(matches!(error, KitError::NoProject { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it left something");
    }

    #[test]
    fn sources_are_sorted_and_no_option() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["distribution.c", "-o.c", "@x.c", "b.c", "b.h"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(c_sources(dir.path()).unwrap(), ["b.c", "distribution.c"]);
    }

    #[test]
    fn a_result_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("build/plugin.wasm");
        for bytes in [b"one", b"two"] {
            replace(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
