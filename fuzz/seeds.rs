//! Writes the first corpus of every target below `corpus/`: made now, so that no key is kept anywhere.

#[path = "entries.rs"]
mod entries;

fn main() -> std::io::Result<()> {
    for (name, _, seeds) in entries::ALL {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
