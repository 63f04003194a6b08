//! The table, in Markdown.

use crate::measure::Found;

pub const HEAD: &str = "\
| policies | peer | version | p50 ns | p99 ns | mean ns | decisions/s | × cedar-policy | agrees | note |
|--:|---|---|--:|--:|--:|--:|--:|--:|---|";

/// One peer's row; `stock` is the mean of cedar-policy at this size.
pub fn row(policies: usize, found: &Found, stock: f64) -> String {
    let times = match found.times {
        Some(times) => [
            grouped(times.p50),
            grouped(times.p99),
            grouped(times.mean),
            grouped(1e9 / times.mean),
            ratio(times.mean / stock),
        ],
        None => ["-"; 5].map(str::to_owned),
    };
    format!(
        "| {} | {} | {} | {} | {} of {} | {} |",
        grouped(policies as f64),
        found.name,
        found.version,
        times.join(" | "),
        grouped(found.agreed as f64),
        grouped(found.asked as f64),
        found.note,
    )
}

/// Four decimals below a tenth, two below ten, none above.
fn ratio(of: f64) -> String {
    if of < 0.1 {
        format!("{of:.4}")
    } else if of < 10.0 {
        format!("{of:.2}")
    } else {
        grouped(of)
    }
}

/// `1234567.8` as `1,234,568`.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, ratio};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [7.0, 70.4, 700.0, 7_000.0, 1_234_567.8].map(grouped);
        assert_eq!(shown, ["7", "70", "700", "7,000", "1,234,568"]);
    }

    #[test]
    fn ratios_keep_the_digits_that_count() {
        assert_eq!(
            [0.00123, 0.25, 1.0, 1_500.0].map(ratio),
            ["0.0012", "0.25", "1.00", "1,500"]
        );
    }
}
