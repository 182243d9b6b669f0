//! Decimal amounts, compared and added exactly.
//!
//! Protects against a limit or a total that rounds: amounts are text, and here
//! integers, never floats.

/// Digits after the point at most.
const FRACTION: usize = 4;
/// Digits before the point at most.
const WHOLE: usize = 15;

/// A decimal amount in ten-thousandths, such as 2 500 000 for `250.00`: at most 15
/// digits before the point and 4 after it, no sign, no leading zeros. `None` for
/// any other spelling. Zero is an amount here.
pub fn ten_thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = |part: &str, max| {
        (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let well_formed = digits(whole, WHOLE)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(|fraction| digits(fraction, FRACTION));
    if !well_formed {
        return None;
    }
    let fraction = fraction.unwrap_or_default();
    // 19 digits always fit.
    format!("{whole}{fraction:0<FRACTION$}").parse().ok()
}

/// An ISO 4217 code as it is spelled: three capital letters.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_one_value_and_no_other_spelling() {
        for (text, value) in [
            ("0", 0),
            ("0.0001", 1),
            ("250.00", 2_500_000),
            ("250", 2_500_000),
            ("0.1", 1_000),
            ("999999999999999.9999", 9_999_999_999_999_999_999),
        ] {
            assert_eq!(ten_thousandths(text), Some(value), "{text}");
        }
        for wrong in [
            "",
            "00.1",
            "01",
            "-1",
            "+1",
            "1.",
            ".5",
            "1e3",
            "1,00",
            " 1",
            "1.00000",
            "1234567890123456",
            "1.2.3",
            "٣",
            "0x1",
        ] {
            assert_eq!(ten_thousandths(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_floats_get_wrong_is_right_here() {
        let value = |text| ten_thousandths(text).unwrap();
        assert_eq!(value("0.1") + value("0.2"), value("0.3"));
        assert!(value("100000000000000.0001") > value("100000000000000"));
    }
}
