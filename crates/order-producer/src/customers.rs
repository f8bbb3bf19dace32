//! Who orders: a neighbourhood of customers, most of whom come back.

use fastrand::Rng;

/// Regulars that the store has from the start.
const FIRST_REGULARS: u32 = 200;

/// The neighbourhood is not endless.
const MOST_CUSTOMERS: u32 = 5_000;

/// One order in so many comes from somebody new.
const NEWCOMER_EVERY: u32 = 20;

/// The customers so far.
#[derive(Debug)]
pub(crate) struct Customers {
    known: u32,
}

impl Default for Customers {
    fn default() -> Self {
        Self { known: FIRST_REGULARS }
    }
}

impl Customers {
    /// The id of the next customer, such as `customer-0042`.
    ///
    /// Loyalty is uneven: a quarter of the known customers makes half of the returning ones' orders.
    pub(crate) fn next(&mut self, rng: &mut Rng) -> String {
        let number = if self.known < MOST_CUSTOMERS && rng.u32(0..NEWCOMER_EVERY) == 0 {
            self.known += 1;
            self.known
        } else {
            let loyalty = rng.f64().powi(2);
            1 + ((loyalty * f64::from(self.known)) as u32).min(self.known - 1)
        };
        format!("customer-{number:04}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn customers_return_some_of_them_often() {
        let seed = Rng::new().u64(..);
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let mut customers = Customers::default();
        let mut orders: HashMap<String, u32> = HashMap::new();
        for _ in 0..4_000 {
            *orders.entry(customers.next(&mut rng)).or_default() += 1;
        }
        let mut by_loyalty: Vec<u32> = orders.into_values().collect();
        by_loyalty.sort_unstable_by(|a, b| b.cmp(a));
        assert!((300..500).contains(&by_loyalty.len()), "{} customers", by_loyalty.len());
        let loyal: u32 = by_loyalty[..by_loyalty.len() / 4].iter().sum();
        assert!((1_800..3_000).contains(&loyal), "a quarter of them made {loyal} of 4000 orders");
    }

    #[test]
    fn the_neighbourhood_stops_growing() {
        let mut rng = Rng::with_seed(1);
        let mut customers = Customers::default();
        for _ in 0..500_000 {
            customers.next(&mut rng);
        }
        assert_eq!(customers.known, MOST_CUSTOMERS);
    }
}
