/// Sentences about what could not be read. Bounded, because a hostile core could cause any number of them.
#[derive(Debug, Default)]
pub(crate) struct Remarks(Vec<String>);

/// Most remarks kept.
const MAX_REMARKS: usize = 32;

impl Remarks {
    /// Keeps the sentence unless it is known already.
    pub(crate) fn add(&mut self, remark: String) {
        if self.0.len() < MAX_REMARKS && !self.0.contains(&remark) {
            self.0.push(remark);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}
