//! Any bytes behind an RPM lead are a package or a clear error, and never a verified one.
#![no_main]

use std::io::{self, Read, Write as _};

use libfuzzer_sys::fuzz_target;
use retrace_package::{
    Keyring, Limits, Sink, Wanted, extract, read_header, read_rpm_facts, recorded, scan_build_ids, verify_rpm,
};
use retrace_types::{Sha256, SignatureState};

struct Drain;

impl Sink for Drain {
    fn member(&mut self, _: &[usize], path: &str, size: u64, data: &mut dyn Read) -> io::Result<()> {
        assert!(path.starts_with('/') && path.split('/').all(|part| part != ".."));
        assert!(io::copy(data, &mut io::sink())? == size);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&[&[0xed, 0xab, 0xee, 0xdb], bytes].concat()).expect("room for it");
    let size = bytes.len() as u64 + 4;
    assert!(verify_rpm(file.path(), &Keyring::new(), None).is_err());
    if let Ok(header) = read_header(file.path()) {
        let files = header.files.unwrap_or_default();
        assert!(files.iter().all(|path| path.starts_with('/') && path.split('/').all(|part| part != "..")));
    }
    let _ = read_rpm_facts(file.path());
    let digest = Sha256::from_bytes([0; 32]);
    let package = recorded(file.path(), size, digest, SignatureState::Off).expect("its size is right");
    let limits = Limits { unpacked_floor_bytes: 16 << 20, ..Limits::default() };
    let _ = scan_build_ids(&package, &limits);
    let _ = extract(&package, &[Wanted::Path("/usr/bin/x".into())], &mut Drain, &limits);
});
