//! Lists the corpus (`plugin-sdk/corpus`), so that the conformance suite has it built in: an installed `retrace` needs no
//! checkout to test a plugin.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const CORPUS: &str = "../../plugin-sdk/corpus";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join(CORPUS);
    println!("cargo::rerun-if-changed={CORPUS}");
    let mut code = String::from("const FOLDERS: &[Folder] = &[\n");
    for folder in names(&root)? {
        if !root.join(&folder).join("index.toml").is_file() {
            continue;
        }
        println!("cargo::rerun-if-changed={CORPUS}/{folder}");
        let include =
            |file: &str| format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{CORPUS}/{folder}/{file}\"))");
        writeln!(code, "    Folder {{ name: {folder:?}, index: {}, files: &[", include("index.toml"))?;
        for file in names(&root.join(&folder))? {
            if file != "index.toml" && !file.starts_with('.') {
                writeln!(code, "        ({file:?}, {}),", include(&file))?;
            }
        }
        writeln!(code, "    ] }},")?;
    }
    code.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("corpus.rs"), code)?;
    Ok(())
}

/// Names of a folder's entries, sorted.
fn names(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?);
    }
    names.sort();
    Ok(names)
}
