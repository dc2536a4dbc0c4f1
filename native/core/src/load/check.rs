//! An answer of raw samples compared with what must, may and must not be in it.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use super::json::Scanner;
use super::model::{Model, Target};
use crate::engine::number::api_value;
use crate::model::Millis;
use crate::{Error, Result};

/// Whatever is wrong, so many examples of it say enough.
const EXAMPLES: usize = 5;

/// What the sender knew of a body: it was never sent, or nobody knows whether it arrived, or it was acknowledged.
const UNSENT: u8 = 0;
const ACKNOWLEDGED: u8 = 2;

/// Steps of one target that were asked for, and one byte for each of what the sender knew of its body: before the question was asked,
/// for that must be in the answer; and after it was answered, for nothing else may be.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub target: usize,
    pub first_step: u32,
    pub before: &'a [u8],
    pub after: &'a [u8],
}

/// Samples, by how they were found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Acknowledged, and there once with the right value.
    pub right: u64,
    /// There, right, and not known to have been acknowledged.
    pub unsure: u64,
    /// Acknowledged, and not there.
    pub missing: u64,
    /// There with another value.
    pub wrong: u64,
    /// There once more.
    pub doubled: u64,
    /// Of a series or time that was never sent.
    pub unexpected: u64,
    /// The first few of what is not as it should be, in words.
    pub examples: Vec<String>,
    /// What the server had to say about its answer.
    pub warnings: Vec<String>,
}

/// Where the rows of a label set belong.
#[derive(Debug, Clone, Copy)]
struct Place {
    incarnation: u64,
    number: usize,
}

/// How a metric's label set is recognised, whatever the order in which it is written.
type LabelKey = u128;

/// The answer to the page's steps, and no more, as the query API writes a matrix. Fails if it is none.
pub fn check(model: &Model, page: Page<'_>, answer: &[u8]) -> Result<Checked> {
    if page.before.len() != page.after.len() {
        return Err(Error::BadData(
            "a page has as many states before as after".to_owned(),
        ));
    }
    let mut checking = Checking::new(model, page)?;
    let mut scanner = Scanner::new(answer);
    let (mut is_success, mut has_result, mut is_partial) = (false, false, false);
    scanner.object(|scanner, key| match key {
        b"status" => {
            is_success = scanner.string()?.as_ref() == b"success";
            Ok(())
        }
        b"isPartial" => {
            is_partial = scanner.boolean()?;
            Ok(())
        }
        b"warnings" => scanner.array(|scanner| {
            let warning = String::from_utf8_lossy(&scanner.string()?).into_owned();
            checking.checked.warnings.push(warning);
            Ok(())
        }),
        b"data" => scanner.object(|scanner, key| match key {
            b"result" => {
                has_result = true;
                scanner.array(|scanner| checking.row(scanner))
            }
            _ => scanner.skip(),
        }),
        _ => scanner.skip(),
    })?;
    scanner.end()?;
    if !(is_success && has_result) {
        return Err(Error::BadData(
            "the answer is no successful result of a query".to_owned(),
        ));
    }
    if is_partial {
        checking
            .checked
            .warnings
            .push("the server says that its answer is partial".to_owned());
    }
    Ok(checking.finish())
}

#[derive(Debug)]
struct Checking<'a> {
    model: &'a Model,
    target: &'a Target,
    page: Page<'a>,
    places: HashMap<LabelKey, Place>,
    /// By step of the page: time, incarnation, values by number.
    times: Vec<Millis>,
    incarnations: Vec<u64>,
    values: Vec<f64>,
    /// By step and number: there already.
    found: Vec<bool>,
    series: usize,
    checked: Checked,
}

impl<'a> Checking<'a> {
    fn new(model: &'a Model, page: Page<'a>) -> Result<Self> {
        let target = model.target(page.target)?;
        let series = target.families.series();
        let steps = u32::try_from(page.before.len())
            .ok()
            .and_then(|steps| Some(page.first_step..page.first_step.checked_add(steps)?))
            .ok_or_else(|| Error::BadData("a page ends at step 2^32 at the latest".to_owned()))?;
        let mut values = Vec::with_capacity(series * steps.len());
        for step in steps.clone() {
            Model::values(target, step, &mut values);
        }
        let incarnations: Vec<u64> = steps
            .clone()
            .map(|step| Model::life(target, step).incarnation)
            .collect();
        // The last sample of an incarnation is a stale marker in the body of the step after it.
        let first = Model::life(target, steps.start.saturating_sub(1)).incarnation;
        let last = incarnations.last().copied().unwrap_or(first);
        Ok(Self {
            model,
            target,
            page,
            places: places(model, target, first..last + 1),
            times: steps.map(|step| model.time(target, step)).collect(),
            incarnations,
            found: vec![false; values.len()],
            values,
            series,
            checked: Checked::default(),
        })
    }

    fn row(&mut self, scanner: &mut Scanner<'_>) -> Result<()> {
        // Nobody promises that the metric comes before its values.
        let (mut place, mut values) = (None, None);
        scanner.object(|scanner, key| match key {
            b"metric" => {
                place = self.places.get(&metric_key(scanner)?).copied();
                Ok(())
            }
            b"values" => {
                values = Some(scanner.clone());
                scanner.skip()
            }
            b"histograms" => scanner.array(|scanner| {
                self.checked.unexpected += 1;
                scanner.skip()
            }),
            _ => scanner.skip(),
        })?;
        values.map_or(Ok(()), |mut values| {
            values.array(|values| {
                values.byte(b'[')?;
                let time = (values.number()? * 1000.0).round() as Millis;
                values.byte(b',')?;
                let text = values.string()?;
                values.byte(b']')?;
                let value = std::str::from_utf8(&text)
                    .ok()
                    .and_then(|text| text.parse::<f64>().ok());
                let value = value.ok_or_else(|| {
                    Error::BadData(format!(
                        "{:?} is no value of a sample",
                        String::from_utf8_lossy(&text)
                    ))
                })?;
                self.sample(place, time, value);
                Ok(())
            })
        })
    }

    fn sample(&mut self, place: Option<Place>, time: Millis, value: f64) {
        let step = self.times.binary_search(&time).ok();
        let (Some(place), Some(step)) = (place, step) else {
            self.checked.unexpected += 1;
            return self.example(|| {
                format!("at {time} ms there is a sample {value} of no series and time that were sent")
            });
        };
        if self.incarnations[step] != place.incarnation {
            let is_marker =
                value.is_nan() && step_before(&self.incarnations, step) == Some(place.incarnation);
            if !is_marker {
                self.checked.unexpected += 1;
                self.example_of(place, step, "is there after the series ended or before it began");
            }
            return;
        }
        let cell = step * self.series + place.number;
        if std::mem::replace(&mut self.found[cell], true) {
            self.checked.doubled += 1;
            return self.example_of(place, step, "is there twice");
        }
        let expected = self.values[cell];
        if self.page.after[step] == UNSENT {
            self.checked.unexpected += 1;
            self.example_of(place, step, "is there and was never sent");
        } else if expected.to_bits() != value.to_bits() {
            self.checked.wrong += 1;
            let (found, sent) = (api_value(value), api_value(expected));
            self.example_of(place, step, &format!("has the value {found} and {sent} was sent"));
        } else if self.page.before[step] == ACKNOWLEDGED {
            self.checked.right += 1;
        } else {
            self.checked.unsure += 1;
        }
    }

    fn finish(mut self) -> Checked {
        for step in 0..self.times.len() {
            if self.page.before[step] != ACKNOWLEDGED {
                continue;
            }
            for number in 0..self.series {
                if !self.found[step * self.series + number] {
                    self.checked.missing += 1;
                    let incarnation = self.incarnations[step];
                    self.example_of(
                        Place { incarnation, number },
                        step,
                        "was acknowledged and is not there",
                    );
                }
            }
        }
        self.checked
    }

    fn example_of(&mut self, place: Place, step: usize, what: &str) {
        let (model, target, time) = (self.model, self.target, self.times[step]);
        let number = self.page.first_step as usize + step;
        self.example(|| {
            let labels: Vec<String> = model
                .labels(target, place.incarnation, place.number)
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            format!("{{{}}} at {time} ms (step {number}) {what}", labels.join(", "))
        });
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.checked.examples.len() < EXAMPLES {
            self.checked.examples.push(text());
        }
    }
}

fn step_before(incarnations: &[u64], step: usize) -> Option<u64> {
    // Of the page's first step the one before is not on the page, but nothing else can have ended there.
    match step.checked_sub(1) {
        Some(before) => Some(incarnations[before]),
        None => incarnations[0].checked_sub(1),
    }
}

fn places(model: &Model, target: &Target, incarnations: Range<u64>) -> HashMap<LabelKey, Place> {
    let mut places =
        HashMap::with_capacity(target.families.series() * (incarnations.end - incarnations.start) as usize);
    for incarnation in incarnations {
        for number in 0..target.families.series() {
            let labels = model.labels(target, incarnation, number);
            let mut pairs: Vec<(&[u8], &[u8])> = labels
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect();
            places.insert(label_key(&mut pairs), Place { incarnation, number });
        }
    }
    places
}

fn metric_key(scanner: &mut Scanner<'_>) -> Result<LabelKey> {
    let mut labels = Vec::new();
    scanner.object(|scanner, name| {
        labels.push((name.to_vec(), scanner.string()?));
        Ok(())
    })?;
    let mut pairs: Vec<(&[u8], &[u8])> = labels
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_ref()))
        .collect();
    Ok(label_key(&mut pairs))
}

fn label_key(pairs: &mut [(&[u8], &[u8])]) -> LabelKey {
    pairs.sort_unstable();
    let mut bytes = Vec::with_capacity(256);
    for text in pairs.iter().flat_map(|&(name, value)| [name, value]) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::model::Plan;
    use super::*;

    const STEPS: usize = 12;

    fn model() -> Model {
        Model::new(Plan {
            seed: 5,
            run: "a \"run\"".to_owned(),
            series: 40,
            batch: 20,
            start_ms: 1_700_000_000_000,
            interval_ms: 1000,
            jitter_ms: 20,
            lifetime: 7,
            uptime: 5,
            histograms: 0.7,
            late: 0.0,
            twice: 0.0,
            altered: 0.0,
        })
        .unwrap()
    }

    /// A row of an answer: labels, samples.
    type Row = (Vec<(&'static str, String)>, Vec<(Millis, f64)>);

    /// Everything that was sent of target 1 at these steps, as a server would have it.
    fn rows(model: &Model, steps: Range<u32>) -> Vec<Row> {
        let target = model.target(1).unwrap();
        let mut rows: Vec<Row> = Vec::new();
        for step in steps {
            let mut values = Vec::new();
            Model::values(target, step, &mut values);
            let incarnation = Model::life(target, step).incarnation;
            for (number, value) in values.into_iter().enumerate() {
                let labels = model.labels(target, incarnation, number);
                let sample = (model.time(target, step), value);
                match rows.iter_mut().find(|row| row.0 == labels) {
                    Some(row) => row.1.push(sample),
                    None => rows.push((labels, vec![sample])),
                }
            }
        }
        rows
    }

    fn answer(rows: &[Row]) -> Vec<u8> {
        let rows: Vec<String> = rows
            .iter()
            .map(|(labels, samples)| {
                // In another order than the model's.
                let labels: Vec<String> = labels.iter().rev().map(|(n, v)| format!("{n:?}:{v:?}")).collect();
                let samples: Vec<String> = samples
                    .iter()
                    .map(|(t, v)| format!("[{}.{:03},\"{}\"]", t / 1000, t % 1000, api_value(*v)))
                    .collect();
                format!(
                    r#"{{"metric":{{{}}},"values":[{}]}}"#,
                    labels.join(","),
                    samples.join(", ")
                )
            })
            .collect();
        format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#,
            rows.join(",")
        )
        .into_bytes()
    }

    fn checked(change: impl FnOnce(&mut Vec<Row>)) -> Checked {
        checked_with(&[ACKNOWLEDGED; STEPS], &[ACKNOWLEDGED; STEPS], change)
    }

    fn checked_with(before: &[u8], after: &[u8], change: impl FnOnce(&mut Vec<Row>)) -> Checked {
        let model = model();
        let mut rows = rows(&model, 3..3 + STEPS as u32);
        change(&mut rows);
        let page = Page {
            target: 1,
            first_step: 3,
            before,
            after,
        };
        check(&model, page, &answer(&rows)).unwrap()
    }

    const ALL: u64 = 20 * STEPS as u64;

    #[test]
    fn what_was_sent_is_right() {
        let expected = Checked {
            right: ALL,
            ..Checked::default()
        };
        assert_eq!(checked(|_| ()), expected);
    }

    #[test]
    fn a_lost_sample_is_missing() {
        let found = checked(|rows| {
            rows[3].1.remove(2);
        });
        assert_eq!((found.right, found.missing), (ALL - 1, 1));
        assert!(
            found.examples[0].contains("was acknowledged and is not there"),
            "{:?}",
            found.examples
        );
        assert!(
            found.examples[0].contains("__name__=\"load_"),
            "{:?}",
            found.examples
        );
        let found = checked(Vec::clear);
        assert_eq!((found.missing, found.examples.len()), (ALL, EXAMPLES));
    }

    #[test]
    fn a_changed_sample_is_wrong_to_the_last_bit() {
        let found = checked(|rows| rows[3].1[2].1 = f64::from_bits(rows[3].1[2].1.to_bits() + 1));
        assert_eq!((found.right, found.wrong, found.missing), (ALL - 1, 1, 0));
    }

    #[test]
    fn a_sample_or_a_series_that_is_there_twice_is_doubled() {
        let found = checked(|rows| {
            let sample = rows[3].1[2];
            rows[3].1.push(sample);
        });
        assert_eq!((found.right, found.doubled), (ALL, 1));
        let found = checked(|rows| rows.push(rows[0].clone()));
        assert!(found.doubled > 0);
        assert_eq!(found.right, ALL);
    }

    #[test]
    fn what_was_never_sent_is_unexpected() {
        let foreign = |rows: &mut Vec<Row>| rows[0].0[1].1.push('x');
        assert!(checked(foreign).unexpected > 0);
        assert_eq!(checked(|rows| rows[0].1[0].0 += 1).unexpected, 1);
        let mut states = [ACKNOWLEDGED; STEPS];
        states[4] = UNSENT;
        assert_eq!(checked_with(&states, &states, |_| ()).unexpected, 20);
    }

    #[test]
    fn a_body_whose_outcome_nobody_knows_may_be_there_or_not_but_right() {
        let (mut before, after) = ([ACKNOWLEDGED; STEPS], [ACKNOWLEDGED; STEPS]);
        before[4] = 1;
        let found = checked_with(&before, &after, |_| ());
        assert_eq!((found.right, found.unsure), (ALL - 20, 20));
        let time = model().time(model().target(1).unwrap(), 7);
        let found = checked_with(&before, &after, |rows| {
            for row in rows {
                row.1.retain(|sample| sample.0 != time);
            }
        });
        assert_eq!((found.right, found.missing, found.unsure), (ALL - 20, 0, 0));
        let found = checked_with(&before, &after, |rows| {
            for row in rows {
                row.1
                    .iter_mut()
                    .filter(|sample| sample.0 == time)
                    .for_each(|sample| sample.1 += 1.0);
            }
        });
        assert_eq!(found.wrong, 20);
    }

    #[test]
    fn a_series_is_not_carried_on_behind_its_end() {
        let model = model();
        let target = model.target(1).unwrap();
        let change = (4..3 + STEPS as u32)
            .find(|&step| Model::life(target, step).incarnation != Model::life(target, step - 1).incarnation)
            .unwrap();
        let ended = model.labels(target, Model::life(target, change - 1).incarnation, 0);
        let time = model.time(target, change);
        let with = |value: f64| {
            let ended = ended.clone();
            checked(move |rows| {
                let row = rows.iter_mut().find(|row| row.0 == ended).unwrap();
                row.1.push((time, value));
            })
        };
        assert_eq!(with(1.0).unexpected, 1);
        assert_eq!(with(f64::NAN).unexpected, 0); // the stale marker, where a server shows it
    }

    #[test]
    fn keys_come_in_any_order_and_warnings_are_passed_on() {
        let text = br#"{"warnings":["lags"],"isPartial":true,"data":{"result":[],"resultType":"matrix"},"x":[1],"status":"success"}"#;
        let page = Page {
            target: 0,
            first_step: 0,
            before: &[],
            after: &[],
        };
        let found = check(&model(), page, text).unwrap();
        assert_eq!(found.warnings.len(), 2);
    }

    #[test]
    fn what_is_no_result_is_an_error() {
        let page = Page {
            target: 0,
            first_step: 0,
            before: &[],
            after: &[],
        };
        for text in [
            &b""[..],
            b"{}",
            br#"{"status":"error","data":{"result":[]}}"#,
            br#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"x"]]}]}}"#,
            br#"{"status":"success","data":{"result":[{"metric":{},"values":[[1]]}]}}"#,
            br#"{"status":"success","data":{"result":[]}} x"#,
        ] {
            assert!(
                check(&model(), page, text).is_err(),
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
        let uneven = Page { before: &[2], ..page };
        assert!(check(&model(), uneven, b"{}").is_err());
    }

    proptest! {
        #[test]
        fn damaged_answers_never_panic(at in 0usize..2000, byte: u8) {
            let mut text = answer(&rows(&model(), 0..2));
            let at = at % text.len();
            text[at] = byte;
            let page = Page { target: 1, first_step: 0, before: &[2, 2], after: &[2, 2] };
            let _ = check(&model(), page, &text);
        }
    }
}
