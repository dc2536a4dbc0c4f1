//! Targets that are scraped at an interval: when, under which labels, and the bodies that carry what was found.

use std::ops::Range;

use parking_lot::Mutex;

use super::family::Families;
use super::life::{Life, Lives};
use super::random::{chosen, derive, hash};
use crate::model::{Millis, STALE_BITS};
use crate::wire::encode::{put_bytes, put_label, put_varint};
use crate::wire::snappy;
use crate::{Error, Result};

/// Times between these have varints of six bytes, so that a body can be filled in place: from 1971 to 2109.
const TIMES: Range<Millis> = 1 << 35..1 << 42;

/// Tag and length of a sample, tag and value, tag of the time; six bytes of time follow.
const SAMPLE_BYTES: usize = 2 + 9 + 1 + 6;

/// What is held back or repeated is sent 1 to so many steps later.
const LATEST: u32 = 8;

/// Most series that a target may have, so that its body stays far below what servers accept.
const MAX_BATCH: usize = 20_000;

/// What is to be made up. Equal plans make equal bytes.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// The value of the label `run`, which keeps the series of several runs apart.
    pub run: String,
    /// Series at any one time.
    pub series: usize,
    /// Series of a target, hence samples of a body. The last target has what is left.
    pub batch: usize,
    /// Step k of a target is scraped once within `start_ms + k × interval_ms` and the same for k + 1.
    pub start_ms: Millis,
    pub interval_ms: Millis,
    /// A scrape is off its place by at most this.
    pub jitter_ms: Millis,
    /// Steps after which another target takes the place of one; 0: never.
    pub lifetime: u32,
    /// Steps after which a target restarts, its counters at zero and its labels the same; 0: never.
    pub uptime: u32,
    /// Share of the series that belong to classic histograms.
    pub histograms: f64,
    /// Share of the bodies that are sent some steps late.
    pub late: f64,
    /// Share of the bodies that are sent again some steps later.
    pub twice: f64,
    /// Share of the bodies that are sent again with other values, once they have been acknowledged.
    pub altered: f64,
}

impl Plan {
    fn check(&self) -> Result<()> {
        let problem = if self.series == 0 {
            "there must be at least one series"
        } else if self.batch == 0 || self.batch > MAX_BATCH {
            "a batch has 1 to 20000 series"
        } else if !(4..=86_400_000).contains(&self.interval_ms) {
            "the interval is between 4 ms and a day"
        } else if self.jitter_ms < 0 || 2 * self.jitter_ms > self.interval_ms - 4 {
            "the jitter must be less than half of the interval"
        } else if !TIMES.contains(&self.start_ms) {
            "times lie between 1971 and 2109"
        } else if [self.histograms, self.late, self.twice, self.altered]
            .iter()
            .any(|share| !(0.0..=1.0).contains(share))
        {
            "a share is between 0 and 1"
        } else {
            return Ok(());
        };
        Err(Error::BadData(problem.to_owned()))
    }
}

/// One body to send at a step: which step's, and why now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    OnTime(u32),
    Late(u32),
    Again(u32),
    Altered(u32),
}

/// A target's place in the fleet; what fills it may be replaced.
#[derive(Debug)]
pub struct Target {
    pub number: usize,
    pub families: Families,
    seed: u64,
    lives: Lives,
    phase: Millis,
    template: Mutex<Option<Template>>,
}

/// The body of an incarnation, whose values and times are still to be filled in.
#[derive(Debug)]
struct Template {
    incarnation: u64,
    body: Vec<u8>,
    /// Where each series' sample begins.
    samples: Vec<u32>,
}

#[derive(Debug)]
pub struct Model {
    plan: Plan,
    targets: Vec<Target>,
}

impl Model {
    pub fn new(plan: Plan) -> Result<Self> {
        plan.check()?;
        let targets = (0..plan.series.div_ceil(plan.batch))
            .map(|number| {
                let seed = derive(plan.seed, "target", number as u64);
                let series = plan.batch.min(plan.series - number * plan.batch);
                let room = plan.interval_ms - 2 * plan.jitter_ms - 2;
                Target {
                    number,
                    families: Families::new(series, plan.histograms),
                    seed,
                    lives: Lives::new(plan.lifetime, plan.uptime, seed),
                    phase: plan.jitter_ms + 1 + (derive(seed, "phase", 0) % room.max(1) as u64) as Millis,
                    template: Mutex::new(None),
                }
            })
            .collect();
        Ok(Self { plan, targets })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    pub fn target(&self, target: usize) -> Result<&Target> {
        self.targets.get(target).ok_or_else(|| {
            Error::BadData(format!(
                "there is no target {target}, only {} of them",
                self.targets.len()
            ))
        })
    }

    /// When a target is scraped, from the beginning of its steps, jitter apart.
    pub fn phase_ms(&self, target: usize) -> Result<Millis> {
        Ok(self.target(target)?.phase)
    }

    /// The time of a target's samples.
    pub fn time(&self, target: &Target, step: u32) -> Millis {
        let jitter = self.plan.jitter_ms;
        let off = if jitter == 0 {
            0
        } else {
            (hash(derive(target.seed, "jitter", 0), u64::from(step)) % (2 * jitter as u64 + 1)) as Millis
                - jitter
        };
        self.plan.start_ms + Millis::from(step) * self.plan.interval_ms + target.phase + off
    }

    pub fn life(target: &Target, step: u32) -> Life {
        target.lives.at(step)
    }

    /// Appends the values of a target's series at a step.
    pub fn values(target: &Target, step: u32, out: &mut Vec<f64>) {
        let life = target.lives.at(step);
        target
            .families
            .values(target.incarnation_seed(life.incarnation), life, step, out);
    }

    /// What is sent at this step, in order. A late or repeated body has its turn 1 to 8 steps after its own.
    pub fn turns(&self, target: usize, step: u32) -> Result<Vec<Turn>> {
        let seed = self.target(target)?.seed;
        let turn = |purpose: &str, share: f64, of: u32| {
            let number = hash(derive(seed, purpose, 0), u64::from(of));
            chosen(number, share).then(|| of + 1 + (number % u64::from(LATEST)) as u32)
        };
        let mut turns = Vec::with_capacity(1);
        if turn("late", self.plan.late, step).is_none() {
            turns.push(Turn::OnTime(step));
        }
        if self.plan.late + self.plan.twice + self.plan.altered > 0.0 {
            for of in step.saturating_sub(LATEST)..step {
                let due = |purpose, share| turn(purpose, share, of) == Some(step);
                turns.extend(due("late", self.plan.late).then_some(Turn::Late(of)));
                turns.extend(due("twice", self.plan.twice).then_some(Turn::Again(of)));
                turns.extend(due("altered", self.plan.altered).then_some(Turn::Altered(of)));
            }
        }
        Ok(turns)
    }

    /// Samples that can be asked for in the body of a step: those of its series, without stale markers.
    pub fn samples(&self, target: usize) -> Result<usize> {
        Ok(self.target(target)?.families.series())
    }

    /// A remote-write 1.0 body in snappy. Where an incarnation has just ended, its series get their stale markers too.
    pub fn body(&self, target: usize, step: u32, altered: bool) -> Result<Vec<u8>> {
        let target = self.target(target)?;
        let time = self.time(target, step);
        if !TIMES.contains(&time) {
            return Err(Error::BadData("times lie between 1971 and 2109".to_owned()));
        }
        let mut values = Vec::with_capacity(target.families.series());
        Self::values(target, step, &mut values);
        if altered {
            for value in &mut values {
                *value += 1.0;
            }
        }
        let life = target.lives.at(step);
        let ended = step
            .checked_sub(1)
            .map(|before| target.lives.at(before).incarnation)
            .filter(|&before| before != life.incarnation && !altered);
        let mut slot = target.template.lock();
        let template = match &mut *slot {
            Some(template) if template.incarnation == life.incarnation => template,
            slot => slot.insert(self.template(target, life.incarnation)),
        };
        template.fill(time, values.iter().map(|value| value.to_bits()));
        match ended {
            None => snappy::compress(&template.body),
            Some(incarnation) => {
                let mut last = self.template(target, incarnation);
                last.fill(time, std::iter::repeat(STALE_BITS));
                snappy::compress(&[template.body.as_slice(), &last.body].concat())
            }
        }
    }

    fn template(&self, target: &Target, incarnation: u64) -> Template {
        let mut template = Template {
            incarnation,
            body: Vec::with_capacity(target.families.series() * 176),
            samples: Vec::with_capacity(target.families.series()),
        };
        let mut encoded = Vec::new();
        for place in 0..target.families.series() {
            encoded.clear();
            for (name, value) in self.labels(target, incarnation, place) {
                put_label(&mut encoded, name.as_bytes(), value.as_bytes());
            }
            template.body.push(0x0a);
            put_varint(&mut template.body, (encoded.len() + SAMPLE_BYTES) as u64);
            template.body.extend_from_slice(&encoded);
            template.samples.push(template.body.len() as u32);
            put_bytes(&mut template.body, 0x12, &[0; SAMPLE_BYTES - 2]);
        }
        template
    }

    /// All labels of a series, sorted by name.
    pub fn labels(&self, target: &Target, incarnation: u64, place: usize) -> Vec<(&'static str, String)> {
        let mut labels = target.families.labels(place);
        let (number, job) = (target.number, target.number % 10);
        let seed = target.incarnation_seed(incarnation);
        let [a, b, c, d, ..] = seed.to_le_bytes();
        labels.extend([
            ("instance", format!("10.{a}.{b}.{c}:{}", 9100 + u32::from(d))),
            ("job", format!("load-{job}")),
            ("node", node(number)),
            ("pod", format!("load-{job}-{:09x}-{incarnation}", seed >> 28)),
            ("run", self.plan.run.clone()),
        ]);
        labels.sort_unstable();
        labels
    }

    /// Matchers of all series that a target ever has: what stays when it is replaced.
    pub fn matchers(&self, target: usize) -> Result<Vec<(&'static str, String)>> {
        let target = self.target(target)?;
        Ok(vec![
            ("node", node(target.number)),
            ("run", self.plan.run.clone()),
        ])
    }
}

impl Target {
    pub fn incarnation_seed(&self, incarnation: u64) -> u64 {
        derive(self.seed, "incarnation", incarnation)
    }
}

impl Template {
    fn fill(&mut self, time: Millis, values: impl Iterator<Item = u64>) {
        let mut varint = Vec::with_capacity(6);
        put_varint(&mut varint, time as u64);
        for (&start, bits) in self.samples.iter().zip(values) {
            let start = start as usize;
            let sample = &mut self.body[start..start + SAMPLE_BYTES];
            sample[2] = 0x09;
            sample[3..11].copy_from_slice(&bits.to_le_bytes());
            sample[11] = 0x10;
            sample[12..].copy_from_slice(&varint);
        }
    }
}

fn node(number: usize) -> String {
    format!("node-{number:05}")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::Uid;
    use crate::wire::{Form, Splitter, WriteLimits};

    fn plan() -> Plan {
        Plan {
            seed: 1,
            run: "test".to_owned(),
            series: 130,
            batch: 50,
            start_ms: 1_700_000_000_000,
            interval_ms: 15_000,
            jitter_ms: 0,
            lifetime: 0,
            uptime: 0,
            histograms: 0.3,
            late: 0.0,
            twice: 0.0,
            altered: 0.0,
        }
    }

    /// What the product's own splitter finds in a body: label bytes, time and value bits of each sample.
    fn decoded(body: &[u8]) -> BTreeSet<(Vec<u8>, Millis, u64)> {
        let splitter = Splitter::new(b"0123456789abcdef", 1, 1 << 20).unwrap();
        let limits = WriteLimits {
            max_body_bytes: 1 << 20,
            max_decoded_bytes: 1 << 20,
            max_labels: 64,
            max_name_bytes: 1024,
            max_value_bytes: 4096,
            max_age_ms: None,
            max_future_ms: None,
        };
        let batch = splitter
            .split(body, Form::V1, Uid([1; 16]), 1, &limits, 0)
            .unwrap();
        assert!(batch.refused.is_empty(), "{:?}", batch.refused);
        let samples = batch.series.iter().flat_map(|series| {
            let (times, values) = batch.samples_of(series);
            let labels = batch.label_sets().of(series).to_vec();
            std::iter::repeat(labels).zip(times.iter().zip(values))
        });
        samples
            .map(|(labels, (&time, value))| (labels, time, value.to_bits()))
            .collect()
    }

    #[test]
    fn equal_plans_make_equal_bytes_in_any_order() {
        let (a, b) = (Model::new(plan()).unwrap(), Model::new(plan()).unwrap());
        let forwards: Vec<_> = (0..20).map(|step| a.body(1, step, false).unwrap()).collect();
        let backwards: Vec<_> = (0..20)
            .rev()
            .map(|step| b.body(1, step, false).unwrap())
            .collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        let other = Model::new(Plan { seed: 2, ..plan() }).unwrap();
        assert_ne!(other.body(1, 0, false).unwrap(), forwards[0]);
    }

    #[test]
    fn a_body_holds_the_values_of_its_step() {
        let model = Model::new(Plan {
            jitter_ms: 3,
            ..plan()
        })
        .unwrap();
        assert_eq!(model.targets(), 3);
        assert_eq!(model.samples(2).unwrap(), 30);
        for step in 0..5 {
            let target = model.target(0).unwrap();
            let mut values = Vec::new();
            Model::values(target, step, &mut values);
            let found = decoded(&model.body(0, step, false).unwrap());
            let time = model.time(target, step);
            assert_eq!(found.len(), 50);
            for (place, value) in values.iter().enumerate() {
                let mut labels = Vec::new();
                for (name, text) in model.labels(target, 0, place) {
                    put_label(&mut labels, name.as_bytes(), text.as_bytes());
                }
                assert!(found.contains(&(labels, time, value.to_bits())));
            }
        }
    }

    #[test]
    fn an_altered_body_has_other_values_at_the_same_times() {
        let model = Model::new(plan()).unwrap();
        let as_map = |body: Vec<u8>| -> BTreeMap<_, _> {
            decoded(&body)
                .into_iter()
                .map(|(labels, time, bits)| ((labels, time), bits))
                .collect()
        };
        let (first, second) = (
            as_map(model.body(0, 3, false).unwrap()),
            as_map(model.body(0, 3, true).unwrap()),
        );
        assert!(first.keys().eq(second.keys()));
        assert!(first.values().zip(second.values()).all(|(a, b)| a != b));
    }

    #[test]
    fn a_scrape_lies_within_its_step() {
        for (interval_ms, jitter_ms) in [(15_000, 3), (1_000, 498), (4, 0), (15_000, 7_498)] {
            let model = Model::new(Plan {
                interval_ms,
                jitter_ms,
                ..plan()
            })
            .unwrap();
            for (target, step) in (0..3).flat_map(|target| (0..50).map(move |step| (target, step))) {
                let from = model.plan().start_ms + Millis::from(step) * interval_ms;
                let time = model.time(model.target(target).unwrap(), step);
                assert!(from < time && time < from + interval_ms - 1, "{time} of {from}");
            }
        }
    }

    #[test]
    fn a_replaced_target_ends_its_series_with_stale_markers() {
        let model = Model::new(Plan {
            lifetime: 4,
            ..plan()
        })
        .unwrap();
        let target = model.target(0).unwrap();
        let change = (1..8).find(|&step| Model::life(target, step).up == 0).unwrap();
        let (last, first) = (
            decoded(&model.body(0, change - 1, false).unwrap()),
            decoded(&model.body(0, change, false).unwrap()),
        );
        let ended: BTreeSet<_> = first
            .iter()
            .filter(|(_, _, bits)| *bits == STALE_BITS)
            .map(|(labels, ..)| labels)
            .collect();
        assert_eq!((last.len(), first.len()), (50, 100));
        assert!(last.iter().map(|(labels, ..)| labels).eq(ended));
        assert_eq!(decoded(&model.body(0, change, true).unwrap()).len(), 50);
    }

    #[test]
    fn every_body_is_sent_and_some_late_again_or_altered() {
        let model = Model::new(Plan {
            late: 0.2,
            twice: 0.1,
            altered: 0.1,
            ..plan()
        })
        .unwrap();
        let sent: Vec<Turn> = (0..1_000)
            .flat_map(|step| model.turns(0, step).unwrap())
            .collect();
        let of = |pick: fn(&Turn) -> Option<u32>| sent.iter().filter_map(pick).collect::<BTreeSet<u32>>();
        let on_time = of(|turn| {
            if let Turn::OnTime(step) = turn {
                Some(*step)
            } else {
                None
            }
        });
        let late = of(|turn| {
            if let Turn::Late(step) = turn {
                Some(*step)
            } else {
                None
            }
        });
        assert!(on_time.is_disjoint(&late));
        assert!((0..1_000 - LATEST).all(|step| on_time.contains(&step) || late.contains(&step)));
        assert!((100..300).contains(&late.len()), "{}", late.len());
        assert!(
            (50..150).contains(
                &of(|turn| if let Turn::Again(step) = turn {
                    Some(*step)
                } else {
                    None
                })
                .len()
            )
        );
        assert!(
            (50..150).contains(
                &of(|turn| if let Turn::Altered(step) = turn {
                    Some(*step)
                } else {
                    None
                })
                .len()
            )
        );
        assert_eq!(
            Model::new(plan()).unwrap().turns(0, 7).unwrap(),
            [Turn::OnTime(7)]
        );
    }

    #[test]
    fn impossible_plans_are_refused_with_the_reason() {
        for (plan, reason) in [
            (Plan { series: 0, ..plan() }, "one series"),
            (Plan { batch: 0, ..plan() }, "batch"),
            (
                Plan {
                    interval_ms: 0,
                    ..plan()
                },
                "interval",
            ),
            (
                Plan {
                    jitter_ms: 7_499,
                    ..plan()
                },
                "jitter",
            ),
            (
                Plan {
                    jitter_ms: -1,
                    ..plan()
                },
                "jitter",
            ),
            (
                Plan {
                    start_ms: 0,
                    ..plan()
                },
                "1971",
            ),
            (Plan { late: 1.5, ..plan() }, "share"),
            (
                Plan {
                    histograms: f64::NAN,
                    ..plan()
                },
                "share",
            ),
        ] {
            let error = Model::new(plan).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let model = Model::new(plan()).unwrap();
        assert!(model.body(3, 0, false).is_err());
        let late = Plan {
            start_ms: TIMES.end - 1,
            ..plan()
        };
        assert!(Model::new(late).unwrap().body(0, 0, false).is_err());
    }
}
