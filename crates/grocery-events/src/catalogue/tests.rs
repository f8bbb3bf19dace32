use super::*;

const HEADER: &str = "item,aisle,walk,price,popularity\n";

fn refusal(lines: &str) -> String {
    Catalogue::parse(&format!("{HEADER}{lines}"), "mine.csv").unwrap_err().to_string()
}

#[test]
fn the_built_in_catalogue_is_a_supermarkets_range() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.items().len(), 174);
    assert!(catalogue.items().is_sorted_by_key(|item| item.walk));
    let aisles: HashSet<_> = catalogue.items().iter().map(|item| &item.aisle).collect();
    assert_eq!(aisles.len(), 21);
    for item in catalogue.items() {
        assert!(item.popularity > 0 && item.price > Cents(0), "{item:?}");
    }
    let milk = catalogue.find("whole milk").unwrap();
    assert_eq!((milk.aisle.as_str(), milk.price, milk.popularity), ("dairy and eggs", Cents(109), 2590));
}

#[test]
fn a_picker_enters_each_aisle_once() {
    let mut walked: Vec<&str> = Catalogue::builtin().items().iter().map(|item| item.aisle.as_str()).collect();
    walked.dedup();
    let distinct: HashSet<_> = walked.iter().collect();
    assert_eq!(walked.len(), distinct.len());
}

#[test]
fn popularity_follows_the_figures_of_real_baskets() {
    let mut shares: Vec<u32> = Catalogue::builtin().items().iter().map(|item| item.popularity).collect();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    let picks: u32 = shares.iter().sum();
    let first = |count: usize| f64::from(shares[..count].iter().sum::<u32>()) / f64::from(picks);
    assert!((first(10) - 0.33).abs() < 0.01, "the first ten items are a third of all picks: {}", first(10));
    assert!((first(50) - 0.78).abs() < 0.01, "the first fifty items are 78 % of all picks: {}", first(50));
    assert!((f64::from(picks) / 10_000.0 - 4.46).abs() < 0.05, "items in a basket: {picks}");
}

#[test]
fn names_with_blanks_slashes_and_parentheses_are_found() {
    let catalogue = Catalogue::builtin();
    for name in ["cream cheese ", " red/blush wine", "flower (seeds)", "artif. sweetener", "Instant food products"] {
        assert!(catalogue.stock(name).known, "{name:?}");
    }
}

#[test]
fn an_unknown_item_gets_the_stated_defaults() {
    let stock = Catalogue::builtin().stock("dragon fruit");
    let defaults = Stock { aisle: UNKNOWN_AISLE, walk: UNKNOWN_WALK, price: UNKNOWN_PRICE, known: false };
    assert_eq!(stock, defaults);
}

#[test]
fn another_catalogue_may_come_in_any_order_with_quotes_and_windows_line_ends() {
    let text =
        "\u{feff}item, aisle ,walk,price,popularity\r\n\r\nb,\"x, y\",2,1.5,10\r\n\"a, or \"\"A\"\"\",x,1,2,0\r\n";
    let catalogue = Catalogue::parse(text, "mine.csv").unwrap();
    let names: Vec<_> = catalogue.items().iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["a, or \"A\"", "b"]);
    let stock = catalogue.stock("b");
    assert_eq!((stock.aisle, stock.price), ("x, y", Cents(150)));
}

#[test]
fn an_error_names_line_and_column() {
    let expected = [
        (
            "milk,dairy,1,1.09,10\n\neggs,dairy,2,1.234,10",
            "line 4, column 14: the price has to be an amount such as 1.49",
        ),
        ("milk,dairy,one,1.09,10", "line 2, column 12: the place in the walking order has to be a whole number from 0"),
        ("milk,dairy,1,1.09,10000", "line 2, column 19: the popularity has to be a whole number from 0 to 9999"),
        ("milk,dairy,1,1.09", "line 2, column 1: 5 columns are needed"),
        (",dairy,1,1.09,10", "line 2, column 1: the item's name has to be 1 to 256 bytes"),
        ("milk,d,1,1.09,10\nmilk,d,2,1.09,10", "line 3, column 1: an item may be listed once only"),
        (
            "milk,d,1,1.09,10\neggs,d,1,1.09,10",
            "line 3, column 8: a place in the walking order belongs to one item only",
        ),
        ("\"milk,dairy,1,1.09,10", "line 2, column 1: the quote that opens here is not closed in this line"),
    ];
    for (lines, message) in expected {
        let refusal = refusal(lines);
        assert!(refusal.contains(&format!("the catalogue mine.csv cannot be used: {message}")), "{refusal}");
    }
    assert!(refusal("").contains("nothing to sell"));
    let headless = Catalogue::parse("milk,dairy,1,1.09,10", "mine.csv").unwrap_err().to_string();
    assert!(headless.contains("line 1, column 1: the first line has to be `item,aisle,walk,price,popularity`"));
}

#[test]
fn a_missing_file_is_named_with_the_flag_that_set_it() {
    let message = Catalogue::read(Path::new("/nowhere/catalogue.csv")).unwrap_err().to_string();
    assert!(message.starts_with("cannot read the catalogue /nowhere/catalogue.csv (--catalogue): "), "{message}");
}
