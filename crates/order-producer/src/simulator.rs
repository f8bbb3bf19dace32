//! Baskets for those who have none, drawn so that they look like a supermarket's.

use fastrand::Rng;
use grocery_events::Catalogue;

/// How many baskets of ten thousand hold 1, 2, 3, ... items: mean 4.46, median 3, one in ten has more than 9, one in a
/// hundred more than 17, the largest 32.
const SIZES: [u32; 32] = [
    2215, 1690, 1242, 985, 847, 668, 552, 475, 387, 252, 180, 133, 90, 78, 62, 43, 35, 17, 14, 9, 8, 5, 4, 2, 1, 1, 1,
    1, 1, 1, 0, 1,
];

/// Popularity counts baskets of so many.
const BASKETS: f64 = 10_000.0;

/// Weights are whole numbers, so that a basket is the same on every machine; this is what a weight of 1 counts.
const WEIGHT_UNIT: f64 = 1_000_000.0;

/// Draws baskets: the size as real ones have it, the items by popularity, none of them twice.
#[derive(Debug)]
pub struct Simulator {
    /// Names and weights, the heaviest first: most draws end after a few steps.
    range: Vec<(String, u64)>,
    total: u64,
}

impl Simulator {
    /// A simulator over what the catalogue sells.
    ///
    /// An item's weight is not its popularity `p` but the odds `p / (1 - p)`: drawing without replacement takes the
    /// popular ones out of the larger baskets' later draws, and with the odds each ends in its share of baskets.
    #[must_use]
    pub fn new(catalogue: &Catalogue) -> Self {
        let weight = |popularity: u32| {
            let share = f64::from(popularity) / BASKETS;
            (share / (1.0 - share) * WEIGHT_UNIT).round() as u64
        };
        let sold = catalogue.items().iter().filter(|item| item.popularity > 0);
        let mut range: Vec<_> = sold.map(|item| (item.name.clone(), weight(item.popularity))).collect();
        range.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let total = range.iter().map(|(_, weight)| weight).sum();
        Self { range, total }
    }

    /// The next basket.
    pub fn basket(&self, rng: &mut Rng) -> Vec<String> {
        let size = size(rng).min(self.range.len());
        let mut taken: Vec<usize> = Vec::with_capacity(size);
        let mut left = self.total;
        for _ in 0..size {
            let index = self.draw(rng.u64(0..left), &taken);
            left -= self.range[index].1;
            taken.push(index);
        }
        taken.into_iter().map(|index| self.range[index].0.clone()).collect()
    }

    /// The item at this point of the weights that are left.
    fn draw(&self, mut point: u64, taken: &[usize]) -> usize {
        for (index, (_, weight)) in self.range.iter().enumerate() {
            if taken.contains(&index) {
                continue;
            }
            if point < *weight {
                return index;
            }
            point -= weight;
        }
        unreachable!("the point lies below the sum of the weights that are left")
    }
}

fn size(rng: &mut Rng) -> usize {
    let mut point = rng.u32(0..SIZES.iter().sum());
    SIZES.iter().position(|&share| point.checked_sub(share).map(|rest| point = rest).is_none()).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const DRAWN: usize = 50_000;

    /// Draws baskets from a fresh seed, which a failing test has printed.
    fn baskets() -> Vec<Vec<String>> {
        let seed = Rng::new().u64(..);
        println!("seed {seed}");
        let mut rng = Rng::with_seed(seed);
        let simulator = Simulator::new(Catalogue::builtin());
        (0..DRAWN).map(|_| simulator.basket(&mut rng)).collect()
    }

    #[track_caller]
    fn near(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
    }

    #[test]
    fn sizes_are_those_of_real_baskets() {
        assert_eq!(SIZES.iter().sum::<u32>(), 10_000);
        let mut sizes: Vec<usize> = baskets().iter().map(Vec::len).collect();
        sizes.sort_unstable();
        near(sizes.iter().sum::<usize>() as f64 / DRAWN as f64, 4.46, 0.1);
        let percentile = |percent: usize| sizes[DRAWN * percent / 100];
        assert_eq!(percentile(50), 3);
        assert_eq!(percentile(90), 9);
        near(percentile(95) as f64, 12.0, 1.0);
        near(percentile(99) as f64, 17.0, 1.0);
        assert!(sizes.iter().all(|size| (1..=32).contains(size)));
        let real_percents = [22.2, 16.9, 12.4, 9.9, 8.5, 6.7, 5.5, 4.8, 3.9, 2.5];
        for (size, percent) in (1..).zip(real_percents) {
            let drawn = sizes.iter().filter(|&&drawn| drawn == size).count();
            near(100.0 * drawn as f64 / DRAWN as f64, percent, 0.8);
        }
    }

    #[test]
    fn items_are_as_popular_as_in_real_baskets() {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for item in baskets().into_iter().flatten() {
            *counts.entry(item).or_default() += 1;
        }
        let real_percents = [
            ("whole milk", 26.0),
            ("other vegetables", 20.0),
            ("rolls/buns", 19.0),
            ("soda", 18.0),
            ("yogurt", 14.0),
            ("root vegetables", 11.0),
            ("bottled water", 11.0),
            ("tropical fruit", 10.0),
        ];
        for (item, percent) in real_percents {
            near(100.0 * counts[item] as f64 / DRAWN as f64, percent, 1.2);
        }
        let mut by_rank: Vec<usize> = counts.into_values().collect();
        by_rank.sort_unstable_by(|a, b| b.cmp(a));
        let picks: usize = by_rank.iter().sum();
        near(by_rank[..10].iter().sum::<usize>() as f64 / picks as f64, 0.33, 0.02);
        near(by_rank[..50].iter().sum::<usize>() as f64 / picks as f64, 0.78, 0.02);
        // The slope of ln(count) over ln(rank) by least squares.
        let points: Vec<(f64, f64)> =
            by_rank[..100].iter().zip(1..).map(|(&count, rank)| (f64::from(rank).ln(), (count as f64).ln())).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>()
            / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
        near(slope, -0.89, 0.06);
    }

    #[test]
    fn a_basket_holds_no_item_twice() {
        for basket in baskets() {
            assert_eq!(basket.iter().collect::<HashSet<_>>().len(), basket.len(), "{basket:?}");
        }
    }

    #[test]
    fn a_small_range_gives_small_baskets() {
        let text = "item,aisle,walk,price,popularity\na,x,1,1.00,9999\nb,x,2,1.00,1\nc,x,3,1.00,0\n";
        let simulator = Simulator::new(&Catalogue::parse(text, "test").unwrap());
        let mut rng = Rng::with_seed(7);
        let largest = (0..1000).map(|_| simulator.basket(&mut rng).len()).max();
        assert_eq!(largest, Some(2));
    }

    #[test]
    fn the_same_seed_draws_the_same_baskets() {
        let simulator = Simulator::new(Catalogue::builtin());
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..100).map(|_| simulator.basket(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
