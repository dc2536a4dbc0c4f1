//! The life of a target: it restarts, and now and then another one takes its place.

use super::random::derive;

/// How many steps pass between two events of a target; 0: none ever. Each target has a phase of its own, so that over
/// all targets the events are spread evenly.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    period: u64,
    phase: u64,
}

impl Cycle {
    fn new(period: u32, seed: u64) -> Self {
        let period = u64::from(period);
        Self {
            period,
            phase: if period == 0 { 0 } else { seed % period },
        }
    }

    /// How many events came before this step, and how many steps ago the last of them was.
    fn at(self, step: u32) -> (u64, u64) {
        let place = u64::from(step) + self.phase;
        place
            .checked_div(self.period)
            .map_or((0, place), |events| (events, place % self.period))
    }
}

/// What a scrape meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The labels of another incarnation are other labels.
    pub incarnation: u64,
    /// Steps since the counters began at zero.
    pub up: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Lives {
    replaced: Cycle,
    restarted: Cycle,
}

impl Lives {
    pub fn new(lifetime: u32, uptime: u32, seed: u64) -> Self {
        Self {
            replaced: Cycle::new(lifetime, derive(seed, "replaced", 0)),
            restarted: Cycle::new(uptime, derive(seed, "restarted", 0)),
        }
    }

    pub fn at(self, step: u32) -> Life {
        let (incarnation, age) = self.replaced.at(step);
        let (_, since_restart) = self.restarted.at(step);
        Life {
            incarnation,
            up: age.min(since_restart),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cycles_counters_run_from_the_first_step() {
        let lives = Lives::new(0, 0, 9);
        assert_eq!(
            lives.at(7),
            Life {
                incarnation: 0,
                up: 7
            }
        );
    }

    #[test]
    fn a_replaced_target_begins_at_zero() {
        let lives = Lives::new(10, 0, 3);
        let begun = (1..30)
            .filter(|&step| lives.at(step).incarnation != lives.at(step - 1).incarnation)
            .collect::<Vec<_>>();
        assert!(begun.len() >= 2);
        assert!(begun.windows(2).all(|pair| pair[1] - pair[0] == 10));
        assert!(begun.iter().all(|&step| lives.at(step).up == 0));
    }

    #[test]
    fn a_restart_keeps_the_labels() {
        let lives = Lives::new(0, 5, 3);
        assert!((0..20).all(|step| lives.at(step).incarnation == 0 && lives.at(step).up < 5));
        assert!((0..20).any(|step| lives.at(step).up == 0));
    }
}
