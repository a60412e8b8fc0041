//! Quantities with their units, as people write them: shares, rates, sizes, factors. A bare number is refused.

use std::{fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A quantity kept as a whole number of its smallest unit and written with one of its units.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($number:ty), $what:literal, $example:literal, $pattern:literal, [$($suffix:literal = $size:literal),+]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $number);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                let units: &[(&str, u64)] = &[$(($suffix, $size)),+];
                let read = read(text.trim(), units).and_then(|number| <$number>::try_from(number).ok());
                read.map($name).ok_or_else(|| {
                    format!(concat!("{:?} is not ", $what, ": write a number with its unit, as in ", $example), text)
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, u64::from(self.0), &[$(($suffix, $size)),+])
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": concat!($what, ", with its unit: ", $example, "."),
                    "pattern": $pattern
                })
            }
        }
    };
}

quantity!(
    /// A share, in millionths: `0.5%`.
    Percent(u32), "a share", "1% or 0.5%", r"^[0-9]+(\.[0-9]+)?%$", ["%" = 10_000]
);
quantity!(
    /// Bits per second, decimal: `10Mbit`.
    Bitrate(u64), "a bandwidth", "512Kbit, 10Mbit or 1Gbit", r"^[0-9]+(\.[0-9]+)?([KMG]bit)$",
    ["Kbit" = 1_000, "Mbit" = 1_000_000, "Gbit" = 1_000_000_000]
);
quantity!(
    /// Bytes, as Kubernetes writes them: `64Mi`.
    Bytes(u64), "a size", "512B, 4Ki, 64Mi or 1Gi", r"^[0-9]+(\.[0-9]+)?(B|[KMG]i)$",
    ["B" = 1, "Ki" = 1_024, "Mi" = 1_048_576, "Gi" = 1_073_741_824]
);
quantity!(
    /// Thousandths per second: `200/s`.
    Frequency(u32), "a rate", "200/s or 0.5/s", r"^[0-9]+(\.[0-9]+)?/s$", ["/s" = 1_000]
);
quantity!(
    /// Thousandths of a processor's core, as Kubernetes writes them: `50m`.
    Millicores(u32), "a share of a core", "50m, which is a twentieth of a core", r"^[0-9]+m$", ["m" = 1]
);
quantity!(
    /// Hundredths of a ratio: `3x`, `1.5x`.
    Factor(u32), "a ratio", "3x or 1.5x", r"^[0-9]+(\.[0-9]+)?x$", ["x" = 100]
);

/// Exact: what the smallest unit cannot express is refused rather than rounded.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let size = units.iter().find(|(suffix, _)| *suffix == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.ends_with('.') || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(size)?;
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.checked_mul(size)? };
    (fraction % parts == 0).then(|| whole.checked_add(fraction / parts)).flatten()
}

/// In the largest unit that writes it without a fraction, else in the smallest with one.
fn write(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    if let Some((suffix, size)) =
        units.iter().rev().find(|(_, size)| number >= *size && number.is_multiple_of(*size))
    {
        return write!(f, "{}{suffix}", number / size);
    }
    let Some((suffix, size)) = units.first() else { return Ok(()) };
    let (whole, mut rest) = (number / size, number % size);
    write!(f, "{whole}")?;
    if rest > 0 {
        f.write_str(".")?;
    }
    while rest > 0 {
        rest *= 10;
        write!(f, "{}", rest / size)?;
        rest %= size;
    }
    f.write_str(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_what_they_write() {
        for text in ["1%", "0.5%", "0.0001%", "100%", "0%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        assert_eq!("1.5Mbit".parse(), Ok(Bitrate(1_500_000)));
        assert_eq!(Bitrate(1_500_000).to_string(), "1500Kbit");
        assert_eq!("64Mi".parse(), Ok(Bytes(64 << 20)));
        assert_eq!(Bytes(1500).to_string(), "1500B");
        assert_eq!("0.5/s".parse(), Ok(Frequency(500)));
        assert_eq!(("3x".parse(), "1.25x".parse()), (Ok(Factor(300)), Ok(Factor(125))));
        assert_eq!("50m".parse(), Ok(Millicores(50)));
    }

    #[test]
    fn a_quantity_needs_a_unit_and_no_more_digits_than_there_are() {
        for wrong in ["", "5", "%", "-1%", "1.%", "0.00001%", "1 %", "99999999999999999999%", "1.5"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong:?} was taken");
        }
        assert!("1.5m".parse::<Millicores>().is_err());
        assert!("10mbit".parse::<Bitrate>().is_err(), "m is a thousandth");
    }
}
