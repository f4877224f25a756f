//! The table of all checks: what each proves, and what to do about a failure.

use super::report::Level;

/// One check of the suite. Ids never change their meaning; a new check gets a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Group (`A` to `G`) and number: `B7`.
    pub id: &'static str,
    /// What holds if it passes.
    pub title: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// What a user loses without it.
    pub proves: &'static str,
    /// What to do about a failure.
    pub fix: &'static str,
}

use Level::{Info, Must, Should};

/// Every check, in the order in which they run.
pub const CATALOGUE: &[Check] = &[
    check(
        "A1",
        "the file is a valid component",
        Must,
        "The host compiles components only; anything else is refused before it costs anything.",
        "Build with `retrace plugin build` or `cargo build --target wasm32-wasip2`; a core module needs the component step.",
    ),
    check(
        "A2",
        "nothing but logging is imported",
        Must,
        "A plugin that reaches for files, clock or environment cannot be linked: the host grants none of them.",
        "In Rust make the crate no_std for WebAssembly, which the SDK does; in other languages stub WASI out at build time.",
    ),
    check(
        "A3",
        "the interface distribution is exported with the contract's types",
        Must,
        "The host calls nine functions by their exact types; one that differs cannot be called.",
        "Build against wit/distro.wit (`retrace plugin wit` prints it) without changing it.",
    ),
    check(
        "A4",
        "size and counts are within the limits",
        Must,
        "Compiling is the expensive step; the host bounds it by counting before it starts.",
        "Leave out what is not needed, build for size, and split generated functions (`retrace plugin limits` has the figures).",
    ),
    check(
        "A5",
        "only the plain features of WebAssembly are used",
        Must,
        "Every further feature is engine code that hostile input could reach, so the host switches them off.",
        "Build for the default CPU of the target, without extra target features.",
    ),
    check(
        "A6",
        "the section retrace:plugin agrees with describe",
        Must,
        "Tools show id and version from the section without running anything; a lie there installs the wrong thing.",
        "Let the SDK write the section; rebuild from scratch if the version was changed by hand.",
    ),
    check(
        "A7",
        "no path of the build machine is inside",
        Should,
        "Paths tell users about the author's machine, and two machines build two different files.",
        "Strip names (`strip = \"symbols\"`); where they are wanted, build with `--remap-path-prefix` for your home and cargo folders.",
    ),
    check(
        "B1",
        "describe answers by the grammar",
        Must,
        "Id and aliases become names of folders and configuration keys.",
        "Id and aliases as in os-release: lower-case letters, digits, `.`, `_`, `-`; the version of the plugin as 1.2.3.",
    ),
    check(
        "B2",
        "releases have versions, minors and code names by the grammar",
        Must,
        "Versions become names of folders and parts of URLs.",
        "Letters, digits and `._+~-`, starting with a letter or digit, at most 64 bytes.",
    ),
    check(
        "B3",
        "every release belongs to the plugin",
        Must,
        "A release with a foreign id would never be asked of this plugin again.",
        "Put describe's id, or one of its aliases, into `distro` of every release.",
    ),
    check(
        "B4",
        "there are releases, each once",
        Must,
        "A plugin without releases serves nobody, and of two equal ones the host cannot tell which is meant.",
        "List every release that is served, and each distribution and version once.",
    ),
    check(
        "B5",
        "every release has architectures by the grammar, each once",
        Must,
        "The architectures of a release are what the mirrors are asked for.",
        "Name at least one architecture as `uname -m` prints it, and none twice.",
    ),
    check(
        "B6",
        "ends of life are dates",
        Must,
        "The host compares the date with today.",
        "Write YYYY-MM-DD, or nothing where the date is not known.",
    ),
    check(
        "B7",
        "every declared architecture has repositories",
        Must,
        "A release that is offered and then has no repositories fails only when somebody's crash needs it.",
        "Answer `repositories` for each release and each of its architectures, or do not declare the architecture.",
    ),
    check(
        "B8",
        "mirrors are URLs that the host can use",
        Must,
        "The host fetches from these addresses; what it cannot expand or must not follow drops the whole answer.",
        "Use https, http, rsync, ftp or file; only $ARCH, $VER, $MINOR and $CODENAME, and only where they have a value.",
    ),
    check(
        "B9",
        "every release has packages and debug information",
        Must,
        "Without debug information a backtrace has no lines, without packages there is no backtrace.",
        "Add a repository with content `packages` and one with `debug-info` to every release and architecture.",
    ),
    check(
        "B10",
        "keys are named within the plugin's own folder",
        Must,
        "A key outside the folder would let one plugin trust another distribution's key, or any file of the host.",
        "Write `<id>/<file>`, at least one wherever a signature is demanded, and fingerprints as 40 or 64 upper-case digits.",
    ),
    check(
        "B11",
        "every key exists and has the pinned fingerprint",
        Must,
        "A repository whose key is missing cannot be mirrored at all.",
        "Put the key into the folder given by --gpg, and pin the fingerprint of its primary key.",
    ),
    check(
        "B12",
        "repositories have unique ids and a layout the host can follow, packages first",
        Must,
        "The id names the repository's index; suite and components become paths.",
        "Use ids by the grammar of distributions, each once, content `packages` before the others, suites without `..`.",
    ),
    check(
        "B13",
        "the debugger is an absolute path out of named packages",
        Must,
        "The host installs these packages and runs this path.",
        "Name at least one package and an absolute path without `..`, or answer none: the host's debugger will do.",
    ),
    check(
        "B14",
        "an unknown architecture is unsupported-architecture",
        Must,
        "The user has to hear that there are no packages for the machine, not get an empty or foreign list.",
        "Check the architecture before building the list, and return unsupported-architecture.",
    ),
    check(
        "B15",
        "an unknown release is unsupported-release",
        Must,
        "The user has to hear that the release is not served, with the served ones named.",
        "Check the version before building the list, and return unsupported-release.",
    ),
    check(
        "B16",
        "a release that differs only in its minor has repositories too",
        Must,
        "Crashes come from point releases that are younger than the plugin.",
        "Compare distribution and version only; use $MINOR only where the plugin itself sets a minor.",
    ),
    check(
        "B17",
        "texts for people are short and hold no control characters",
        Must,
        "They are printed on terminals and in web pages.",
        "Titles, names and reasons: 1 to 256 bytes, one line, no control or direction characters.",
    ),
    check(
        "B18",
        "package names are answered one by one, by the grammar",
        Must,
        "Parts of a package's name become file names and search keys.",
        "One answer for each name, in order; no part empty, no white space, no `/`.",
    ),
    check(
        "B19",
        "every release in an answer is one of releases",
        Must,
        "A release that the plugin names and does not list has no repositories.",
        "Answer unsupported-release for a release that is not in the list.",
    ),
    check(
        "B20",
        "kernel answers with packages and an absolute path",
        Must,
        "Optional interface: the host unpacks vmlinux by this path from these packages.",
        "Name at least one package and the absolute path of vmlinux in it; none for another distribution's kernel.",
    ),
    check(
        "B21",
        "environment-advice answers with package names",
        Must,
        "Optional interface: the host installs these packages beside the asked ones.",
        "Names only, without version and without `/`; an empty list where nothing is missing.",
    ),
    check(
        "C1",
        "the author's fixtures hold",
        Must,
        "What the author saw to be right stays right.",
        "Mend the plugin; if the new answer is the right one, run `retrace plugin test --bless` and read the change.",
    ),
    check(
        "C2",
        "own files of the corpus are recognised",
        Must,
        "Real machines of the distribution send exactly these texts.",
        "Read os-release by its keys and abrt's line by its form; the message shows the file.",
    ),
    check(
        "C3",
        "foreign files of the corpus are not claimed",
        Must,
        "A plugin that claims other distributions' machines turns every crash there into a wrong one.",
        "Compare ID exactly (ID_LIKE is no proof), and answer none to everything else; a shared tag is at most weak.",
    ),
    check(
        "D1",
        "the same question has the same answer",
        Must,
        "The host keeps answers and makes instances as it likes: an answer must depend on the question alone.",
        "Keep no state in statics; sort what comes out of a hash map.",
    ),
    check(
        "D2",
        "no text breaks the plugin",
        Must,
        "Crash reports are hostile input; a plugin that breaks serves nobody until its pause is over.",
        "Slice strings by `get` or `split`, never by an index; check arithmetic.",
    ),
    check(
        "D3",
        "the form of os-release does not matter",
        Must,
        "Line order, CRLF, quotes and unknown keys differ between machines of one release.",
        "Parse with the SDK's OsRelease instead of searching for text.",
    ),
    check(
        "D4",
        "a formatted file name is read back, and debug packages are of the same version",
        Must,
        "The host looks for debug packages under the formatted name.",
        "Let format-file-name write what parse-file-names reads, and keep version, release and architecture in debug-packages.",
    ),
    check(
        "D5",
        "cost grows at most with the size of the input",
        Should,
        "64 KiB of hostile text must not cost 64 times 64 KiB.",
        "Look for a loop over the rest of the text inside a loop over the text, and for string building by prepending.",
    ),
    check(
        "D6",
        "a batch of names is answered as each name by itself",
        Must,
        "The host asks for 1000 names at once when it indexes a repository.",
        "Treat each name alone; no name may influence the next.",
    ),
    check(
        "D7",
        "a release guessed from a package agrees with the one read from the machine",
        Must,
        "Where os-release is missing the package decides; it must not decide otherwise.",
        "Let both end in the same table of releases.",
    ),
    check(
        "E1",
        "hostile texts do not make it trap",
        Must,
        "Nesting, long lines and odd escapes are what an attacker sends first.",
        "No recursion over input; bound depth and length; check arithmetic.",
    ),
    check(
        "E2",
        "hostile texts do not come back as invalid values",
        Must,
        "The host drops an answer that breaks a rule and counts a defect of the plugin.",
        "Check what is taken over from input by the grammar, and answer malformed-input.",
    ),
    check(
        "E3",
        "no answer is larger than the host takes",
        Must,
        "More than 1 MiB is not taken from a plugin in one call.",
        "Bound what is copied from input into an answer.",
    ),
    check(
        "E4",
        "it does not flood the log",
        Should,
        "The host keeps 64 messages of a call and drops the rest, perhaps the one that matters.",
        "Log what an operator can act on, not each line of the input.",
    ),
    check(
        "E5",
        "hostile texts do not hold it up",
        Must,
        "A call is stopped at its deadline, and the crash stays without an answer.",
        "Make every loop consume input.",
    ),
    check(
        "E6",
        "hostile texts do not exhaust its memory",
        Must,
        "A call is stopped at 64 MiB.",
        "Borrow from the input instead of copying; never reserve what the input claims.",
    ),
    check(
        "F1",
        "fuel of every function is within the published budget",
        Info,
        "Budgets show a slow version before users feel it; ten times as much counts as should.",
        "`retrace plugin bench` shows which function; plugin-sdk/docs/budgets.md has the figures.",
    ),
    check(
        "F2",
        "peak memory of every function is within the published budget",
        Info,
        "Memory of a call is what bounds how many calls run at once; ten times as much counts as should.",
        "Build tables as constants instead of on the heap.",
    ),
    check(
        "F3",
        "the component is of a usual size",
        Info,
        "Size is compile time at installation and load time at every start; ten times as much counts as should.",
        "Build with `opt-level = \"s\"`, LTO, stripped, and without std and regex.",
    ),
    check(
        "F4",
        "loading costs no more than usual",
        Info,
        "A worker loads every plugin when it starts; ten times as much counts as should.",
        "No work in start functions; describe and releases from constants.",
    ),
    check(
        "G1",
        "no input is claimed by two plugins with the same confidence",
        Must,
        "The host cannot choose between equals and asks the user instead.",
        "Lower the confidence where the sign is shared (`weak`), or look at a further one (vendor).",
    ),
    check(
        "G2",
        "ids and aliases of all plugins are disjoint",
        Must,
        "The host refuses a second plugin for one id.",
        "Remove the alias from one of them.",
    ),
];

const fn check(id: &'static str, title: &'static str, level: Level, proves: &'static str, fix: &'static str) -> Check {
    Check { id, title, level, proves, fix }
}

/// The check with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Check> {
    CATALOGUE.iter().find(|check| check.id == id)
}
