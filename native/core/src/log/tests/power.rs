//! Promise 1 under power cuts: what was acknowledged is there, once, in order; what was not may be there whole or not at all.

use super::*;
use crate::fs::{Random, SyncKind};

/// What the log must hold: the number (`None`: a seal) appended at each offset, and how far it was acknowledged and trimmed.
#[derive(Default)]
struct Model {
    records: Vec<Option<u64>>,
    acknowledged: u64,
    trimmed: u64,
}

impl Model {
    /// Compares a log that was just opened with the model; then forgets what did not make it.
    fn check(&mut self, log: &Engine) -> Result<(), String> {
        let (first, committed) = (log.first(), log.committed());
        if committed < self.acknowledged || first > self.trimmed {
            let Self {
                acknowledged,
                trimmed,
                ..
            } = self;
            return Err(format!(
                "{first}..{committed} held, {acknowledged} acknowledged, {trimmed} trimmed"
            ));
        }
        let records = read_all(log, first).map_err(|e| e.to_string())?;
        if !records.iter().map(|r| r.offset).eq(first..committed) {
            return Err("offsets are not consecutive".to_owned());
        }
        for record in &records {
            let expected = self.records.get(record.offset as usize);
            if expected != Some(&number_of(record)) {
                return Err(format!(
                    "{} holds {:?}, not {expected:?}",
                    record.offset,
                    number_of(record)
                ));
            }
        }
        self.records.truncate(committed as usize);
        self.acknowledged = committed;
        Ok(())
    }

    /// Works on the log until it fails or chance ends it.
    fn work(&mut self, log: &Engine, files: &SimulatedFiles, random: &mut Random) -> Result<(), String> {
        for _ in 0..random.below(60) {
            match random.below(10) {
                0..5 => self.append(log, random),
                5..9 => log.commit(),
                _ => {
                    let offset = random.below(self.acknowledged as usize + 1) as u64;
                    let offset = if random.below(3) == 0 {
                        self.acknowledged
                    } else {
                        offset
                    };
                    self.trimmed = self.trimmed.max(offset);
                    // An error means that the power is gone, which the next append sees, or that the disk is full.
                    let _ = log.trim(offset);
                }
            }
            self.acknowledged = self.acknowledged.max(log.committed());
            match log.failure() {
                Some(failure) if failure.is_final => break,
                Some(_) => {
                    self.records.truncate(self.acknowledged as usize);
                    files.set_room(None);
                    log.resume();
                }
                None if random.below(12) == 0 => files.set_room(Some(random.below(3000))),
                None => {}
            }
        }
        files.set_room(None);
        if self.acknowledged as usize > self.records.len() {
            return Err("acknowledged what was not appended".to_owned());
        }
        Ok(())
    }

    fn append(&mut self, log: &Engine, random: &mut Random) {
        for _ in 0..random.below(4) {
            let number = random.next() >> 1;
            let appended = if random.below(8) == 0 {
                log.append_seal(1, &[0]).map(|offset| (offset, None))
            } else {
                log.append(batch(number, random.below(1500)), 0)
                    .map(|offset| (offset, Some(number)))
            };
            if let Ok((offset, number)) = appended {
                assert_eq!(offset, self.records.len() as u64);
                self.records.push(number);
            }
        }
    }
}

/// Several lives of one log. `Err` names the promise that was broken.
fn lives(seed: u64, lie: Option<SyncKind>) -> Result<(), String> {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut files = SimulatedFiles::new(seed);
    let mut model = Model::default();
    for _ in 0..6 {
        if let Some(kind) = lie {
            files.ignore_sync(kind, None);
        }
        if random.below(3) > 0 {
            files.fail_power_after(random.below(120) as u64);
        }
        match open(&files, SMALL) {
            Ok(log) => match model.check(&log) {
                Ok(()) => model.work(&log, &files, &mut random)?,
                // A check that failed because the power did says nothing.
                Err(_) if !files.has_power() => {}
                Err(why) => return Err(why),
            },
            Err(Error::Io { .. }) if !files.has_power() => {}
            Err(error) => return Err(error.to_string()),
        }
        // Sometimes only the process dies: the handles are dropped, and the disk goes on.
        let is_killed = random.below(4) == 0 && files.has_power();
        if !is_killed {
            files = files.power_cut();
        }
    }
    Ok(())
}

#[test]
fn acknowledged_records_survive_any_power_cut() {
    for seed in 0..1500 {
        if let Err(why) = lives(seed, None) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn a_lying_data_sync_is_noticed() {
    assert!((0..100).any(|seed| lives(seed, Some(SyncKind::Data)).is_err()));
}

#[test]
fn a_lying_directory_sync_is_noticed() {
    assert!((0..100).any(|seed| lives(seed, Some(SyncKind::Directory)).is_err()));
}
