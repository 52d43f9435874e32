//! UTC timestamps as RFC 3339 with milliseconds, without a date library: the civil calendar from
//! days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").

use std::time::{SystemTime, UNIX_EPOCH};

/// Writes timestamps; all but the milliseconds is kept for as long as it holds.
pub struct Clock {
    second: u64,
    text: [u8; 19],
}

impl Default for Clock {
    fn default() -> Self {
        Self { second: 0, text: civil(0) }
    }
}

impl Clock {
    /// Appends `2026-01-02T03:04:05.678Z`.
    pub fn write(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            self.text = civil(self.second);
        }
        out.extend_from_slice(&self.text);
        let [a, b, c] = digits(u64::from(since.subsec_millis()));
        out.extend_from_slice(&[b'.', a, b, c, b'Z']);
    }
}

fn civil(seconds: u64) -> [u8; 19] {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, second_of_day / 3600),
        (14, second_of_day / 60 % 60),
        (17, second_of_day % 60),
    ];
    for (at, number) in parts {
        let [_, tens, ones] = digits(number);
        text[at] = tens;
        text[at + 1] = ones;
    }
    text
}

/// The last three digits.
pub fn digits(number: u64) -> [u8; 3] {
    let digit = |number: u64| b'0' + u8::try_from(number % 10).unwrap_or(0);
    [digit(number / 100), digit(number / 10), digit(number)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn known_moments_are_written_right() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_772_323_199_005, "2026-02-28T23:59:59.005Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            Clock::default().write(UNIX_EPOCH + Duration::from_millis(ms), &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
        }
    }
}
