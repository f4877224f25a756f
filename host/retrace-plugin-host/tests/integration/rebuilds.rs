//! Five distributions build the same sources and put the same `.el9` into their packages: what the tag alone may claim, and
//! what has to be known besides.

use std::collections::BTreeSet;

use retrace_plugin_host::{Limits, PackageRef, ReleaseError, ReleaseSource};
use retrace_types::Confidence;

use crate::support::{TestHost, component, host_with};

const FAMILY: [&str; 5] = ["almalinux", "centos", "oraclelinux", "rhel", "rocky"];

fn family() -> TestHost {
    let files = FAMILY.map(|name| (format!("{name}.wasm"), component(&format!("retrace_plugin_{name}"))));
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let host = host_with(&files, Limits::default());
    assert!(host.faults().is_empty(), "{:?}", host.faults());
    host
}

fn package(raw: &str, vendor: Option<&str>) -> PackageRef {
    PackageRef { raw: raw.to_owned(), format: None, vendor: vendor.map(str::to_owned) }
}

#[test]
fn a_tag_that_several_distributions_use_is_a_weak_claim_of_each() {
    let host = family();
    let cases = [
        ("bash-5.2.26-6.el10.x86_64", &["almalinux-10", "centos-10-stream", "ol-10", "rhel-10", "rocky-10"] as &[&str]),
        ("bash-5.1.8-9.el9.x86_64", &["almalinux-9", "centos-9-stream", "ol-9", "rhel-9", "rocky-9"]),
        ("kernel-5.14.0-427.13.1.el9_4.x86_64", &["almalinux-9", "centos-9-stream", "ol-9", "rhel-9", "rocky-9"]),
        ("bash-4.4.20-5.el8.x86_64", &["almalinux-8", "centos-8", "ol-8", "rhel-8", "rocky-8"]),
        ("bash-4.2.46-34.el7.x86_64", &["centos-7", "ol-7", "rhel-7"]),
    ];
    for (raw, want) in cases {
        let selection = host.select_by_package(&package(raw, None));
        for (candidate, claim) in selection.claims() {
            // Surer than this, and group G of the suite would call two of them alike a defect.
            assert_eq!(claim.confidence, Confidence::Weak, "{raw}: {}: {}", candidate.plugin, claim.reason);
        }
        let Err(ReleaseError::Ambiguous { candidates }) = &selection.decision else {
            panic!("{raw}: {:?}", selection.decision);
        };
        let possible: BTreeSet<_> = candidates.iter().map(ToString::to_string).collect();
        assert_eq!(possible, want.iter().map(|id| (*id).to_owned()).collect(), "{raw}");
        assert_eq!(selection.candidates.len(), FAMILY.len(), "{raw}: every plugin's word is kept");
    }
}

#[test]
fn the_vendor_or_a_tag_of_its_own_tells_whose_package_it_is() {
    let host = family();
    let cases = [
        ("bash-5.1.8-9.el9.x86_64", Some("AlmaLinux"), "almalinux-9"),
        ("bash-5.1.8-9.el9.x86_64", Some("CentOS"), "centos-9-stream"),
        ("bash-5.1.8-9.el9.x86_64", Some("Oracle America"), "ol-9"),
        ("bash-5.1.8-9.el9.x86_64", Some("Red Hat, Inc."), "rhel-9"),
        ("bash-5.1.8-9.el9.x86_64", Some("Rocky Enterprise Software Foundation"), "rocky-9"),
        ("elfutils-libs-0.194-1.el9.alma.1.x86_64", None, "almalinux-9"),
        ("httpd-2.4.6-97.el7.centos.5.x86_64", None, "centos-7"),
        ("kernel-uek-core-5.15.0-206.153.7.el9uek.x86_64", None, "ol-9"),
        ("chrony-4.1-3.el9.rocky.0.1.x86_64", None, "rocky-9"),
    ];
    for (raw, vendor, want) in cases {
        let selection = host.select_by_package(&package(raw, vendor));
        let lines = selection.lines();
        let decided = selection.decision.map(|claim| claim.release.id.to_string());
        assert_eq!(decided.as_deref(), Ok(want), "{raw} of {vendor:?}: {lines:#?}");
    }
}

#[test]
fn no_rebuild_claims_the_text_of_another() {
    let host = family();
    let texts = [
        ("ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n", "almalinux-9"),
        ("ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"9\"\nNAME=\"CentOS Stream\"\n", "centos-9-stream"),
        ("ID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"\n", "ol-9"),
        ("ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"\n", "rhel-9"),
        ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n", "rocky-9"),
    ];
    for (text, want) in texts {
        let selection = host.select_by_text(&ReleaseSource::OsRelease(text.to_owned()));
        assert_eq!(selection.claims().count(), 1, "{:#?}", selection.lines());
        assert_eq!(selection.decision.map(|claim| claim.release.id.to_string()).as_deref(), Ok(want));
    }
}
