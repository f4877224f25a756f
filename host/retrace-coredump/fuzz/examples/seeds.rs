//! Writes a small core of every machine to `corpus/facts`, where cargo-fuzz looks for seeds.

#[path = "../../tests/integration/sample.rs"]
#[allow(dead_code, reason = "the tests use more of the builder")]
mod sample;

use sample::{ELF_SEGMENTS, MACHINES, RW, RX, Sample, build_id_note, first_page};

fn main() -> std::io::Result<()> {
    std::fs::create_dir_all("corpus/facts")?;
    for machine in MACHINES {
        let page = first_page(*machine, 0, None, &build_id_note(*machine, &[0xaa; 20]));
        let header = if machine.wide { 64 } else { 52 };
        let word = if machine.wide { 8 } else { 4 };
        // The loader's list has one entry, whose name lies behind it.
        let list = machine.out().int(1).to(word).word(0x30_0100).to(0x100);
        let list = list.word(0x10_0000).word(0x30_0200).word(0x10_3000).word(0).to(0x200).raw(b"/lib/x\0");
        let dynamic = machine.out().to(256).word(21).word(0x30_0000).word(0).word(0);
        let core = Sample::new(*machine)
            .map_elf(0x10_0000, "/usr/bin/sample", &page)
            .map(0x10_3000, RW, 1, &dynamic.bytes, Some(("/usr/bin/sample", 2)))
            .map(0x20_0000, RX, 1, &page[..2048], None)
            .map(0x30_0000, RW, 1, &list.bytes, None)
            .auxv(33, 0x20_0000)
            .auxv(3, 0x10_0000 + header)
            .auxv(5, ELF_SEGMENTS.into())
            .build();
        let order = if machine.big { "big" } else { "little" };
        std::fs::write(format!("corpus/facts/{}-{order}", machine.architecture), core)?;
    }
    Ok(())
}
