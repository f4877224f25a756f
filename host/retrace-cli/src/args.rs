//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use retrace_types::{Architecture, DistroId, VersionId};

use crate::commands::{
    plugin::{PluginCommand, check},
    store::StoreCommand,
    token::TokenCommand,
};

/// Turns coredumps from any Linux distribution into backtraces, from packages that it mirrors and verifies itself.
#[derive(Debug, Parser)]
#[command(
    name = "retrace",
    version,
    after_help = "Exit codes:\n  0  done; for `analyze`: a backtrace that lacks nothing\n  1  failed\n  2  wrong usage or configuration\n  \
                  3  `analyze` made a backtrace, but something is missing: the gaps say what and how to mend it\n\n\
                  Examples:\n  retrace mirror sync debian 12 x86_64\n  retrace analyze core --os-release /etc/os-release\n  \
                  retrace serve"
)]
pub(crate) struct Args {
    /// Configuration file [default: ~/.config/retrace/retrace.toml, else /etc/retrace/retrace.toml]
    #[arg(long, global = true, value_name = "FILE", env = "RETRACE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Say more; twice for debugging. RETRACE_LOG takes a filter such as `retrace_mirror=debug`
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// How log lines look on standard error: for people, or one JSON object a line
    #[arg(long, global = true, value_enum, default_value_t, env = "RETRACE_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a backtrace from a core
    #[command(after_help = "Examples:\n  retrace analyze core --os-release os-release --package bash-5.2.15-2+b7\n  \
                            retrace analyze core.zst --format json > backtrace.json\n  retrace analyze core --out result/\n\n\
                            Exit codes: 0 nothing is missing, 3 a backtrace with gaps, 1 no backtrace, 2 wrong usage.")]
    Analyze(AnalyzeArgs),

    /// Mirror the packages of distributions
    #[command(subcommand)]
    Mirror(MirrorCommand),

    /// Make, check, install and look at distribution plugins
    #[command(subcommand)]
    Plugin(PluginCommand),

    /// Say who may use the API, and for what
    #[command(subcommand)]
    Token(TokenCommand),

    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Look at the database and the artifacts, and bring the database up to date
    #[command(subcommand)]
    Store(StoreCommand),

    /// Take crashes by HTTP: starts the server and one worker
    Serve {
        /// Start no worker: workers run elsewhere, with `retrace worker`
        #[arg(long)]
        no_worker: bool,
    },

    /// Work on the queue of crashes that `retrace serve` fills
    Worker {
        /// End when the process that started this one ends
        #[arg(long, hide = true)]
        exit_with_parent: bool,
    },

    /// Remove what has no use any more: old tasks, abandoned uploads, folders of killed jobs, cached files beyond a size
    #[command(after_help = crate::commands::gc::HELP)]
    Gc(crate::commands::gc::Args),

    /// Print a completion script for a shell
    #[command(after_help = "Example: retrace completions bash > /etc/bash_completion.d/retrace")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Write the man pages into a folder
    #[command(after_help = "Example: retrace man /usr/local/share/man/man1")]
    Man {
        /// The folder
        dir: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AnalyzeArgs {
    /// The core: plain or compressed with gzip, xz, zstd, lz4 or bzip2
    pub(crate) core: PathBuf,

    /// The os-release file of the machine that crashed, or a file with one line such as "Fedora release 40 (Forty)"
    #[arg(long, value_name = "FILE")]
    pub(crate) os_release: Option<PathBuf>,

    /// The crashed package: name, version and release, as in bash-5.2.26-3.fc40
    #[arg(long, value_name = "NVR")]
    pub(crate) package: Option<String>,

    /// Path of the crashed program on its machine, where the core does not tell it
    #[arg(long, value_name = "PATH")]
    pub(crate) executable: Option<String>,

    /// What makes the frames: gdb; our own engine (native), in milliseconds; or both, and how they differ
    #[arg(long, value_enum, default_value_t = Engine::Gdb)]
    pub(crate) engine: Engine,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Also write backtrace.json, backtrace.txt and log into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Keep the sysroot that the debugger saw in this folder, which must not exist, for a debugger of your own
    #[arg(long, value_name = "DIR")]
    pub(crate) keep_sysroot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Native,
    Gdb,
    Both,
}

impl From<Engine> for retrace_worker::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Native => Self::Native,
            Engine::Gdb => Self::Gdb,
            Engine::Both => Self::Both,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Read the repositories of a release into the index; packages are fetched when a core needs them
    #[command(after_help = "Examples:\n  retrace mirror sync debian 12 x86_64\n  \
                            retrace mirror sync --all\n  \
                            retrace mirror sync fedora 40 x86_64 --mirror releases=http://mirror.example/f40/os --mirror \
                            releases-debuginfo=/srv/f40-debug --key our-key.asc\n\n\
                            Without --mirror, the repositories that the `[[repository]]` rules of the configuration leave on are read,\n\
                            lower priority numbers first. Off unless a rule says `enabled = true`: source packages, testing, backports.\n\
                            With --all a release or repository that fails does not stop the others.\n\n\
                            Exit codes: 0 every repository is up to date, 1 a repository failed (its old index stays), 2 wrong usage,\n\
                            3 packages that a rule wants fetched ahead could not be had; the next run tries them again.")]
    Sync(SyncArgs),

    /// Look into the index: which package has a build-id or a path, which versions of a package there are
    #[command(after_help = crate::commands::mirror::find::HELP)]
    Find(crate::commands::mirror::find::Args),

    /// Tell how each repository is: how fresh, how large, and why its last sync failed
    #[command(after_help = crate::commands::mirror::status::HELP)]
    Status(crate::commands::mirror::status::Args),

    /// Read every package that is kept again, and replace what is damaged
    #[command(after_help = crate::commands::mirror::verify::HELP)]
    Verify(crate::commands::mirror::verify::Args),

    /// Make repositories of the packages that are kept, for dnf, apt and mock
    #[command(after_help = crate::commands::mirror::publish::HELP)]
    Publish(crate::commands::mirror::publish::Args),

    /// Remove copies of packages that the rules no longer want, and files that no package has
    #[command(after_help = crate::commands::mirror::prune::HELP)]
    Prune(crate::commands::mirror::prune::Args),

    /// Reach the mirrors of a release, as its plugin names them; the same as `retrace plugin check`
    Check(check::Args),

    /// List what is mirrored
    List {
        /// How to print the result
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    /// Distribution, such as debian
    #[arg(required_unless_present = "all")]
    pub(crate) distribution: Option<DistroId>,

    /// Version, such as 12
    #[arg(required_unless_present = "all")]
    pub(crate) version: Option<VersionId>,

    /// Architecture, such as x86_64
    #[arg(required_unless_present = "all")]
    pub(crate) architecture: Option<Architecture>,

    /// Every repository that is mirrored, from the mirrors that it was last read from
    #[arg(long, conflicts_with_all = ["distribution", "version", "architecture", "mirrors"])]
    pub(crate) all: bool,

    /// Use this mirror, and only the repositories that are named so; a URL or folder without REPOSITORY= is the first
    /// repository of the release. Folder, or file, http, https, ftp, ftps, rsync or rsync+ssh URL; $ARCH, $BASEARCH, $VER,
    /// $MINOR and $CODENAME are replaced, $$ is a dollar sign
    #[arg(long = "mirror", value_name = "[REPOSITORY=]URL")]
    pub(crate) mirrors: Vec<String>,

    /// Read the metadata, then only say what the `[[repository]]` rules would have fetched
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// A further OpenPGP key file that may sign these repositories
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) keys: Vec<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the configuration in force, with the environment variable of each key
    Show,
    /// Look for mistakes; exit code 2 if there is one
    Check,
    /// Turn the configuration of retrace-server, the predecessor, into one for Retrace
    #[command(after_help = crate::commands::config::import::HELP)]
    Import(crate::commands::config::import::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
