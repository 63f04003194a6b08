//! How a finding's risk fades: it halves every half-life, in integers.
//!
//! What enters: a risk, how long ago it was, the half-life. What leaves: the risk now. What must hold: it
//! never rises with time; after a whole number of half-lives it is exactly halved that often (rounded half
//! up); a clock that went back leaves it as it was at first.

use crate::trust::model::Score;

/// Steps within one half-life: with a half-life of an hour the risk falls every 3.5 seconds.
const STEPS: usize = 1_024;
const STEPS_LOG: usize = 10;
/// 1 in the table's numbers.
const ONE: u64 = 1 << 31;
/// `2^(-i / STEPS)` for each step.
static FACTORS: [u64; STEPS] = factors();

/// The square root, rounded down.
const fn root(square: u128) -> u128 {
    let (mut low, mut high) = (0u128, 1u128 << 63);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle * middle <= square {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

const fn factors() -> [u64; STEPS] {
    // roots[k] is 2^(-1 / 2^(k + 1)) in 1 / 2^62; a step's factor is the product of those of its bits.
    let one = 1u128 << 62;
    let mut roots = [0u128; STEPS_LOG];
    let mut last = one / 2;
    let mut k = 0;
    #[allow(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which refuses a bad index"
    )]
    while k < STEPS_LOG {
        last = root(last << 62);
        roots[k] = last;
        k += 1;
    }
    let mut factors = [0u64; STEPS];
    let mut step = 0;
    #[allow(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which refuses a bad index"
    )]
    while step < STEPS {
        let mut factor = one;
        let mut k = 0;
        while k < STEPS_LOG {
            if step >> (STEPS_LOG - 1 - k) & 1 == 1 {
                factor = (factor * roots[k]) >> 62;
            }
            k += 1;
        }
        factors[step] = (factor >> 31) as u64;
        step += 1;
    }
    factors
}

/// What `risk` is after `elapsed` milliseconds.
pub(super) fn decayed(risk: Score, elapsed: i64, half_life: i64) -> Score {
    let risk = u64::try_from(risk.clamped().ten_thousandths()).unwrap_or_default();
    let (elapsed, half_life) = (elapsed.max(0), half_life.max(1));
    let halvings = elapsed / half_life;
    if halvings >= 16 {
        return Score::ZERO;
    }
    let part = i128::from(elapsed % half_life) * STEPS as i128 / i128::from(half_life);
    let factor = FACTORS.get(usize::try_from(part).unwrap_or_default());
    let shift = 31 + u32::try_from(halvings).unwrap_or_default();
    let scaled = risk * factor.copied().unwrap_or(ONE);
    let rounded = (scaled + (1 << (shift - 1))) >> shift;
    Score::new(i32::try_from(rounded).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;

    #[track_caller]
    fn check(risk: i32, elapsed: i64, expect: i32) {
        let now = decayed(Score::new(risk), elapsed, HOUR);
        assert_eq!(now.ten_thousandths(), expect);
    }

    #[test]
    fn halves_every_half_life() {
        check(10_000, 0, 10_000);
        check(10_000, HOUR, 5_000);
        check(10_000, 2 * HOUR, 2_500);
        check(8_000, 3 * HOUR, 1_000);
        check(10_000, HOUR / 2, 7_071);
        check(10_000, HOUR / 4, 8_409);
        check(10_000, HOUR * 3 / 4, 5_946);
        check(1, HOUR, 1);
        check(1, HOUR + 5_000, 0);
        check(10_000, 14 * HOUR, 1);
        check(10_000, 16 * HOUR, 0);
        check(10_000, i64::MAX, 0);
    }

    #[test]
    fn a_clock_that_went_back_leaves_the_risk() {
        check(6_000, -1, 6_000);
        check(6_000, i64::MIN, 6_000);
    }

    proptest! {
        #[test]
        fn never_rises(risk in 0..=10_000i32, half in 60_000..=86_400_000i64, a in 0..200_000_000i64, b in 0..20_000_000i64) {
            let at = |elapsed| decayed(Score::new(risk), elapsed, half);
            prop_assert!(at(a + b) <= at(a));
            prop_assert!(at(a) <= Score::new(risk));
        }

        #[test]
        fn a_higher_risk_stays_at_least_as_high(risk in 0..10_000i32, more in 0..10_000i32, elapsed in 0..100_000_000i64) {
            let at = |risk| decayed(Score::new(risk), elapsed, HOUR);
            prop_assert!(at(risk + more) >= at(risk));
        }
    }
}
