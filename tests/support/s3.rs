use crate::{Cli, service::Service, skip, target_dir};

/// An S3 server of the test's own, in memory, on a free port of 127.0.0.1; it ends when this is dropped.
#[derive(Debug)]
pub struct S3 {
    service: Service,
    bucket: String,
}

impl S3 {
    /// Starts one with an empty bucket; [`skip`]s and gives nothing where the program is missing.
    ///
    /// # Panics
    /// The server does not start.
    pub fn start(name: &str) -> Option<Self> {
        let program = target_dir().join("tools/s3/bin/moto_server");
        if !program.is_file() {
            skip(&format!("there is no {}: run `make setup`", program.display()));
            return None;
        }
        let s3 = Self { service: Service::start("s3.sh", name), bucket: "crashes".to_owned() };
        let made = s3.curl(&["-X", "PUT", &s3.address("")]);
        assert!(made.contains("HTTP 200"), "{made}");
        Some(s3)
    }

    /// Makes the commands of `cli` keep their artifacts here.
    pub fn use_for(&self, cli: &mut Cli) {
        cli.set("RETRACE_ARTIFACTS_URL", format!("s3://{}/retrace", self.bucket));
        cli.set("RETRACE_ARTIFACTS_ENDPOINT", self.service.url());
        cli.set("AWS_ACCESS_KEY_ID", "test").set("AWS_SECRET_ACCESS_KEY", "test");
    }

    /// The names of all objects that begin so, in order.
    ///
    /// # Panics
    /// The server fails.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let after = names.last().map(|name: &String| format!("&start-after=retrace/{name}")).unwrap_or_default();
            let page = self.curl(&[&self.address(&format!("?list-type=2&prefix=retrace/{prefix}{after}"))]);
            let before = names.len();
            let keys = page.split("<Key>retrace/").skip(1).filter_map(|rest| rest.split("</Key>").next());
            names.extend(keys.map(str::to_owned));
            if names.len() == before || !page.contains("<IsTruncated>true") {
                return names;
            }
        }
    }

    /// Replaces or makes an object.
    ///
    /// # Panics
    /// The server fails.
    pub fn put(&self, name: &str, content: &str) {
        let address = self.address(&format!("/retrace/{name}"));
        // Else curl calls it a form, and moto reads one.
        let form = "Content-Type: application/octet-stream";
        let put = self.curl(&["-X", "PUT", "-H", form, "--data-binary", content, &address]);
        assert!(put.contains("HTTP 200"), "{put}");
    }

    fn address(&self, rest: &str) -> String {
        format!("{}/{}{rest}", self.service.url(), self.bucket)
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let output =
            std::process::Command::new("curl").args(["-sS", "-w", "HTTP %{http_code}"]).args(arguments).output();
        let output = output.expect("curl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
