/// The moment at which a clock reads 1, as the number that is added to the milliseconds of the system's clock, modulo 2^64.
/// So no reading of that clock, be it 0 or one from before that moment, is a number that cannot be dealt with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch(u64);

impl Epoch {
    /// Now, as the system's clock has it.
    pub(super) fn at(millis: u64) -> Self {
        Self(1_u64.wrapping_sub(millis))
    }

    /// What the clock reads when the system's reads `millis`. Far ahead of everything for a time before the epoch.
    #[inline(always)]
    pub(super) fn reading(self, millis: u64) -> u64 {
        millis.wrapping_add(self.0)
    }

    /// The same; for a time before the epoch, 1.
    #[inline(always)]
    pub(super) fn reading_since(self, millis: u64) -> u64 {
        self.reading(millis).cast_signed().max(1).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The monotonic clock of a process, a container or a machine that has just started reads 0.
    #[test]
    fn a_clock_may_be_made_when_the_system_s_has_just_started() {
        for start in [0, 1, 5, 1 << 40, u64::MAX - 1, u64::MAX] {
            let epoch = Epoch::at(start);
            assert_eq!(epoch.reading(start), 1);
            assert_eq!(epoch.reading(start.wrapping_add(7)), 8);
            assert_eq!(epoch.reading_since(start.wrapping_add(7)), 8);
        }
    }

    #[test]
    fn a_reading_from_before_the_clock_was_made_is_not_in_the_future() {
        for start in [0, 1, 1 << 40] {
            let epoch = Epoch::at(start);
            for before in [1, 2, 1_000] {
                let earlier = start.wrapping_sub(before);
                assert_eq!(epoch.reading_since(earlier), 1);
                // Whoever compares a deadline with this asks the precise clock.
                assert!(epoch.reading(earlier) == 0 || epoch.reading(earlier) > 1 << 60);
            }
        }
    }
}
