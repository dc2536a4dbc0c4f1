//! UTC dates of Unix times, on the proleptic Gregorian calendar.

const DAY: i64 = 86_400;

/// A moment, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// Days since 1970-01-01.
    days: i64,
    second_of_day: u32,
}

impl Moment {
    /// Of Unix seconds, truncated toward zero.
    pub fn at(seconds: f64) -> Self {
        let seconds = seconds as i64;
        let days = seconds.div_euclid(DAY);
        // Count years from March, so that the leap day is the last of its year; 146,097 days make 400 years.
        let from_march = days.saturating_add(719_468);
        let era = from_march.div_euclid(146_097);
        let day_of_era = from_march.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            days,
            second_of_day: seconds.rem_euclid(DAY) as u32,
        }
    }

    /// 0 is Sunday.
    pub fn weekday(self) -> u32 {
        (self.days + 4).rem_euclid(7) as u32
    }

    /// From 1.
    pub fn day_of_year(self) -> u32 {
        (1..self.month)
            .map(|month| days_in(self.year, month))
            .sum::<u32>()
            + self.day
    }

    pub fn days_in_month(self) -> u32 {
        days_in(self.year, self.month)
    }

    pub fn hour(self) -> u32 {
        self.second_of_day / 3600
    }

    pub fn minute(self) -> u32 {
        self.second_of_day / 60 % 60
    }
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_times() {
        let date = |seconds: f64| {
            let m = Moment::at(seconds);
            (
                m.year,
                m.month,
                m.day,
                m.hour(),
                m.minute(),
                m.weekday(),
                m.day_of_year(),
            )
        };
        assert_eq!(date(0.0), (1970, 1, 1, 0, 0, 4, 1));
        assert_eq!(date(1_136_239_445.0), (2006, 1, 2, 22, 4, 1, 2));
        assert_eq!(date(951_782_400.0), (2000, 2, 29, 0, 0, 2, 60));
        assert_eq!(date(-1.0), (1969, 12, 31, 23, 59, 3, 365));
        assert_eq!(date(1_230_767_999.0), (2008, 12, 31, 23, 59, 3, 366));
    }

    #[test]
    fn every_day_of_the_calendar_follows_the_last() {
        let mut before = Moment::at(-800.0 * 366.0 * 86_400.0);
        for day in 1..600_000_i64 {
            let today = Moment::at((-800 * 366 * DAY + day * DAY) as f64);
            let expected = if before.day < before.days_in_month() {
                (before.year, before.month, before.day + 1)
            } else if before.month < 12 {
                (before.year, before.month + 1, 1)
            } else {
                (before.year + 1, 1, 1)
            };
            assert_eq!((today.year, today.month, today.day), expected);
            before = today;
        }
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        for value in [f64::MAX, f64::MIN, f64::NAN, f64::INFINITY] {
            let moment = Moment::at(value);
            assert!((1..=12).contains(&moment.month) && moment.day_of_year() >= 1);
        }
    }
}
