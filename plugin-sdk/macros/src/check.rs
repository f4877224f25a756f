//! From the form of a file to a model that keeps every rule. The first rule that is broken is the answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check_guess, check_repository,
    grammar::{self, Checked, problem},
    model::{self, Model, Pairs, Then},
    schema::{self, Format, Schema, Table},
    select::Names,
    template::{self, known_variables},
};

/// Most releases, repositories, rules, … of one kind.
const MAX_ENTRIES: usize = 512;

/// Checks a whole file.
pub(crate) fn check(schema: Schema) -> Checked<Model> {
    plugin(&schema.plugin)?;
    for (path, count) in [
        ("release", schema.release.len()),
        ("repository", schema.repository.len()),
        ("guess", schema.guess.len()),
        ("keys", schema.keys.len()),
        ("kernel", schema.kernel.len()),
        ("os_release.rule", schema.os_release.rule.len()),
        ("release_line.rule", schema.release_line.rule.len()),
    ] {
        if count > MAX_ENTRIES {
            return problem(path, format!("{count} entries, more than {MAX_ENTRIES}"));
        }
    }
    if schema.release.is_empty() {
        return problem("release", "is missing: want at least one [[release]]");
    }
    let names = names(&schema)?;
    let releases = releases(&schema, &names)?;
    basearch(&schema.basearch)?;
    let repositories = check_repository::repositories(&schema, &names, &releases)?;
    let mut line_names = schema.release_line.names.clone();
    for (i, name) in line_names.iter().enumerate() {
        grammar::title(&format!("release_line.names[{i}]"), name)?;
    }
    line_names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let line_keys = Some(["line", "name", "version", "codename"].as_slice());
    for file in schema.files.keys() {
        grammar::title(&format!("files.{file}"), file)?;
        if file.contains('/') {
            return problem(format!("files.{file:?}"), "want the last part of the path only");
        }
    }
    for (list, path) in [
        (&schema.os_release.version_keys, "version_keys"),
        (&schema.os_release.codename_keys, "codename_keys"),
        (&schema.os_release.full_version_keys, "full_version_keys"),
    ] {
        for (i, key) in list.iter().enumerate() {
            os_release_key(&format!("os_release.{path}[{i}]"), key)?;
        }
    }
    Ok(Model {
        annotations: pairs(&schema.plugin.annotations),
        basearch: pairs(&schema.basearch),
        os_release_rules: rules("os_release.rule", &schema.os_release.rule, &names, None)?,
        line_rules: rules("release_line.rule", &schema.release_line.rule, &names, line_keys)?,
        guesses: check_guess::guesses(&schema, &names, &releases)?,
        debuggers: debuggers(&schema, &names)?,
        debug_packages: debug_packages(&schema.debug_package)?,
        kernels: kernels(&schema, &names)?,
        advice: advice(&schema, &names)?,
        keys: keys(&schema)?,
        id: schema.plugin.id,
        aliases: schema.plugin.aliases,
        name: schema.plugin.name,
        format: schema.plugin.format,
        version_keys: schema.os_release.version_keys,
        codename_keys: schema.os_release.codename_keys,
        full_version_keys: schema.os_release.full_version_keys,
        files: schema.files.into_iter().collect(),
        line_names,
        releases,
        repositories,
    })
}

fn plugin(plugin: &schema::Plugin) -> Checked {
    grammar::id("plugin.id", &plugin.id)?;
    grammar::title("plugin.name", &plugin.name)?;
    grammar::annotations("plugin.annotations", &plugin.annotations)?;
    if plugin.aliases.len() > 64 {
        return problem("plugin.aliases", format!("{} aliases, more than 64", plugin.aliases.len()));
    }
    let mut seen = BTreeSet::from([plugin.id.as_str()]);
    for (i, alias) in plugin.aliases.iter().enumerate() {
        let path = format!("plugin.aliases[{i}]");
        grammar::id(&path, alias)?;
        if !seen.insert(alias) {
            return problem(path, format!("{alias:?} occurs twice"));
        }
    }
    Ok(())
}

fn names(schema: &Schema) -> Checked<Names> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut releases = Vec::new();
    for (i, release) in schema.release.iter().enumerate() {
        grammar::version(&format!("release[{i}].version"), &release.version)?;
        if release.version.contains("..") {
            return problem(format!("release[{i}].version"), "holds `..`, which separates the ends of a range");
        }
        let distro = release.distro.as_deref().unwrap_or(&schema.plugin.id);
        if distro != schema.plugin.id && !schema.plugin.aliases.iter().any(|alias| alias == distro) {
            return problem(format!("release[{i}].distro"), format!("{distro:?} is neither plugin.id nor an alias"));
        }
        if let Some(first) = seen.insert((distro, &release.version), i) {
            let version = &release.version;
            return problem(format!("release[{i}].version"), format!("{version:?} is release[{first}] already"));
        }
        releases.push((distro.to_owned(), release.version.clone()));
    }
    Ok(Names { releases, groups: schema.architectures.clone() })
}

fn releases(schema: &Schema, names: &Names) -> Checked<Vec<model::Release>> {
    for (group, members) in &schema.architectures {
        names.architectures(&format!("architectures.{group}"), members)?;
    }
    let convert =
        |(i, release): (usize, &schema::Release)| release_entry(&format!("release[{i}]"), release, schema, names);
    schema.release.iter().enumerate().map(convert).collect()
}

fn release_entry(path: &str, release: &schema::Release, schema: &Schema, names: &Names) -> Checked<model::Release> {
    if let Some(codename) = &release.codename {
        grammar::version(&format!("{path}.codename"), codename)?;
    }
    if let Some(date) = &release.end_of_life {
        grammar::date(&format!("{path}.end_of_life"), date)?;
    }
    grammar::annotations(&format!("{path}.annotations"), &release.annotations)?;
    for (name, value) in &release.vars {
        let path = format!("{path}.vars.{name}");
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase()) {
            return problem(path, "want a name of capital letters");
        }
        if ["VER", "MINOR", "CODENAME", "ARCH", "BASEARCH", "UNAME", "NAME"].contains(&name.as_str()) {
            return problem(path, "this variable has a meaning already");
        }
        if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~+/-".contains(&b)) || value.len() > 256 {
            return problem(path, format!("{value:?}: want [A-Za-z0-9._~+/-]*, at most 256 bytes"));
        }
    }
    let architectures = release.architectures.as_ref().or(schema.defaults.architectures.as_ref());
    let Some(architectures) = architectures else {
        return problem(format!("{path}.architectures"), "is missing, here and in [defaults]");
    };
    let template = release.title.as_ref().or(schema.defaults.title.as_ref());
    let default = || match release.codename {
        Some(_) => format!("{} $VER ($CODENAME)", schema.plugin.name),
        None => format!("{} $VER", schema.plugin.name),
    };
    let template = template.cloned().unwrap_or_else(default);
    let title_path = format!("{path}.title");
    known_variables(&title_path, &template, &["VER", "CODENAME"])?;
    let title = template::expand(&template, |name| match name {
        "VER" => Some(&release.version),
        _ => release.codename.as_deref(),
    })
    .or_else(|name| problem(&title_path, format!("${name} has no value for this release")))?;
    grammar::title(&title_path, &title)?;
    Ok(model::Release {
        distro: release.distro.clone().unwrap_or_else(|| schema.plugin.id.clone()),
        version: release.version.clone(),
        codename: release.codename.clone(),
        rolling: release.rolling,
        minors: release.minors.unwrap_or(schema.defaults.minors),
        title,
        architectures: names.architectures(&format!("{path}.architectures"), architectures)?,
        end_of_life: release.end_of_life.clone(),
        vars: pairs(&release.vars),
        annotations: pairs(&release.annotations),
    })
}

fn basearch(table: &Table) -> Checked {
    for (arch, folder) in table {
        grammar::architecture(&format!("basearch.{arch}"), arch)?;
        grammar::architecture(&format!("basearch.{arch}"), folder)?;
    }
    Ok(())
}

fn os_release_key(path: &str, key: &str) -> Checked {
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
        return Ok(());
    }
    problem(path, format!("{key:?} is no name in os-release: want capital letters, digits and `_`"))
}

/// Rules of os-release or, with `keys`, of lines.
fn rules(path: &str, rules: &[schema::Rule], names: &Names, keys: Option<&[&str]>) -> Checked<Vec<model::Rule>> {
    let convert = |(i, rule): (usize, &schema::Rule)| {
        let path = format!("{path}[{i}]");
        if rule.when.is_empty() {
            return problem(format!("{path}.when"), "is empty: the rule would always apply");
        }
        for (key, pattern) in &rule.when {
            let path = format!("{path}.when.{key}");
            match keys {
                None => os_release_key(&path, key)?,
                Some(known) if !known.contains(&key.as_str()) => {
                    return problem(path, format!("known are {}", known.join(", ")));
                }
                Some(_) => {}
            }
            template::pattern(&path, pattern)?;
        }
        let then = match (&rule.release, rule.ours) {
            (Some(release), None) => then(&format!("{path}.release"), release, names)?,
            (None, Some(false)) => Then::NotOurs,
            _ => return problem(path, "want either release = \"…\" or ours = false"),
        };
        Ok(model::Rule { when: pairs(&rule.when), then })
    };
    rules.iter().enumerate().map(convert).collect()
}

fn then(path: &str, release: &str, names: &Names) -> Checked<Then> {
    if !release.contains('$') {
        return names.release(path, release).map(Then::Release);
    }
    known_variables(path, release, &["VER"])?;
    let (distro, version) = match release.split_once(':') {
        Some((distro, version)) => (Some(distro), version),
        None => (None, release),
    };
    let (before, behind) = match version.split_once("$VER") {
        Some((before, behind)) if !behind.contains('$') => (before, behind),
        _ => return problem(path, format!("{release:?}: want $VER once, in the version")),
    };
    let fits = |(id, version): &&(String, String)| {
        distro.is_none_or(|distro| distro == id)
            && version
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(behind))
                .is_some_and(|ver| !ver.is_empty())
    };
    if !names.releases.iter().any(|entry| fits(&entry)) {
        return problem(path, format!("no release of the file has the form {release:?}"));
    }
    Ok(Then::Template { distro: distro.map(str::to_owned), version: version.to_owned() })
}

fn keys(schema: &Schema) -> Checked<Vec<model::Key>> {
    let plugin = &schema.plugin;
    let owners: Vec<&str> = std::iter::once(&plugin.id).chain(&plugin.aliases).map(String::as_str).collect();
    let convert = |(name, key): (&String, &schema::Key)| {
        grammar::key_path(&format!("keys.{name}.path"), &key.path, &owners)?;
        if let Some(fingerprint) = &key.fingerprint {
            grammar::fingerprint(&format!("keys.{name}.fingerprint"), fingerprint)?;
        }
        Ok(model::Key { path: key.path.clone(), fingerprint: key.fingerprint.clone() })
    };
    schema.keys.iter().map(convert).collect()
}

fn debuggers(schema: &Schema, names: &Names) -> Checked<Vec<model::Debugger>> {
    let convert = |(i, entry): (usize, &schema::Debugger)| {
        let path = format!("debugger[{i}]");
        packages(&format!("{path}.packages"), &entry.packages, &[])?;
        grammar::absolute(&format!("{path}.path"), &entry.path)?;
        Ok(model::Debugger {
            scope: names.scope(&path, entry.releases.as_ref(), entry.architectures.as_ref())?,
            packages: entry.packages.clone(),
            path: entry.path.clone(),
            environment: entry.environment,
        })
    };
    schema.debugger.iter().enumerate().map(convert).collect()
}

fn debug_packages(entries: &[schema::DebugPackage]) -> Checked<Vec<model::DebugPackage>> {
    let convert = |(i, entry): (usize, &schema::DebugPackage)| {
        patterns(&format!("debug_package[{i}].names"), &entry.names)?;
        packages(&format!("debug_package[{i}].packages"), &entry.packages, &["NAME"])?;
        Ok(model::DebugPackage { names: entry.names.clone(), packages: entry.packages.clone() })
    };
    entries.iter().enumerate().map(convert).collect()
}

fn kernels(schema: &Schema, names: &Names) -> Checked<Vec<model::Kernel>> {
    let convert = |(i, entry): (usize, &schema::Kernel)| {
        let path = format!("kernel[{i}]");
        patterns(&format!("{path}.uname"), std::slice::from_ref(&entry.uname))?;
        known_variables(&format!("{path}.uname"), &entry.uname, &["ARCH"])?;
        packages(&format!("{path}.packages"), &entry.packages, &["UNAME", "ARCH"])?;
        if schema.plugin.format == Format::Deb && !entry.packages.iter().any(|name| name.contains("$UNAME")) {
            return problem(format!("{path}.packages"), "want $UNAME in a name: nothing else tells the version");
        }
        known_variables(&format!("{path}.vmlinux"), &entry.vmlinux, &["UNAME", "ARCH"])?;
        grammar::absolute(&format!("{path}.vmlinux"), &entry.vmlinux)?;
        Ok(model::Kernel {
            uname: entry.uname.clone(),
            scope: names.scope(&path, None, entry.architectures.as_ref())?,
            packages: entry.packages.clone(),
            vmlinux: entry.vmlinux.clone(),
        })
    };
    schema.kernel.iter().enumerate().map(convert).collect()
}

fn advice(schema: &Schema, names: &Names) -> Checked<Vec<model::Advice>> {
    let convert = |(i, entry): (usize, &schema::Advice)| {
        let path = format!("environment_advice[{i}]");
        if let Some(wanted) = &entry.wanted {
            patterns(&format!("{path}.wanted"), wanted)?;
        }
        packages(&format!("{path}.packages"), &entry.packages, &[])?;
        Ok(model::Advice {
            scope: names.scope(&path, entry.releases.as_ref(), entry.architectures.as_ref())?,
            wanted: entry.wanted.clone().unwrap_or_default(),
            packages: entry.packages.clone(),
        })
    };
    schema.environment_advice.iter().enumerate().map(convert).collect()
}

fn patterns(path: &str, patterns: &[String]) -> Checked {
    if patterns.is_empty() {
        return problem(path, "is empty");
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let path = format!("{path}[{i}]");
        grammar::title(&path, pattern)?;
        template::pattern(&path, pattern)?;
    }
    Ok(())
}

fn packages(path: &str, packages: &[String], variables: &[&str]) -> Checked {
    if packages.is_empty() || packages.len() > 256 {
        return problem(path, format!("{} names: want 1 to 256", packages.len()));
    }
    for (i, name) in packages.iter().enumerate() {
        let path = format!("{path}[{i}]");
        grammar::package(&path, name)?;
        known_variables(&path, name, variables)?;
    }
    Ok(())
}

pub(crate) fn pairs(table: &Table) -> Pairs {
    table.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
