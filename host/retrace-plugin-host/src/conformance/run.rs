//! The order of a run: which check needs what, and what is skipped when that is missing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CATALOGUE, CONTRACT, CheckResult, ConformanceError, Fixtures, FunctionCost, Options, Report, SCHEMA, SUITE,
    Summary, Tested, Tester, WASMTIME, budget, catalogue, contract, corpus,
    fixture::{self, Case},
    golden, growth,
    hostile::Hostile,
    keys,
    material::Material,
    outcome::Outcome,
    properties::Properties,
    repro::Repro,
    section, static_checks,
    subject::{Checked, Subject, TimeIsOver},
    survey::{Known, Survey},
    together::{self, Neighbour},
};
use crate::{CompileError, EngineMode, Guest, Loader, PluginError};

/// Runs the suite on a component.
///
/// A component that is no plugin is a finding ([`Verdict::NotLoadable`](super::Verdict::NotLoadable)), not an error.
///
/// # Errors
/// The suite itself cannot be run: engine, files, fixtures, a plugin of `--with`.
pub fn run(component: &[u8], fixtures: &Fixtures, options: &Options) -> Result<Report, ConformanceError> {
    let over_at = Instant::now().checked_add(options.time_limit).unwrap_or_else(Instant::now);
    let cases = fixtures.dir.as_deref().map(fixture::read_dir).transpose()?.unwrap_or_default();
    let mut run = Run { options, repro: Repro::new(options)?, checks: Vec::new(), costs: Vec::new(), over_at };
    let mut plugin = Tested {
        sha256: crate::guest::digest(component).to_string(),
        size: u64::try_from(component.len()).unwrap_or(u64::MAX),
        ..Tested::default()
    };
    if run.group_a(component) {
        // A6 says it if the section is wrong.
        if let Ok(Some(section)) = section::read(component) {
            plugin.sdk = Some(section.sdk);
            plugin.id = Some(section.id);
            plugin.version = Some(section.version);
        }
        let workshop = Workshop::new(options)?;
        match workshop.guest(component, &options.file)? {
            Err((id, why)) => run.set(id, Outcome::fail(why)),
            Ok(guest) => {
                let subject = Subject { guest, over_at };
                let known = run.groups_b_to_g(component, &subject, fixtures, &cases, &workshop)?;
                if let Some(known) = known {
                    plugin.id = Some(known.id.to_string());
                    plugin.version = Some(known.version);
                }
            }
        }
    }
    let costs = std::mem::take(&mut run.costs);
    let checks = run.finish();
    Ok(Report {
        schema: SCHEMA.to_owned(),
        suite: SUITE.to_owned(),
        contract: CONTRACT.to_owned(),
        plugin,
        host: Tester { retrace: env!("CARGO_PKG_VERSION").to_owned(), wasmtime: WASMTIME.to_owned() },
        profile: options.profile,
        seed: options.seed,
        limits: options.limits.table().into_iter().map(|row| (row.name.to_owned(), row.value)).collect(),
        summary: Summary::of(&checks),
        costs,
        checks,
    })
}

/// Rewrites `expect` of the author's fixtures to what the component answers; returns the files that changed.
///
/// # Errors
/// The component cannot be loaded, or a file cannot be read or written.
pub fn bless(component: &[u8], fixtures: &Path, options: &Options) -> Result<Vec<PathBuf>, ConformanceError> {
    let not_loadable = |why: String| ConformanceError::NotLoadable { why };
    let workshop = Workshop::new(options)?;
    if let Some(why) = static_checks::check(component, &options.limits).first_failure() {
        return Err(not_loadable(why));
    }
    let guest = workshop.guest(component, &options.file)?.map_err(|(_, why)| not_loadable(why))?;
    let over_at = Instant::now().checked_add(options.time_limit).unwrap_or_else(Instant::now);
    let subject = Subject { guest, over_at };
    let mut changed = Vec::new();
    for path in fixture::files(fixtures)? {
        let text = fixture::text(&path)?;
        let cases = fixture::read(&path, &text)?;
        let answers = golden::changed(&subject, &cases);
        if !answers.is_empty() {
            fixture::replace(&path, &fixture::blessed(&path, &text, &answers)?)?;
            changed.push(path);
        }
    }
    Ok(changed)
}

/// Where components are compiled.
pub(super) struct Workshop {
    loader: Loader,
    /// The cache folder, if nothing is to be kept.
    _dir: Option<tempfile::TempDir>,
}

impl Workshop {
    pub(super) fn new(options: &Options) -> Result<Self, ConformanceError> {
        let failed = |error: PluginError| ConformanceError::Engine(Box::new(error));
        let temporary = || {
            let dir = tempfile::tempdir();
            dir.map_err(|source| ConformanceError::Io { path: std::env::temp_dir(), source })
        };
        let (dir, path) = match &options.cache_dir {
            Some(path) => (None, path.clone()),
            None => {
                let dir = temporary()?;
                let path = dir.path().join("cache");
                (Some(dir), path)
            }
        };
        let loader = Loader::new(EngineMode::Measured, &options.limits, &path, options.compiler.clone());
        Ok(Self { loader: loader.map_err(failed)?, _dir: dir })
    }

    /// What group A found harmless, compiled and linked; or the check that fails by that, and why.
    pub(super) fn guest(
        &self,
        component: &[u8],
        path: &Path,
    ) -> Result<Result<Arc<Guest>, (&'static str, String)>, ConformanceError> {
        match self.loader.guest(component, path) {
            Ok(guest) => Ok(Ok(guest)),
            Err(PluginError::NotAPlugin { source, .. }) => Ok(Err(("A1", source.to_string()))),
            Err(PluginError::Failure(failure)) => Ok(Err(("A3", failure.kind.to_string()))),
            Err(PluginError::Compile { source: CompileError::Refused(why), .. }) => Ok(Err(("A1", why))),
            Err(PluginError::Compile { source, .. })
                if matches!(source, CompileError::TooLong { .. } | CompileError::TooMuchMemory { .. }) =>
            {
                Ok(Err(("A4", source.to_string())))
            }
            Err(error) => Err(ConformanceError::Engine(Box::new(error))),
        }
    }
}

struct Run<'a> {
    options: &'a Options,
    repro: Repro,
    checks: Vec<CheckResult>,
    costs: Vec<FunctionCost>,
    over_at: Instant,
}

impl Run<'_> {
    /// Whether a host would go on to load the component.
    fn group_a(&mut self, component: &[u8]) -> bool {
        let started = Instant::now();
        let found = static_checks::check(component, &self.options.limits);
        let loadable = found.first_failure().is_none();
        let duration = started.elapsed();
        for (id, outcome) in found.into_outcomes() {
            self.add(id, outcome, duration);
        }
        loadable
    }

    fn groups_b_to_g(
        &mut self,
        component: &[u8],
        subject: &Subject,
        fixtures: &Fixtures,
        cases: &[Case],
        workshop: &Workshop,
    ) -> Result<Option<Known>, ConformanceError> {
        let corpus = corpus::corpus()?;
        let Ok(mut survey) = Survey::new(subject) else {
            self.set("B7", self.out_of_time());
            return Ok(None);
        };
        self.check("B1", || Ok(contract::b1(subject, &survey)));
        let Some(known) = survey.known.take() else {
            // The name of a plugin is B17's, everything else of describe B1's.
            self.check("B17", || contract::b17(subject, &survey, None, &Material::default()));
            return Ok(None);
        };
        let material = Material::new(&corpus, cases, &known);
        self.set("A6", section::a6(component, &known));

        for id in ["B2", "B3", "B4", "B5", "B6"] {
            self.check(id, || contract::releases(subject, &survey, &known, id));
        }
        self.check("B7", || contract::b7(subject, &survey));
        for id in ["B8", "B10", "B12"] {
            self.check(id, || contract::each_repository(subject, &survey, &known, id));
        }
        self.check("B9", || contract::b9(subject, &survey));
        self.check("B11", || keys::b11(&survey, fixtures));
        self.check("B13", || contract::b13(subject, &survey, &known));
        self.check("B14", || contract::b14(subject, &known));
        self.check("B15", || contract::b15(subject, &known));
        self.check("B16", || contract::b16(subject, &known));
        self.check("B17", || contract::b17(subject, &survey, Some(&known), &material));
        self.check("B18", || contract::b18(subject, &known, &material));
        self.check("B19", || contract::b19(subject, &known, &material));
        self.check("B20", || contract::b20(subject, &known, &material));
        self.check("B21", || contract::b21(subject, &known));

        self.check("C1", || golden::c1(subject, cases));
        self.check("C2", || golden::c2(subject, &corpus, &known));
        self.check("C3", || golden::c3(subject, &corpus, &known));

        let properties =
            Properties { subject, known: &known, material: &material, corpus: &corpus, options: self.options };
        self.check("D1", || properties.d1());
        self.check("D2", || properties.d2());
        self.check("D3", || properties.d3());
        self.check("D4", || properties.d4());
        self.check("D5", || growth::d5(subject, &known, properties.options));
        self.check("D6", || properties.d6());
        self.check("D7", || properties.d7());

        let started = Instant::now();
        let hostile = Hostile::new(subject, &known);
        for id in ["E1", "E2", "E3", "E4", "E5", "E6"] {
            let outcome = hostile.as_ref().map_or_else(|TimeIsOver| self.out_of_time(), |hostile| hostile.outcome(id));
            self.add(id, outcome, started.elapsed());
        }

        let started = Instant::now();
        let costs = budget::Costs::measure(subject, &survey, &material, self.options.fuel_budget_percent);
        let measure = started.elapsed();
        self.costs = costs.as_ref().map(budget::Costs::table).unwrap_or_default();
        for (id, compare) in [
            ("F1", budget::Costs::f1 as fn(&budget::Costs) -> Outcome),
            ("F2", budget::Costs::f2),
            ("F4", budget::Costs::f4),
        ] {
            let outcome = costs.as_ref().map_or_else(|TimeIsOver| self.out_of_time(), compare);
            self.add(id, outcome, measure);
        }
        self.set("F3", budget::f3(u64::try_from(component.len()).unwrap_or(u64::MAX)));

        let mut neighbours = Vec::new();
        for companion in &self.options.companions {
            neighbours.push(Neighbour::load(companion, workshop, self.over_at)?);
        }
        self.check("G1", || together::g1(subject, &neighbours, &corpus, &material));
        let ids: Vec<String> = known.aliases.iter().chain([&known.id]).map(ToString::to_string).collect();
        self.check("G2", || together::g2(&ids, &neighbours));
        Ok(Some(known))
    }

    fn check(&mut self, id: &str, check: impl FnOnce() -> Checked) {
        let started = Instant::now();
        let outcome = check().unwrap_or_else(|TimeIsOver| self.out_of_time());
        self.add(id, outcome, started.elapsed());
    }

    fn out_of_time(&self) -> Outcome {
        Outcome::fail(format!(
            "the time of the run, {} s, was over before this check: the plugin is slow, or the machine busy",
            self.options.time_limit.as_secs()
        ))
    }

    /// In the place of an outcome that is there already.
    fn set(&mut self, id: &str, outcome: Outcome) {
        self.checks.retain(|check| check.id != id);
        self.add(id, outcome, Duration::ZERO);
    }

    fn add(&mut self, id: &str, outcome: Outcome, duration: Duration) {
        if let Some(check) = catalogue::find(id) {
            self.checks.push(outcome.into_result(check, duration, &self.repro));
        }
    }

    /// In the order of the catalogue, with what was not reached.
    fn finish(mut self) -> Vec<CheckResult> {
        let first = self.checks.iter().find(|check| check.status == super::Status::Fail).map(|check| check.id.clone());
        let why = first.map_or_else(|| "not reached".to_owned(), |id| format!("not reached: {id} failed"));
        for check in CATALOGUE {
            if !self.checks.iter().any(|result| result.id == check.id) {
                self.add(check.id, Outcome::skip(why.clone()), Duration::ZERO);
            }
        }
        let place = |id: &str| CATALOGUE.iter().position(|check| check.id == id);
        self.checks.sort_by_key(|check| place(&check.id));
        self.checks
    }
}
