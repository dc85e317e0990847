//! Numbers as patterns compare them (`docs/semantics.md` 7.2): by value where a double holds exactly what is written, else by
//! their text alone. So `300`, `300.0` and `3e2` are equal, and neighbours beyond 2^53 are not.

/// A number of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Number {
    text: Box<str>,
    /// `None`: no double holds it.
    value: Option<f64>,
}

/// What `numeric` asks for: any number between its bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NumberRange {
    pub(super) lower: Option<Bound>,
    pub(super) upper: Option<Bound>,
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) value: f64,
    /// As it is written.
    pub(super) text: Box<str>,
    /// Whether the bound itself is inside.
    pub(super) inclusive: bool,
}

impl Number {
    /// A JSON number as it is written.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), value: comparable(text) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a JSON number as it is written is this one.
    pub(super) fn equals(&self, text: &str) -> bool {
        match self.value {
            Some(value) => comparable(text) == Some(value),
            None => *self.text == *text,
        }
    }
}

impl NumberRange {
    /// Whether a JSON number as it is written lies inside.
    pub(super) fn contains(&self, text: &str) -> bool {
        let Some(value) = comparable(text) else { return false };
        let above = |bound: &Bound| value > bound.value || (bound.inclusive && value >= bound.value);
        let below = |bound: &Bound| value < bound.value || (bound.inclusive && value <= bound.value);
        self.lower.as_ref().is_none_or(above) && self.upper.as_ref().is_none_or(below)
    }

    /// Whether no number can lie inside.
    pub(super) fn is_empty(&self) -> bool {
        let (Some(lower), Some(upper)) = (&self.lower, &self.upper) else { return false };
        lower.value > upper.value || (lower.value >= upper.value && !(lower.inclusive && upper.inclusive))
    }
}

/// The double that is exactly what is written, by the shortest decimal that stands for it.
pub(super) fn comparable(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    (Decimal::of(text)? == Decimal::of(&format!("{value:e}"))?).then_some(value)
}

/// A decimal in its one normal form.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end; none of them is zero.
    digits: String,
    /// Of the place before the first digit.
    exponent: i64,
}

impl Decimal {
    /// `None` if the exponent is beyond all bounds.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let places = i64::try_from(digits.len()).ok()?;
        let fraction = i64::try_from(fraction.len()).ok()?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(places)?.checked_sub(fraction)?;
        Some(Self { negative, digits: significant.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `docs/semantics.md` 7.2 (invariant 110)
    #[test]
    fn numbers_are_equal_by_value_however_they_are_written() {
        for (one, other) in
            [("300", "300.0"), ("300", "3.0e2"), ("0.1", "1E-1"), ("-0", "0"), ("0.00", "0e9"), ("1e300", "10e299")]
        {
            assert!(Number::new(one).equals(other), "{one} is {other}");
        }
        for (one, other) in [("1", "2"), ("1", "-1"), ("0.1", "0.10000000000000001")] {
            assert!(!Number::new(one).equals(other), "{one} is not {other}");
        }
    }

    /// `docs/semantics.md` 7.2
    #[test]
    fn a_number_that_no_double_holds_equals_only_its_own_text() {
        for text in
            ["9007199254740993", "12345678901234567890", "0.30000000000000000001", "1e400", "1e99999999999999999999"]
        {
            assert!(Number::new(text).equals(text), "{text}");
            assert_eq!(comparable(text), None, "{text}");
        }
        assert!(!Number::new("9007199254740993").equals("9007199254740992"));
        assert!(!Number::new("9007199254740992").equals("9007199254740993"));
        assert!(!Number::new("9007199254740993").equals("9007199254740993.0"));
        assert!(Number::new("9007199254740992").equals("9007199254740992.0"), "a double holds it");
    }

    #[test]
    fn a_range_holds_what_lies_between_its_bounds() {
        let range = NumberRange { lower: Some(bound("0", false)), upper: Some(bound("5", true)) };
        let inside = |text: &str| range.contains(text);
        assert!(!inside("0") && inside("0.001") && inside("5.0") && !inside("5.001") && !inside("9007199254740993"));
    }

    #[test]
    fn a_range_without_numbers_is_empty() {
        let is_empty = |lower, upper| NumberRange { lower: Some(lower), upper: Some(upper) }.is_empty();
        assert!(is_empty(bound("5", true), bound("3", true)));
        assert!(is_empty(bound("5", true), bound("5", false)));
        assert!(!is_empty(bound("5", true), bound("5", true)));
        assert!(!NumberRange { lower: None, upper: Some(bound("5", false)) }.is_empty());
    }

    proptest! {
        #[test]
        fn every_double_is_held_by_itself(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            prop_assert_eq!(comparable(&format!("{value}")), Some(value));
            prop_assert_eq!(comparable(&format!("{value:e}")), Some(value));
        }

        #[test]
        fn whole_numbers_are_told_apart(one: i64, step in 1_i64..4) {
            let other = one.wrapping_add(step);
            prop_assert!(Number::new(&one.to_string()).equals(&one.to_string()));
            prop_assert!(!Number::new(&one.to_string()).equals(&other.to_string()));
        }
    }

    fn bound(text: &str, inclusive: bool) -> Bound {
        Bound { value: comparable(text).expect("a double"), text: text.into(), inclusive }
    }
}
