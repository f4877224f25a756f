//! Selections of releases and architectures.

use std::collections::BTreeMap;

use crate::{
    grammar::{Checked, architecture, problem},
    model::Scope,
    schema::Texts,
};

/// What selections refer to.
#[derive(Debug)]
pub(crate) struct Names {
    /// Distribution and version of every release, in the order of the file.
    pub(crate) releases: Vec<(String, String)>,
    pub(crate) groups: BTreeMap<String, Texts>,
}

impl Names {
    pub(crate) fn scope(&self, path: &str, releases: Option<&Texts>, architectures: Option<&Texts>) -> Checked<Scope> {
        Ok(Scope {
            releases: releases.map(|texts| self.releases(&format!("{path}.releases"), texts)).transpose()?,
            architectures: architectures
                .map(|texts| self.architectures(&format!("{path}.architectures"), texts))
                .transpose()?,
        })
    }

    /// The releases that a list selects, each once, in the order of the file.
    pub(crate) fn releases(&self, path: &str, texts: &[String]) -> Checked<Vec<u16>> {
        if texts.is_empty() {
            return problem(path, "selects nothing: leave it out to select all");
        }
        let mut selected = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let path = format!("{path}[{i}]");
            if let Some(distro) = text.strip_suffix(":*") {
                let of_distro = (0_u16..).zip(&self.releases).filter(|(_, (id, _))| id == distro).map(|(i, _)| i);
                let before = selected.len();
                selected.extend(of_distro);
                if selected.len() == before {
                    return problem(path, format!("no release of the file has distro {distro:?}"));
                }
            } else if let Some((from, to)) = text.split_once("..") {
                let (from, to) = (self.release(&path, from)?, self.release(&path, to)?);
                selected.extend(from.min(to)..=from.max(to));
            } else {
                selected.push(self.release(&path, text)?);
            }
        }
        selected.sort_unstable();
        selected.dedup();
        Ok(selected)
    }

    /// One release: `VERSION` or `DISTRO:VERSION`.
    pub(crate) fn release(&self, path: &str, text: &str) -> Checked<u16> {
        let (distro, version) = match text.split_once(':') {
            Some((distro, version)) => (Some(distro), version),
            None => (None, text),
        };
        let fits = |(id, name): &(String, String)| name == version && distro.is_none_or(|distro| distro == id);
        let mut found = (0_u16..).zip(&self.releases).filter(|(_, release)| fits(release)).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => problem(path, format!("{text:?} names two releases: write \"distro:{version}\"")),
            (None, _) => {
                let known: Vec<_> = self.releases.iter().map(|(_, version)| version.as_str()).collect();
                problem(path, format!("no release {text:?} in the file: there are {}", known.join(", ")))
            }
        }
    }

    /// The architectures that a list names, groups replaced by their members.
    pub(crate) fn architectures(&self, path: &str, texts: &[String]) -> Checked<Vec<String>> {
        if texts.is_empty() {
            return problem(path, "is empty");
        }
        let mut selected: Vec<String> = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let members = match text.strip_prefix('@') {
                None => std::slice::from_ref(text),
                Some(group) => match self.groups.get(group) {
                    Some(members) => members.as_slice(),
                    None => return problem(path, format!("no group {group:?} in [architectures]")),
                },
            };
            for member in members {
                architecture(&path, member)?;
                if selected.contains(member) {
                    return problem(path, format!("{member} stands in the list twice"));
                }
                selected.push(member.clone());
            }
        }
        Ok(selected)
    }
}
