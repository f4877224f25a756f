//! Random questions: changed real texts above all, for plain noise gets no further than the first test of a parser.

use proptest::{
    prelude::*,
    sample::{Index, select},
    strategy::BoxedStrategy,
};

use super::{material::Material, question::Question, survey::Known};
use crate::{
    Function,
    bindings::{exports::retrace::distro::distribution as wit, retrace::distro::types},
};

/// Most bytes of a text that the host passes on.
pub(super) const MAX_TEXT_BYTES: usize = 64 << 10;
/// Most bytes of a package's name as input.
const MAX_NAME_BYTES: usize = 4 << 10;

/// Words that parsers trip over.
const TOKENS: &[&str] = &[
    "ID=",
    "VERSION_ID=",
    "VERSION_CODENAME=",
    "\"",
    "'",
    "\\",
    "=",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "#",
    " ",
    "\t",
    "$",
    "`",
    "(",
    ")",
    " release ",
    "-",
    ".",
    "_",
    ":",
    "/",
    "..",
    "~",
    "^",
    "+",
    "%",
    "99999999999999999999",
    "0",
    "-1",
    "\u{feff}",
    "\u{202e}",
    "\u{e9}",
    "\u{20ac}",
    "\u{1f600}",
    "e\u{301}",
    "\u{0}",
    ".fc",
    ".el",
    "+deb",
    "ubuntu",
    ".rpm",
    ".deb",
    ".x86_64",
    "_amd64",
    "noarch",
    "src",
];

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, String),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Swap(Index, Index),
}

/// All questions that hold text, of every function that the plugin exports.
pub(super) fn questions(
    material: &Material,
    known: &Known,
    exports: impl Fn(Function) -> bool,
) -> BoxedStrategy<Question> {
    let of = |function| function_questions(material, known, function);
    let functions = [
        (6, Function::ParseRelease),
        (3, Function::GuessRelease),
        (2, Function::ParseFileNames),
        (1, Function::Repositories),
        (1, Function::DebuggerFor),
        (1, Function::FormatFileName),
        (1, Function::DebugPackages),
        (1, Function::KernelFor),
        (1, Function::ExtraPackages),
    ];
    let weighted = functions.into_iter().filter(|(_, function)| exports(*function)).map(|(weight, f)| (weight, of(f)));
    proptest::strategy::Union::new_weighted(weighted.collect()).boxed()
}

/// Questions to one function.
pub(super) fn function_questions(material: &Material, known: &Known, function: Function) -> BoxedStrategy<Question> {
    let texts: Vec<String> = material.texts.iter().filter_map(|(_, question)| text_of(question)).collect();
    let packages: Vec<String> = material.packages.iter().filter_map(|(_, question)| text_of(question)).collect();
    let names = [packages.as_slice(), material.file_names.as_slice()].concat();
    let releases: Vec<types::Release> = known.releases.iter().map(|entry| entry.release.clone()).collect();
    let releases = || release(releases.clone());
    match function {
        Function::Describe => Just(Question::Describe).boxed(),
        Function::Releases => Just(Question::Releases).boxed(),
        Function::ParseRelease => {
            let named = (
                select(vec!["os-release", "etc/debian_version", "system-release", ""]),
                changed(texts.clone(), MAX_TEXT_BYTES),
            );
            prop_oneof![
                4 => changed(texts.clone(), MAX_TEXT_BYTES).prop_map(Question::os_release),
                2 => changed(texts, MAX_TEXT_BYTES).prop_map(Question::release_line),
                1 => named.prop_map(|(name, text)| Question::named(name, text)),
            ]
            .boxed()
        }
        Function::GuessRelease => (changed(names, MAX_NAME_BYTES), format(), proptest::option::of(word()))
            .prop_map(|(raw, format, vendor)| Question::GuessRelease(wit::PackageRef { raw, format, vendor }))
            .boxed(),
        Function::ParseFileNames => {
            proptest::collection::vec(changed(names, MAX_NAME_BYTES), 0..8).prop_map(Question::ParseFileNames).boxed()
        }
        Function::Repositories => {
            (releases(), arch()).prop_map(|(release, arch)| Question::Repositories(release, arch)).boxed()
        }
        Function::DebuggerFor => {
            (releases(), arch()).prop_map(|(release, arch)| Question::DebuggerFor(release, arch)).boxed()
        }
        Function::FormatFileName => package().prop_map(Question::FormatFileName).boxed(),
        Function::DebugPackages => package().prop_map(Question::DebugPackages).boxed(),
        Function::KernelFor => {
            let kernels: Vec<String> = material.kernels.iter().map(|(version, _)| version.clone()).collect();
            (changed(kernels, MAX_NAME_BYTES), arch())
                .prop_map(|(version, arch)| Question::KernelFor(version, arch))
                .boxed()
        }
        Function::ExtraPackages => (releases(), arch(), proptest::collection::vec(word(), 0..6))
            .prop_map(|(release, arch, wanted)| Question::ExtraPackages(release, arch, wanted))
            .boxed(),
    }
}

fn text_of(question: &Question) -> Option<String> {
    match question {
        Question::ParseRelease(
            wit::ReleaseSource::OsRelease(text)
            | wit::ReleaseSource::ReleaseLine(text)
            | wit::ReleaseSource::Named((_, text)),
        ) => Some(text.clone()),
        Question::GuessRelease(subject) => Some(subject.raw.clone()),
        _ => None,
    }
}

/// A real text with some changes, or noise.
fn changed(texts: Vec<String>, max_bytes: usize) -> BoxedStrategy<String> {
    let base = if texts.is_empty() { noise().boxed() } else { prop_oneof![6 => select(texts), 1 => noise()].boxed() };
    (base, proptest::collection::vec(edit(), 0..6))
        .prop_map(move |(text, edits)| apply(&text, &edits, max_bytes))
        .boxed()
}

fn noise() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter),
        proptest::collection::vec(select(TOKENS), 0..40).prop_map(|tokens| tokens.concat()),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        4 => select(TOKENS).prop_map(ToOwned::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => (select(TOKENS), 1_usize..3000).prop_map(|(token, times)| token.repeat(times)),
    ];
    prop_oneof![
        4 => (any::<Index>(), piece).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => (any::<Index>(), 1_usize..40).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (any::<Index>(), 1_usize..40, 2_usize..800).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn apply(text: &str, edits: &[Edit], max_bytes: usize) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let place = |index: &Index, chars: &[char]| index.index(chars.len().saturating_add(1)).min(chars.len());
        match edit {
            Edit::Insert(at, piece) => {
                let at = place(at, &chars);
                chars.splice(at..at, piece.chars());
            }
            Edit::Remove(at, length) => {
                let at = place(at, &chars);
                let end = at.saturating_add(*length).min(chars.len());
                chars.drain(at..end);
            }
            Edit::Repeat(at, length, times) => {
                let at = place(at, &chars);
                let end = at.saturating_add(*length).min(chars.len());
                let piece: Vec<char> = chars.get(at..end).unwrap_or_default().to_vec();
                let times = (*times).min(max_bytes / piece.len().max(1));
                chars.splice(at..at, piece.iter().cycle().take(piece.len().saturating_mul(times)).copied());
            }
            Edit::Swap(a, b) => {
                let mut lines: Vec<String> = String::from_iter(&chars).split('\n').map(ToOwned::to_owned).collect();
                let (a, b) = (a.index(lines.len().max(1)), b.index(lines.len().max(1)));
                if a < lines.len() && b < lines.len() {
                    lines.swap(a, b);
                }
                chars = lines.join("\n").chars().collect();
            }
        }
    }
    let mut text = String::from_iter(chars);
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

/// A short text without much sense.
fn word() -> BoxedStrategy<String> {
    prop_oneof![
        3 => "[A-Za-z0-9][A-Za-z0-9._+~-]{0,20}",
        1 => proptest::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
        1 => select(TOKENS).prop_map(ToOwned::to_owned),
        1 => (select(TOKENS), 1_usize..100).prop_map(|(token, times)| token.repeat(times)),
    ]
    .boxed()
}

fn arch() -> BoxedStrategy<String> {
    let usual = vec!["x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64"];
    prop_oneof![3 => select(usual).prop_map(ToOwned::to_owned), 1 => word()].boxed()
}

fn format() -> impl Strategy<Value = Option<types::PackageFormat>> {
    select(vec![
        None,
        Some(types::PackageFormat::Rpm),
        Some(types::PackageFormat::Deb),
        Some(types::PackageFormat::Other("apk".to_owned())),
    ])
}

/// One of the plugin's releases, or something like it.
fn release(releases: Vec<types::Release>) -> BoxedStrategy<types::Release> {
    let any_release =
        (word(), word(), proptest::option::of(word()), proptest::option::of(word()), any::<bool>()).prop_map(
            |(distro, version, minor, codename, rolling)| types::Release { distro, version, minor, codename, rolling },
        );
    if releases.is_empty() {
        return any_release.boxed();
    }
    let near = (select(releases.clone()), word(), proptest::option::of(word()))
        .prop_map(|(release, version, minor)| types::Release { version, minor, ..release });
    prop_oneof![2 => select(releases), 2 => near, 1 => any_release].boxed()
}

fn package() -> impl Strategy<Value = types::PackageId> {
    let kind = select(vec![
        types::PackageKind::Binary,
        types::PackageKind::DebugInfo,
        types::PackageKind::DebugSource,
        types::PackageKind::Source,
        types::PackageKind::Other("x".to_owned()),
    ]);
    (word(), proptest::option::of(any::<u32>()), word(), proptest::option::of(word()), arch(), kind).prop_map(
        |(name, epoch, version, release, arch, kind)| types::PackageId { name, epoch, version, release, arch, kind },
    )
}

/// A package of which every format can make a file name.
pub(super) fn tame_package(is_rpm: bool) -> BoxedStrategy<types::PackageId> {
    let (version, release, archs) = if is_rpm {
        ("[0-9][0-9a-z.]{0,8}", "[0-9][0-9a-z.]{0,8}", vec!["x86_64", "noarch", "aarch64"])
    } else {
        ("[0-9][0-9a-z.+~]{0,8}", "[0-9][0-9a-z.+~]{0,8}", vec!["amd64", "all", "arm64"])
    };
    ("[a-z][a-z0-9]{1,12}(-[a-z0-9]{1,3})?", version, release, select(archs))
        .prop_map(|(name, version, release, arch)| types::PackageId {
            name,
            epoch: None,
            version,
            release: Some(release),
            arch: arch.to_owned(),
            kind: types::PackageKind::Binary,
        })
        // The endings of debug packages: their kind is another.
        .prop_filter("a debug package", |id| !id.name.ends_with("-dbg") && !id.name.ends_with("-src"))
        .boxed()
}
