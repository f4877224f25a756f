//! Repositories: templates are expanded here for every release and architecture, so that no answer can break a rule.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::pairs,
    grammar::{self, Checked, problem},
    model::{self, Mirror, Release, Repository, Scope},
    schema::{self, Content, Format, Schema, Signature},
    select::Names,
    template::{self, expand, known_variables},
};

pub(crate) fn repositories(schema: &Schema, names: &Names, releases: &[Release]) -> Checked<Vec<Repository>> {
    let mut bases = BTreeMap::new();
    for (name, list) in &schema.mirrors {
        bases.insert(name.as_str(), mirrors(&format!("mirrors.{name}"), list, names)?);
    }
    let mut found = Vec::new();
    for (i, entry) in schema.repository.iter().enumerate() {
        let path = format!("repository[{i}]");
        let repository = repository(&path, entry, schema, names, releases, &bases)?;
        for (index, release) in (0_u16..).zip(releases) {
            for architecture in &release.architectures {
                if repository.scope.has(index, architecture) {
                    expansions(&path, &repository, index, release, architecture, &schema.basearch)?;
                }
            }
        }
        found.push(repository);
    }
    for (index, release) in (0_u16..).zip(releases) {
        for architecture in &release.architectures {
            coverage(&found, index, release, architecture)?;
        }
    }
    Ok(found)
}

fn mirrors(path: &str, list: &[schema::Mirror], names: &Names) -> Checked<Vec<Mirror>> {
    if list.is_empty() || list.len() > 256 {
        return problem(path, format!("{} mirrors: want 1 to 256", list.len()));
    }
    let convert = |(i, mirror): (usize, &schema::Mirror)| {
        let path = format!("{path}[{i}]");
        let scope = names.scope(&path, mirror.releases.as_ref(), mirror.architectures.as_ref())?;
        // The scheme is checked here for a path that points at it; the rest once the variables have values.
        let schemes = ["https://", "http://", "rsync://", "ftp://", "file://"];
        if !schemes.iter().any(|scheme| mirror.url.starts_with(scheme)) {
            let scheme = mirror.url.split_once(':').map_or("", |(scheme, _)| scheme);
            return problem(path, format!("scheme `{scheme}`: want https, http, rsync, ftp or file"));
        }
        Ok(Mirror { url: mirror.url.clone(), scope })
    };
    list.iter().enumerate().map(convert).collect()
}

fn repository(
    path: &str,
    entry: &schema::Repository,
    schema: &Schema,
    names: &Names,
    releases: &[Release],
    bases: &BTreeMap<&str, Vec<Mirror>>,
) -> Checked<Repository> {
    grammar::id(&format!("{path}.id"), &entry.id)?;
    if let Some(title) = &entry.title {
        known_variables(&format!("{path}.title"), title, &["VER", "CODENAME"])?;
    }
    grammar::annotations(&format!("{path}.config"), &entry.config)?;
    grammar::annotations("defaults.config", &schema.defaults.config)?;
    let mirrors = match (&entry.from, &entry.mirrors) {
        (Some(from), None) => match bases.get(from.as_str()) {
            Some(bases) => joined(bases, entry.path.as_deref().unwrap_or_default()),
            None => return problem(format!("{path}.from"), format!("no list {from:?} in [mirrors]")),
        },
        (None, Some(list)) if entry.path.is_none() => mirrors(&format!("{path}.mirrors"), list, names)?,
        (None, Some(_)) => return problem(format!("{path}.path"), "means nothing beside `mirrors`"),
        _ => return problem(path, "want either `from` (and `path`) or `mirrors`"),
    };
    let scope = names.scope(path, entry.releases.as_ref(), entry.architectures.as_ref())?;
    let signatures = entry.signatures.as_ref().or(schema.defaults.signatures.as_ref());
    let Some(signatures) = signatures else {
        return problem(format!("{path}.signatures"), "is missing, here and in [defaults]; [] if nothing is signed");
    };
    let keys = (0_u16..).zip(releases).zip(&schema.release).map(|((index, release), source)| {
        let selected = scope.releases.as_ref().is_none_or(|selected| selected.contains(&index));
        if selected { keys(path, entry, source, release, schema, signatures) } else { Ok(vec![]) }
    });
    Ok(Repository {
        id: entry.id.clone(),
        title: entry.title.clone(),
        content: entry.content,
        layout: layout(path, entry, schema.plugin.format)?,
        mirrors,
        signatures: signatures.clone(),
        keys: keys.collect::<Checked<_>>()?,
        config: pairs(if entry.config.is_empty() { &schema.defaults.config } else { &entry.config }),
        scope,
    })
}

fn joined(bases: &[Mirror], path: &str) -> Vec<Mirror> {
    let join = |base: &Mirror| {
        let url = match path.trim_start_matches('/') {
            "" => base.url.clone(),
            path => format!("{}/{path}", base.url.trim_end_matches('/')),
        };
        Mirror { url, scope: base.scope.clone() }
    };
    bases.iter().map(join).collect()
}

fn layout(path: &str, entry: &schema::Repository, format: Format) -> Checked<model::Layout> {
    let layout = entry.layout.unwrap_or(match format {
        Format::Rpm => schema::Layout::RpmMd,
        Format::Deb => schema::Layout::Deb,
    });
    if layout == schema::Layout::Deb {
        let Some(suite) = entry.suite.clone() else {
            return problem(format!("{path}.suite"), "is missing: layout `deb` wants one");
        };
        let components = entry.components.clone().unwrap_or_else(|| vec!["main".to_owned()]);
        if components.is_empty() || components.len() > 32 {
            return problem(format!("{path}.components"), format!("{} components: want 1 to 32", components.len()));
        }
        return Ok(model::Layout::Deb { suite, components });
    }
    if entry.suite.is_some() {
        return problem(format!("{path}.suite"), "means nothing without layout = \"deb\"");
    }
    if entry.components.is_some() {
        return problem(format!("{path}.components"), "means nothing without layout = \"deb\"");
    }
    Ok(if layout == schema::Layout::RpmMd { model::Layout::RpmMd } else { model::Layout::Directory })
}

/// The keys of a repository in one release, as indices into `[keys]`.
fn keys(
    path: &str,
    entry: &schema::Repository,
    source: &schema::Release,
    release: &Release,
    schema: &Schema,
    signatures: &[Signature],
) -> Checked<Vec<u16>> {
    let names = entry.keys.as_ref().or(source.keys.as_ref()).or(schema.defaults.keys.as_ref());
    let path = format!("{path}.keys");
    let mut found = Vec::new();
    for (i, template) in names.into_iter().flatten().enumerate() {
        let path = format!("{path}[{i}]");
        known_variables(&path, template, &["VER", "CODENAME"])?;
        let name = expand(template, |name| value(name, release, None, &schema.basearch))
            .or_else(|name| problem(&path, format!("${name} has no value for release {}", release.version)))?;
        match (0_u16..).zip(schema.keys.keys()).find(|(_, known)| **known == name) {
            Some((index, _)) if found.contains(&index) => return problem(path, format!("{name:?} stands there twice")),
            Some((index, _)) => found.push(index),
            None => return problem(path, format!("no key {name:?} in [keys] (for release {})", release.version)),
        }
    }
    if found.is_empty() && !signatures.is_empty() {
        let version = &release.version;
        return problem(path, format!("is empty for release {version}, but something must be signed"));
    }
    Ok(found)
}

/// The value of a variable; `$MINOR` has one for the test.
fn value<'a>(
    name: &str,
    release: &'a Release,
    architecture: Option<&'a str>,
    basearch: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    match name {
        "VER" => Some(&release.version),
        "CODENAME" => release.codename.as_deref(),
        "MINOR" => Some("1"),
        "ARCH" => architecture,
        "BASEARCH" => architecture.map(|name| basearch.get(name).map_or(name, String::as_str)),
        own => release.vars.iter().find(|(name, _)| name == own).map(|(_, value)| value.as_str()),
    }
}

/// Checks every text of a repository with the values of one release and architecture.
fn expansions(
    path: &str,
    repository: &Repository,
    index: u16,
    release: &Release,
    architecture: &str,
    basearch: &BTreeMap<String, String>,
) -> Checked {
    let expanded = |path: &str, text: &str| {
        template::variables(path, text)?;
        let place = format!("release {} on {architecture}", release.version);
        expand(text, |name| value(name, release, Some(architecture), basearch))
            .or_else(|name| problem(path, format!("${name} has no value for {place}: {text:?}")))
    };
    for (i, mirror) in repository.mirrors.iter().enumerate() {
        if mirror.scope.has(index, architecture) {
            let path = format!("{path}.mirrors[{i}]");
            grammar::url(&path, &expanded(&path, &mirror.url)?)?;
        }
    }
    if let model::Layout::Deb { suite, components } = &repository.layout {
        let path_of_suite = format!("{path}.suite");
        template::variables(&path_of_suite, suite)?;
        if suite.contains("$MINOR") || suite.contains("$ARCH") || suite.contains("$BASEARCH") {
            return problem(path_of_suite, "want $VER, $CODENAME and own variables only");
        }
        grammar::archive_path(&path_of_suite, &expanded(&path_of_suite, suite)?)?;
        for (i, component) in components.iter().enumerate() {
            grammar::archive_path(&format!("{path}.components[{i}]"), component)?;
        }
    }
    let title_path = format!("{path}.title");
    let title = match &repository.title {
        Some(title) => expanded(&title_path, title)?,
        None => format!("{}, {}", release.title, repository.id),
    };
    grammar::title(&title_path, &title)
}

/// Every release × architecture has packages and debug information, and no id twice.
fn coverage(repositories: &[Repository], index: u16, release: &Release, architecture: &str) -> Checked {
    let place = format!("release {} on {architecture}", release.version);
    let applies = |scope: &Scope| scope.has(index, architecture);
    let mut ids = BTreeSet::new();
    let mut contents = Vec::new();
    for (i, repository) in repositories.iter().enumerate().filter(|(_, repository)| applies(&repository.scope)) {
        let mut urls = repository.mirrors.iter().filter(|mirror| applies(&mirror.scope)).peekable();
        if urls.peek().is_none() {
            return problem(format!("repository[{i}].mirrors"), format!("no mirror for {place}"));
        }
        if urls.any(|mirror| !mirror.url.contains("$MINOR")) {
            contents.push(repository.content);
        }
        if !ids.insert(&repository.id) {
            return problem(format!("repository[{i}].id"), format!("{:?} occurs twice for {place}", repository.id));
        }
    }
    for (content, name) in [(Content::Packages, "packages"), (Content::DebugInfo, "debug-info")] {
        if !contents.contains(&content) {
            let path = format!("release[{index}]");
            return problem(path, format!("no repository with content = \"{name}\" for {place} (without a minor)"));
        }
    }
    Ok(())
}
