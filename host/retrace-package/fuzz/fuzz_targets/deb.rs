//! Any bytes behind the magic of a .deb are a package or a clear error.
#![no_main]

use std::io::{self, Read, Write as _};

use libfuzzer_sys::fuzz_target;
use retrace_package::{Limits, Sink, Wanted, extract, read_deb_control, read_header, recorded, scan_build_ids};
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
    file.write_all(&[b"!<arch>\n", bytes].concat()).expect("room for it");
    let size = bytes.len() as u64 + 8;
    let _ = read_header(file.path());
    let _ = read_deb_control(file.path());
    let digest = Sha256::from_bytes([0; 32]);
    let package = recorded(file.path(), size, digest, SignatureState::Off).expect("its size is right");
    let limits = Limits { unpacked_floor_bytes: 16 << 20, ..Limits::default() };
    let _ = scan_build_ids(&package, &limits);
    let _ = extract(&package, &[Wanted::Path("/usr/bin/x".into())], &mut Drain, &limits);
});
