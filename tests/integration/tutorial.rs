//! The tutorial for plugin authors works as it is written: its blocks are taken from its own text and run in order.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use retrace_tests::{Cli, checkout, skip, target_dir};

/// One block of the tutorial.
#[derive(Debug)]
enum Block {
    /// A shell script.
    Run(String),
    /// A file to write: name and content.
    Write(String, String),
}

#[test]
fn a_plugin_written_from_the_tutorial_passes_the_suite() {
    let Some(cli) = Cli::new() else { return };
    let text = fs::read_to_string(checkout().join("plugin-sdk/docs/tutorial.md")).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.iter().filter(|block| matches!(block, Block::Run(_))).count() >= 4, "{blocks:#?}");
    for command in ["new", "build", "test"] {
        if cli.run(["plugin", command, "--help"]).code != Some(0) {
            return skip(&format!("`retrace plugin {command}` is not there"));
        }
    }
    let mut tutorial = Tutorial::new(&cli);
    for block in blocks {
        match block {
            Block::Write(name, content) => tutorial.write(&name, &content),
            Block::Run(script) => tutorial.run(&script),
        }
    }
}

/// The blocks that are to be run or written, in order; others are only shown.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for part in text.split("\n```").skip(1).step_by(2) {
        let (info, content) = part.split_once('\n').expect("a block has a first line");
        if info == "sh" {
            blocks.push(Block::Run(content.to_owned()));
        } else if let Some((_, name)) = info.split_once(" file=") {
            blocks.push(Block::Write(name.to_owned(), format!("{content}\n")));
        }
    }
    blocks
}

/// The reader, in a folder of their own.
struct Tutorial {
    dir: PathBuf,
    path: String,
    cwd_file: PathBuf,
    home: PathBuf,
}

impl Tutorial {
    fn new(cli: &Cli) -> Self {
        let dir = cli.path("tutorial");
        fs::create_dir(&dir).unwrap();
        let bin = cli.program().parent().unwrap().to_owned();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Self { dir, path, cwd_file: cli.path("cwd"), home: cli.path("home") }
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.dir.join(name);
        assert!(path.parent().is_some_and(Path::is_dir), "the folder of {name} exists");
        fs::write(path, content).unwrap();
    }

    /// Runs a block and stays in the folder in which it ends.
    fn run(&mut self, script: &str) {
        let script = format!("{script}\npwd > {}\n", self.cwd_file.display());
        let output = Command::new("sh")
            .args(["-eu", "-c", &script])
            .current_dir(&self.dir)
            .env("PATH", &self.path)
            .env("RETRACE_STATE_DIR", self.home.join("state"))
            .env("RETRACE_CACHE_DIR", self.home.join("cache"))
            // The SDK of this checkout instead of the published one; dependencies are built once for all runs.
            .env("RETRACE_SDK_PATH", checkout().join("plugin-sdk"))
            .env("CARGO_TARGET_DIR", target_dir().join("tutorial"))
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap();
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (shown(&output.stdout), shown(&output.stderr));
        assert!(output.status.success(), "{script}\n{}\n{out}\n{err}", output.status);
        self.dir = fs::read_to_string(&self.cwd_file).unwrap().trim().into();
    }
}
