//! `retrace mirror sync`.

mod ahead;
mod all;
mod report;

use std::process::ExitCode;

use anyhow::{Result, bail};
use retrace_mirror::{AheadReport, Mirror, Outcome, Policy, Rule, SyncReport, expand_mirror, with_named_mirrors};
use retrace_store::Scope;
use retrace_types::{Architecture, Release, RepositorySpec};

use super::NOTHING;
use crate::{
    FAILED,
    args::{Format, SyncArgs},
    commands,
    config::Config,
    progress::TerminalProgress,
    wiring,
};
use ahead::AheadDocument;
use report::{OffDocument, SyncDocument};

/// Exit code: the index is up to date, but packages that a policy wants could not be had.
const INCOMPLETE: u8 = 3;

pub(super) async fn run(config: &Config, args: &SyncArgs) -> Result<ExitCode> {
    let plugins = wiring::plugins(config)?;
    let mut with_keys = config.clone();
    with_keys.mirror.operator_keys.extend(args.keys.iter().cloned());
    let store = wiring::store(config).await?;
    let mirror = wiring::mirror(&with_keys, store.clone())?;
    let (Some(distribution), Some(version), Some(architecture)) =
        (&args.distribution, &args.version, args.architecture)
    else {
        return all::run(config, args, &plugins, &mirror, &store).await;
    };
    let release = plugins.release_by_version(distribution, version.as_str())?;
    let specs = plugins.repositories(&release, architecture)?;
    let expand = |mirror: &String| expand_mirror(mirror, &release, architecture);
    let mirrors: Vec<_> = args.mirrors.iter().map(expand).collect::<Result<_, _>>()?;
    let wish = Wish { rules: &config.repository, release: &release, architecture };
    let off = if mirrors.is_empty() { wish.off(&specs) } else { Vec::new() };
    let specs = wish.with_mirrors(specs, &mirrors)?;
    let scope = Scope { release: release.id.clone(), architecture };
    let progress = TerminalProgress::new();
    let synced = sync_release(args.dry_run, &mirror, &release, &scope, &specs, off, &progress).await?;
    drop(progress);
    let code = synced.code();
    match args.format {
        Format::Json => commands::print_json(&SyncDocument::from(synced))?,
        Format::Text => commands::print(&synced.text())?,
    }
    Ok(ExitCode::from(code))
}

/// What became of one release and architecture.
struct Synced {
    report: SyncReport,
    off: Vec<OffDocument>,
    packages: AheadDocument,
}

/// Reads the metadata of these repositories, then fetches what the rules want.
async fn sync_release(
    dry_run: bool,
    mirror: &Mirror,
    release: &Release,
    scope: &Scope,
    specs: &[RepositorySpec],
    off: Vec<OffDocument>,
    progress: &TerminalProgress,
) -> Result<Synced> {
    let report = mirror.sync(release, scope.architecture, specs, progress).await?;
    let ahead = mirror.plan_ahead(scope).await?;
    let fetched = if dry_run { AheadReport::default() } else { mirror.fetch_ahead(&ahead, progress).await? };
    Ok(Synced { report, off, packages: AheadDocument::new(dry_run, &ahead, &fetched) })
}

impl Synced {
    fn text(&self) -> String {
        report::sync_text(SyncDocument::from(&self.report)) + &report::off_text(&self.off) + &self.packages.text()
    }

    fn code(&self) -> u8 {
        let mut repositories = self.report.repositories.iter();
        match repositories.any(|repository| matches!(repository.outcome, Outcome::Failed(_))) {
            true => FAILED,
            false if self.packages.is_incomplete() => INCOMPLETE,
            false => 0,
        }
    }
}

/// What the operator wants of the repositories of a release.
#[derive(Clone, Copy)]
struct Wish<'a> {
    rules: &'a [Rule],
    release: &'a Release,
    architecture: Architecture,
}

impl Wish<'_> {
    fn policy(&self, spec: &RepositorySpec) -> Policy {
        Policy::of(self.rules, &self.release.id, self.architecture, spec)
    }

    fn applied(&self, spec: RepositorySpec) -> Result<RepositorySpec> {
        Ok(self.policy(&spec).applied_to(spec, self.release, self.architecture)?)
    }

    /// The repositories that are not read, and why.
    fn off(&self, specs: &[RepositorySpec]) -> Vec<OffDocument> {
        let why = |spec: &RepositorySpec| {
            let Policy { enabled, off_by_default, .. } = self.policy(spec);
            let why = off_by_default.unwrap_or("a rule of the configuration says so");
            (!enabled).then(|| OffDocument { id: spec.id.clone(), by_default: off_by_default.is_some(), why })
        };
        specs.iter().filter_map(why).collect()
    }

    /// These of the repositories, best first, with what the operator says of each.
    fn chosen(&self, specs: Vec<RepositorySpec>, wanted: impl Fn(&Policy) -> bool) -> Result<Vec<RepositorySpec>> {
        let specs = specs.into_iter().map(|spec| (self.policy(&spec), spec));
        let mut specs: Vec<_> = specs.filter(|(policy, _)| wanted(policy)).collect();
        specs.sort_by_key(|(policy, _)| policy.priority);
        specs.into_iter().map(|(_, spec)| self.applied(spec)).collect()
    }

    /// The repositories that the mirrors name, with those mirrors, whether they are on or not; where no mirror is named,
    /// all that are on.
    fn with_mirrors(&self, specs: Vec<RepositorySpec>, mirrors: &[String]) -> Result<Vec<RepositorySpec>> {
        if mirrors.is_empty() {
            return self.chosen(specs, |policy| policy.enabled);
        }
        let specs = specs.into_iter().map(|spec| self.applied(spec)).collect::<Result<Vec<_>>>()?;
        let mut named: Vec<RepositorySpec> = Vec::new();
        for argument in mirrors {
            let (id, url) = split_mirror(argument);
            let spec = match id {
                Some(id) => specs.iter().find(|spec| spec.id == id),
                None => specs.first(),
            };
            let Some(spec) = spec else {
                let ids: Vec<_> = specs.iter().map(|spec| spec.id.as_str()).collect();
                bail!("--mirror {argument}: the release has no such repository; it has {}", ids.join(", "));
            };
            match named.iter_mut().find(|known| known.id == spec.id) {
                Some(known) => known.mirrors.push(url.to_owned()),
                None => named.push(with_named_mirrors(spec, vec![url.to_owned()])),
            }
        }
        Ok(named)
    }
}

/// `id=url`; a text whose part before the first `=` looks like a URL or a path is all URL.
fn split_mirror(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once('=') {
        Some((id, url)) if !id.contains(['/', ':', '.']) => (Some(id), url),
        _ => (None, argument),
    }
}

#[cfg(test)]
mod tests {
    use retrace_mirror::{Signatures, has_named_mirrors};
    use retrace_types::{RepositoryContent, RepositoryLayout, SignaturePolicy};

    use super::*;

    fn spec(id: &str) -> RepositorySpec {
        RepositorySpec {
            id: id.into(),
            title: id.into(),
            layout: RepositoryLayout::RpmMd,
            content: RepositoryContent::Packages,
            mirrors: vec!["https://upstream.example/".into()],
            signatures: SignaturePolicy { metadata: true, packages: true },
            keys: Vec::new(),
            config: Vec::new(),
        }
    }

    fn with_mirrors(rules: &[Rule], specs: Vec<RepositorySpec>, mirrors: &[&str]) -> Result<Vec<RepositorySpec>> {
        let mirrors: Vec<_> = mirrors.iter().map(|mirror| (*mirror).to_owned()).collect();
        wish(rules, &release()).with_mirrors(specs, &mirrors)
    }

    fn wish<'a>(rules: &'a [Rule], release: &'a Release) -> Wish<'a> {
        Wish { rules, release, architecture: Architecture::X86_64 }
    }

    fn release() -> Release {
        Release { id: "fedora-40".parse().unwrap(), minor: None, codename: None, rolling: false }
    }

    #[test]
    fn rules_switch_repositories_and_order_them() {
        let specs = || vec![spec("releases"), spec("updates"), spec("updates-testing")];
        let rule = |pattern: &str, rule: Rule| Rule { repository: Some(pattern.parse().unwrap()), ..rule };
        let rules = [
            rule("updates*", Rule { priority: Some(10), signatures: Some(Signatures::None), ..Rule::default() }),
            rule("releases", Rule { enabled: Some(false), ..Rule::default() }),
        ];
        let chosen = with_mirrors(&rules, specs(), &[]).unwrap();
        let [updates] = chosen.as_slice() else { panic!("{chosen:?}") };
        assert_eq!((updates.id.as_str(), updates.signatures), ("updates", SignaturePolicy::OFF));
        let off: Vec<_> =
            wish(&rules, &release()).off(&specs()).into_iter().map(|off| (off.id, off.by_default)).collect();
        assert_eq!(off, [("releases".to_owned(), false), ("updates-testing".to_owned(), true)]);

        let on = [
            rule("updates*", Rule { priority: Some(10), ..Rule::default() }),
            rule("*-testing", Rule { enabled: Some(true), priority: Some(5), ..Rule::default() }),
        ];
        let ids: Vec<_> = with_mirrors(&on, specs(), &[]).unwrap().into_iter().map(|spec| spec.id).collect();
        assert_eq!(ids, ["updates-testing", "updates", "releases"]);
    }

    #[test]
    fn mirrors_choose_repositories() {
        let source = RepositorySpec { content: RepositoryContent::Sources, ..spec("source") };
        let specs = || vec![spec("releases"), spec("updates"), spec("debug"), source.clone()];
        let chosen = |mirrors: &[&str]| {
            with_mirrors(&[], specs(), mirrors)
                .map(|specs| specs.into_iter().map(|spec| (spec.id, spec.mirrors.join(" "))).collect::<Vec<_>>())
        };
        let pair = |id: &str, url: &str| (id.to_owned(), url.to_owned());
        assert_eq!(chosen(&[]).unwrap().len(), 3, "no source packages unless asked for");
        assert_eq!(chosen(&["source=http://h/"]).unwrap(), [pair("source", "http://h/")]);
        assert_eq!(chosen(&["http://h/x?a=b"]).unwrap(), [pair("releases", "http://h/x?a=b")]);
        assert_eq!(chosen(&["/srv/a=b"]).unwrap(), [pair("releases", "/srv/a=b")]);
        assert_eq!(
            chosen(&["debug=/srv/d", "updates=http://h/", "debug=/srv/e"]).unwrap(),
            [pair("debug", "/srv/d /srv/e"), pair("updates", "http://h/")]
        );
        let error = chosen(&["testing=http://h/"]).unwrap_err().to_string();
        assert!(error.contains("releases, updates, debug"), "{error}");
    }

    #[test]
    fn mirrors_of_the_operators_own_stand_alone() {
        let mut named = spec("releases");
        named.config =
            vec![("archive-koji".into(), "https://builds.example/".into()), ("mirror-list".into(), "list".into())];
        let upstream = with_mirrors(&[], vec![named.clone()], &[]).unwrap();
        assert_eq!(upstream[0].config, named.config);
        let own = with_mirrors(&[], vec![named.clone()], &["/srv/copy"]).unwrap();
        assert!(has_named_mirrors(&own[0]), "{:?}", own[0].config);
        assert_eq!(own[0].config.first(), Some(&("mirror-list".to_owned(), "list".to_owned())));
        assert_eq!(with_mirrors(&[], own.clone(), &["/srv/copy"]).unwrap(), own);
    }

    #[test]
    fn a_rule_names_mirrors_that_stand_alone_unless_the_command_names_others() {
        let mut named = spec("releases");
        named.config = vec![("archive-koji".into(), "https://builds.example/".into())];
        let mirrors = Some(vec!["https://m.example/$VER/$ARCH".to_owned(), "/srv/copy".to_owned()]);
        let rules = [Rule { mirrors, ..Rule::default() }];
        let ruled = with_mirrors(&rules, vec![named.clone()], &[]).unwrap().remove(0);
        assert_eq!(ruled.mirrors, ["https://m.example/40/x86_64", "/srv/copy"]);
        assert_eq!(ruled.config, []);
        let other = with_mirrors(&rules, vec![named.clone()], &["/srv/other"]).unwrap().remove(0);
        assert_eq!(other.mirrors, ["/srv/other"]);
        let wrong = [Rule { mirrors: Some(vec!["https://m.example/$CODENAME".to_owned()]), ..Rule::default() }];
        let error = with_mirrors(&wrong, vec![named], &[]).unwrap_err().to_string();
        assert!(error.contains("CODENAME"), "{error}");
    }
}
