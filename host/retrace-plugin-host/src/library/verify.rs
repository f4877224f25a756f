use retrace_types::DistroId;

use super::{Library, LibraryError, Refusal, Signer, Trust};

/// What a second look at an installed plugin found.
#[derive(Debug)]
pub struct Verification {
    /// The plugin.
    pub id: DistroId,
    /// Its version in force.
    pub version: String,
    /// Whether its file is the one that was installed.
    pub file: Result<(), Refusal>,
    /// Who signed it, by the keys that are trusted today; none if it was installed unsigned.
    pub signature: Result<Option<Signer>, LibraryError>,
}

impl Library {
    /// Looks at the plugins in force again: digests and, with the keys that are trusted today, signatures. A key that was
    /// taken out of the trust folder or has expired since shows here; it does not stop what is installed.
    ///
    /// # Errors
    /// The library cannot be read.
    pub fn verify(&self, trust: &Trust) -> Result<Vec<Verification>, LibraryError> {
        let inventory = self.inventory()?;
        let plugins = inventory.plugins.into_iter().map(|plugin| {
            let bytes = plugin.read();
            let signature = match (&bytes, plugin.signature()) {
                (_, Err(error)) => Err(error),
                (_, Ok(None)) => Ok(None),
                // What was changed is not what was signed.
                (Err(_), Ok(Some(_))) => Ok(plugin.record.signer.clone()),
                (Ok(bytes), Ok(Some(signature))) => trust.verify(bytes, &signature).map(Some),
            };
            let (id, version) = (plugin.record.id, plugin.record.version);
            Verification { id, version, file: bytes.map(|_| ()), signature }
        });
        let refused = inventory.refused.into_iter().map(|refused| Verification {
            id: refused.id,
            version: refused.version.unwrap_or_default(),
            file: Err(refused.reason),
            signature: Ok(None),
        });
        Ok(plugins.chain(refused).collect())
    }
}
