use std::path::{Path, PathBuf};

/// The folder that holds the root `Cargo.toml`.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in tests/ of the checkout")
}

/// Where cargo built this test, and everything else: `$CARGO_TARGET_DIR` or `target/`.
#[must_use]
pub fn target_dir() -> PathBuf {
    // <target>/<profile>/deps/<test>
    let exe = std::env::current_exe().expect("the test has a path");
    exe.ancestors().nth(3).expect("cargo runs tests from <target>/<profile>/deps").to_owned()
}
