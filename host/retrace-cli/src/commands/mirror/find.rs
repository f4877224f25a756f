//! `retrace mirror find`.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use retrace_mirror::{Answer, Hit, Kind, Question, WhyNot, Within};
use retrace_types::{Architecture, PackageKind, ReleaseId, Role, SignaturePolicy, SignatureState};
use serde::Serialize;

use crate::{FAILED, USAGE, args::Format, commands, config::Config, wiring};

pub(crate) const HELP: &str = "\
A build-id is 6 to 128 hexadecimal digits, a path begins with /, everything else is a package: a name, name-version,
name=version, name-version-release.arch or the name of a package file. A path is what metadata says, and only of programs
and libraries; a build-id decides. Where metadata names no build-ids (Debian's binary packages), those of a package are
known once it was fetched.

Examples:
  retrace mirror find 3856f0954e1931eebc020ca4a4e6bef40f4f7765
  retrace mirror find /usr/lib64/libcrypto.so.3 --release fedora-40 --arch x86_64
  retrace mirror find bash-5.2.26-3.fc40 --format json
  retrace mirror find facade --as package

Exit codes: 0 found; 1 nothing is found, and what would help is told; 2 wrong usage or configuration.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look for
    #[arg(value_name = "BUILD-ID|PATH|PACKAGE")]
    wanted: String,

    /// What the argument is, where its shape misleads
    #[arg(long = "as", value_enum, value_name = "KIND")]
    kind: Option<KindArg>,

    /// Only this release, such as debian-12
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseId>,

    /// Only releases of this architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<Architecture>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    BuildId,
    Path,
    Package,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::BuildId => Self::BuildId,
            KindArg::Path => Self::Path,
            KindArg::Package => Self::Package,
        }
    }
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<ExitCode> {
    let question = match args.kind {
        Some(kind) => Question::of_kind(kind.into(), &args.wanted),
        None => args.wanted.parse(),
    };
    let question = match question {
        Ok(question) => question,
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::new(error));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let store = wiring::store(config).await?;
    let within = Within { release: args.release.clone(), architecture: args.arch };
    let mut answer = ask(&store, &question, &within).await?;
    if answer.hits.is_empty() && args.kind.is_none() && matches!(question, Question::BuildId(_)) {
        // `facade` is hexadecimal as well.
        if let Ok(package) = Question::of_kind(Kind::Package, &args.wanted) {
            let named = ask(&store, &package, &within).await?;
            answer = if named.hits.is_empty() { answer } else { named };
        }
    }
    let found = !answer.hits.is_empty();
    let document = Document::new(&args.wanted, &answer);
    match args.format {
        Format::Json => commands::print_json(&document)?,
        Format::Text => commands::print(&document.text())?,
    }
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

async fn ask(store: &retrace_store::Store, question: &Question, within: &Within) -> Result<Answer> {
    retrace_mirror::find(store, question, within).await.context("cannot read the index")
}

#[derive(Serialize)]
struct Document<'a> {
    wanted: &'a str,
    found: Vec<HitDocument<'a>>,
    /// What helps if nothing is found.
    hint: Option<String>,
}

#[derive(Serialize)]
struct HitDocument<'a> {
    package: String,
    name: &'a str,
    /// With epoch and release.
    version: String,
    package_architecture: &'a str,
    kind: &'a PackageKind,
    release: String,
    architecture: String,
    repository: &'a str,
    /// Of the file with the build-id that was asked for.
    role: Option<Role>,
    /// Path of that file in the package.
    member: Option<&'a str>,
    source: Option<&'a str>,
    debug_packages: Vec<String>,
    /// Path of its file below the mirror's base.
    location: &'a str,
    size_bytes: Option<u64>,
    sha256: Option<String>,
    /// The verified copy.
    local: Option<LocalDocument<'a>>,
    /// What its repository wants signed.
    policy: SignaturePolicy,
}

#[derive(Serialize)]
struct LocalDocument<'a> {
    path: PathBuf,
    size_bytes: u64,
    signature: &'a SignatureState,
}

impl<'a> Document<'a> {
    fn new(wanted: &'a str, answer: &'a Answer) -> Self {
        Self {
            wanted,
            found: answer.hits.iter().map(HitDocument::new).collect(),
            hint: answer.why_not.as_ref().map(WhyNot::to_string),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (number, hit) in self.found.iter().enumerate() {
            if number > 0 {
                text.push('\n');
            }
            hit.write(&mut text);
        }
        if let Some(hint) = &self.hint {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} is not found; {hint}", self.wanted);
        }
        text
    }
}

impl<'a> HitDocument<'a> {
    fn new(hit: &'a Hit) -> Self {
        let Hit { repository, package, role, member, debug, copy } = hit;
        let local = package.local.as_ref().zip(copy.as_ref()).map(|(local, path)| LocalDocument {
            path: path.clone(),
            size_bytes: local.size_bytes,
            signature: &local.signature,
        });
        Self {
            package: package.id.to_string(),
            name: &package.id.name,
            version: package.id.full_version(),
            package_architecture: &package.id.arch,
            kind: &package.kind,
            release: repository.release.to_string(),
            architecture: repository.architecture.to_string(),
            repository: &repository.spec.id,
            role: *role,
            member: member.as_deref(),
            source: package.source.as_deref(),
            debug_packages: debug.iter().map(ToString::to_string).collect(),
            location: &package.location,
            size_bytes: package.size_bytes,
            sha256: package.sha256.map(|sha256| sha256.to_string()),
            local,
            policy: repository.spec.signatures,
        }
    }

    fn write(&self, text: &mut String) {
        let Self { package, release, architecture, repository, location, .. } = self;
        let role = match self.role {
            Some(Role::Executable) => "  (executable)",
            Some(Role::Debuginfo) => "  (debuginfo)",
            None => "",
        };
        let _ = writeln!(text, "{package}{role}");
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<10} {value}");
        };
        line("repository", &format!("{release} {architecture} {repository}"));
        if let Some(member) = self.member {
            line("file", member);
        }
        if let Some(source) = self.source {
            line("source", source);
        }
        if !self.debug_packages.is_empty() {
            line("debuginfo", &self.debug_packages.join(", "));
        }
        line("location", location);
        match &self.local {
            Some(local) => {
                line("local", &local.path.display().to_string());
                line("signature", &local.signature.to_string());
            }
            None => {
                line("local", "no: it is fetched when it is needed");
                line("signature", &format!("when it is fetched: {}", wanted(self.policy)));
            }
        }
    }
}

/// What a policy wants.
fn wanted(policy: SignaturePolicy) -> &'static str {
    match (policy.metadata, policy.packages) {
        (true, true) => "metadata and packages must be signed",
        (true, false) => "metadata must be signed",
        (false, true) => "packages must be signed",
        (false, false) => "NOT VERIFIED (verification is off for its repository)",
    }
}
