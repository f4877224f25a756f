//! Writes the model down as constants, and the trait implementations that answer from them.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

use crate::{
    input::{Function, Input},
    model::{Guess, Layout, Mirror, Model, Release, Repository, Rule, Scope, Then},
    schema::{Confidence, Content, Environment, FileKind, Format, OtherVendors, Signature},
};

/// Functions of the traits, by trait. What is not written in Rust is answered from the data.
const DISTRIBUTION: [&str; 9] = [
    "describe",
    "releases",
    "parse_release",
    "guess_release",
    "repositories",
    "debugger_for",
    "parse_file_names",
    "format_file_name",
    "debug_packages",
];
const KERNEL: &str = "kernel_for";
const ADVICE: &str = "extra_packages";

/// The type, its data, its traits, and the export.
pub(crate) fn plugin(model: &Model, input: &Input) -> TokenStream {
    let Input { prefix, name, .. } = input;
    let data = data(model);
    let id = &model.id;
    let of = |names: &[&str]| -> Vec<&TokenStream> {
        let fits = |function: &&Function| names.contains(&function.name.as_str());
        input.functions.iter().filter(fits).map(|function| &function.code).collect()
    };
    let is_written = |name: &str| input.functions.iter().any(|function| function.name == name);
    let declared = declared_functions(&is_written);
    let written = of(&DISTRIBUTION);
    // A function that no trait has ends up in the implementation of `Distribution`, where the compiler names it.
    let known = |name: &str| DISTRIBUTION.contains(&name) || name == KERNEL || name == ADVICE;
    let unknown = input.functions.iter().filter(|function| !known(&function.name)).map(|function| &function.code);
    let mut optional = TokenStream::new();
    let mut with = Vec::new();
    if !model.kernels.is_empty() || is_written(KERNEL) {
        let written = of(&[KERNEL]);
        let declared = (!is_written(KERNEL)).then(|| {
            quote! {
                fn kernel_for(
                    version: String,
                    arch: String,
                ) -> ::core::result::Result<::core::option::Option<KernelFiles>, CallError> {
                    Self::DATA.kernel_for(&version, &arch)
                }
            }
        });
        optional.extend(quote!(impl Kernel for #name { #(#written)* #declared }));
        with.push(format_ident!("kernel"));
    }
    if !model.advice.is_empty() || is_written(ADVICE) {
        let written = of(&[ADVICE]);
        let declared = (!is_written(ADVICE)).then(|| {
            quote! {
                fn extra_packages(
                    release: Release,
                    arch: String,
                    wanted: Vec<String>,
                ) -> ::core::result::Result<Vec<String>, CallError> {
                    Self::DATA.extra_packages(&release, &arch, &wanted)
                }
            }
        });
        optional.extend(quote!(impl EnvironmentAdvice for #name { #(#written)* #declared }));
        with.push(format_ident!("environment_advice"));
    }
    let with = if with.is_empty() { quote!() } else { quote!(, with #(#with),*) };
    quote! {
        #prefix struct #name;

        impl #name {
            /// The declared answers.
            pub const DATA: &'static ::retrace_plugin_sdk::declared::Data = &#data;
        }

        const _: () = {
            #[allow(unused_imports, reason = "which of them are used depends on the functions")]
            use ::retrace_plugin_sdk::prelude::*;

            impl Distribution for #name {
                const ID: &'static str = #id;
                #(#written)*
                #(#unknown)*
                #declared
            }

            #optional
        };

        ::retrace_plugin_sdk::export_plugin!(#name #with);
    }
}

fn declared_functions(is_written: &dyn Fn(&str) -> bool) -> TokenStream {
    let result = quote!(::core::result::Result);
    let option = quote!(::core::option::Option);
    let functions = [
        (
            "describe",
            quote!(
                fn describe() -> Description {
                    Self::DATA.describe(::core::env!("CARGO_PKG_VERSION"))
                }
            ),
        ),
        (
            "releases",
            quote!(
                fn releases() -> Vec<ReleaseEntry> {
                    Self::DATA.releases()
                }
            ),
        ),
        (
            "parse_release",
            quote!(fn parse_release(source: ReleaseSource) -> #result<#option<Release>, CallError> {
                Self::DATA.parse_release(&source)
            }),
        ),
        (
            "guess_release",
            quote!(fn guess_release(subject: PackageRef) -> #result<#option<ReleaseGuess>, CallError> {
                Self::DATA.guess_release(&subject)
            }),
        ),
        (
            "repositories",
            quote!(fn repositories(release: Release, arch: String) -> #result<Vec<Repository>, CallError> {
                Self::DATA.repositories(&release, &arch)
            }),
        ),
        (
            "debugger_for",
            quote!(fn debugger_for(release: Release, arch: String) -> #result<#option<Debugger>, CallError> {
                Self::DATA.debugger_for(&release, &arch)
            }),
        ),
        (
            "debug_packages",
            quote!(fn debug_packages(subject: PackageId) -> #result<Vec<PackageId>, CallError> {
                Self::DATA.debug_packages(&subject)
            }),
        ),
    ];
    functions.into_iter().filter(|(name, _)| !is_written(name)).map(|(_, code)| code).collect()
}

fn data(model: &Model) -> TokenStream {
    let Model { id, aliases, name, version_keys, codename_keys, full_version_keys, line_names, .. } = model;
    let format = match model.format {
        Format::Rpm => quote!(Rpm),
        Format::Deb => quote!(Deb),
    };
    let annotations = pairs(&model.annotations);
    let basearch = pairs(&model.basearch);
    let releases = model.releases.iter().map(release);
    let os_release_rules = model.os_release_rules.iter().map(rule);
    let line_rules = model.line_rules.iter().map(rule);
    let files = model.files.iter().map(|(file, kind)| {
        let kind = match kind {
            FileKind::ReleaseLine => quote!(ReleaseLine),
            FileKind::OsRelease => quote!(OsRelease),
            FileKind::Version => quote!(Version),
        };
        quote!((#file, FileKind::#kind))
    });
    let guesses = model.guesses.iter().map(guess);
    let keys = model.keys.iter().map(|key| {
        let (path, fingerprint) = (&key.path, option(key.fingerprint.as_ref()));
        quote!((#path, #fingerprint))
    });
    let repositories = model.repositories.iter().map(repository);
    let debuggers = model.debuggers.iter().map(|entry| {
        let (scope, packages, path) = (scope(&entry.scope), &entry.packages, &entry.path);
        let environment = match entry.environment {
            Environment::Sysroot => quote!(Sysroot),
            Environment::Chroot => quote!(Chroot),
        };
        quote!(DebuggerData {
            scope: #scope,
            packages: &[#(#packages),*],
            path: #path,
            environment: Environment::#environment,
        })
    });
    let debug_packages = model.debug_packages.iter().map(|entry| {
        let (names, packages) = (&entry.names, &entry.packages);
        quote!(DebugPackageData { names: &[#(#names),*], packages: &[#(#packages),*] })
    });
    let kernels = model.kernels.iter().map(|entry| {
        let (scope, uname, packages, vmlinux) = (scope(&entry.scope), &entry.uname, &entry.packages, &entry.vmlinux);
        quote!(KernelData { scope: #scope, uname: #uname, packages: &[#(#packages),*], vmlinux: #vmlinux })
    });
    let advice = model.advice.iter().map(|entry| {
        let (scope, wanted, packages) = (scope(&entry.scope), &entry.wanted, &entry.packages);
        quote!(AdviceData { scope: #scope, wanted: &[#(#wanted),*], packages: &[#(#packages),*] })
    });
    quote!({
        #[allow(unused_imports, reason = "which of them are used depends on the file")]
        use ::retrace_plugin_sdk::declared::data::*;
        Data {
            id: #id,
            aliases: &[#(#aliases),*],
            name: #name,
            format: Format::#format,
            annotations: #annotations,
            basearch: #basearch,
            releases: &[#(#releases),*],
            version_keys: &[#(#version_keys),*],
            codename_keys: &[#(#codename_keys),*],
            full_version_keys: &[#(#full_version_keys),*],
            os_release_rules: &[#(#os_release_rules),*],
            line_names: &[#(#line_names),*],
            line_rules: &[#(#line_rules),*],
            files: &[#(#files),*],
            guesses: &[#(#guesses),*],
            keys: &[#(#keys),*],
            repositories: &[#(#repositories),*],
            debuggers: &[#(#debuggers),*],
            debug_packages: &[#(#debug_packages),*],
            kernels: &[#(#kernels),*],
            advice: &[#(#advice),*],
        }
    })
}

fn release(release: &Release) -> TokenStream {
    let Release { distro, version, rolling, minors, title, architectures, .. } = release;
    let codename = option(release.codename.as_ref());
    let end_of_life = option(release.end_of_life.as_ref());
    let (vars, annotations) = (pairs(&release.vars), pairs(&release.annotations));
    quote!(ReleaseData {
        distro: #distro,
        version: #version,
        codename: #codename,
        rolling: #rolling,
        minors: #minors,
        title: #title,
        architectures: &[#(#architectures),*],
        end_of_life: #end_of_life,
        vars: #vars,
        annotations: #annotations,
    })
}

fn rule(rule: &Rule) -> TokenStream {
    let when = pairs(&rule.when);
    let then = match &rule.then {
        Then::NotOurs => quote!(NotOurs),
        Then::Release(index) => quote!(Release(#index)),
        Then::Template { distro, version } => {
            let distro = option(distro.as_ref());
            quote!(Template { distro: #distro, version: #version })
        }
    };
    quote!(Rule { when: #when, then: Then::#then })
}

fn guess(guess: &Guess) -> TokenStream {
    let Guess { tag, vendors, .. } = guess;
    let release = option(guess.release);
    let releases = option(guess.releases.as_ref().map(|releases| quote!(&[#(#releases),*])));
    let confidence = match guess.confidence {
        Confidence::Weak => quote!(Weak),
        Confidence::Likely => quote!(Likely),
        Confidence::Certain => quote!(Certain),
    };
    let other_vendors = match guess.other_vendors {
        OtherVendors::Keep => quote!(Keep),
        OtherVendors::Weak => quote!(Weak),
        OtherVendors::None => quote!(None),
    };
    quote!(Guess {
        tag: #tag,
        release: #release,
        releases: #releases,
        confidence: Confidence::#confidence,
        vendors: &[#(#vendors),*],
        other_vendors: OtherVendors::#other_vendors,
    })
}

fn repository(repository: &Repository) -> TokenStream {
    let Repository { id, .. } = repository;
    let title = option(repository.title.as_ref());
    let content = match repository.content {
        Content::Packages => quote!(Packages),
        Content::DebugInfo => quote!(DebugInfo),
        Content::Sources => quote!(Sources),
    };
    let layout = match &repository.layout {
        Layout::RpmMd => quote!(Layout::RpmMd),
        Layout::Directory => quote!(Layout::Directory),
        Layout::Deb { suite, components } => {
            quote!(Layout::Deb { suite: #suite, components: &[#(#components),*] })
        }
    };
    let mirrors = repository.mirrors.iter().map(|Mirror { url, scope: held }| {
        let scope = scope(held);
        quote!(MirrorData { url: #url, scope: #scope })
    });
    let metadata = repository.signatures.contains(&Signature::Metadata);
    let packages = repository.signatures.contains(&Signature::Packages);
    let keys = repository.keys.iter().map(|keys| quote!(&[#(#keys),*]));
    let (scope, config) = (scope(&repository.scope), pairs(&repository.config));
    quote!(RepositoryData {
        id: #id,
        title: #title,
        content: RepositoryContent::#content,
        scope: #scope,
        layout: #layout,
        mirrors: &[#(#mirrors),*],
        signed_metadata: #metadata,
        signed_packages: #packages,
        keys: &[#(#keys),*],
        config: #config,
    })
}

fn scope(scope: &Scope) -> TokenStream {
    let releases = option(scope.releases.as_ref().map(|releases| quote!(&[#(#releases),*])));
    let architectures = option(scope.architectures.as_ref().map(|names| quote!(&[#(#names),*])));
    quote!(Scope { releases: #releases, architectures: #architectures })
}

fn pairs(pairs: &[(String, String)]) -> TokenStream {
    let pairs = pairs.iter().map(|(key, value)| quote!((#key, #value)));
    quote!(&[#(#pairs),*])
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
