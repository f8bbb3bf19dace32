//! Amounts of money. Sums are made of whole cents; an event's `double` is the cents' nearest and nothing else.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// The largest total that an order may have: ten million.
pub const MAX_TOTAL: Cents = Cents(1_000_000_000);

/// How far a `double` may be from whole cents: room for another producer's sum of doubles, far below a tenth of a cent.
const TOLERANCE: f64 = 1e-4;

/// A whole number of cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(pub u64);

impl Cents {
    /// The `double` nearest to this amount.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// The amount that a `double` stands for; `None` unless it is finite, not negative, at most [`MAX_TOTAL`] and whole
    /// cents.
    #[must_use]
    pub fn from_f64(amount: f64) -> Option<Self> {
        let cents = amount * 100.0;
        let whole = cents.round();
        let usable = amount.is_finite() && whole >= 0.0 && whole <= MAX_TOTAL.0 as f64;
        (usable && (cents - whole).abs() <= TOLERANCE).then_some(Self(whole as u64))
    }

    /// Reads an amount such as `1`, `1.5` or `1.49`; `None` for anything else, signs and exponents included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            (1..=most).contains(&part.len()).then_some(())?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u64>().ok())?
        };
        let tens = if fraction.len() == 1 { 10 } else { 1 };
        let amount = Self(digits(whole, 8)? * 100 + digits(fraction, 2)? * tens);
        (amount <= MAX_TOTAL).then_some(amount)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_dimes_are_exactly_one() {
        assert_eq!(std::iter::repeat_n(Cents(10), 10).sum::<Cents>().as_f64(), 1.0);
    }

    #[test]
    fn every_amount_up_to_a_hundred_survives_as_a_double() {
        for cents in (0..=10_000).map(Cents) {
            assert_eq!(Cents::from_f64(cents.as_f64()), Some(cents));
            assert_eq!(Cents::parse(&cents.to_string()), Some(cents));
        }
        assert_eq!(Cents::from_f64(MAX_TOTAL.as_f64()), Some(MAX_TOTAL));
    }

    #[test]
    fn a_sum_of_doubles_counts_as_the_cents_it_means() {
        assert_eq!(Cents::from_f64(0.1 + 0.2), Some(Cents(30)));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for amount in [f64::NAN, f64::INFINITY, -0.01, 1.234, 1e12, f64::MIN_POSITIVE + 0.005] {
            assert_eq!(Cents::from_f64(amount), None, "{amount}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1.234", "1e3", "1,50", "123456789", "€1", "99999999.99"] {
            assert_eq!(Cents::parse(text), None, "{text:?}");
        }
        assert_eq!(Cents::parse("1.5"), Some(Cents(150)));
        assert_eq!(Cents::parse("2"), Some(Cents(200)));
    }
}
