//! The trust that a resource requires.

use super::checked::Model;
use super::input::Target;
use super::number::Score;

impl Model {
    /// The trust that a resource requires: by its classification and its compliance, capped.
    #[must_use]
    pub fn required(&self, target: &Target) -> Score {
        let class = target
            .classification
            .and_then(|place| self.classes().get(usize::from(place)).copied())
            .unwrap_or(self.config().required.other);
        self.capped(class, target.compliance)
    }

    /// The same of a base requirement.
    pub(super) fn capped(&self, base: Score, compliance: u8) -> Score {
        let each = self.config().required.compliance.ten_thousandths();
        let required = base + Score::new(each.saturating_mul(i32::from(compliance)));
        self.cap().map_or(required, |cap| required.min(cap))
    }

    /// The place of a classification in [`Target::classification`].
    #[must_use]
    pub fn classification(&self, name: &str) -> Option<u16> {
        let classes = &self.config().required.classifications;
        let place = classes.keys().position(|class| class == name)?;
        u16::try_from(place).ok()
    }
}
