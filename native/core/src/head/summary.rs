//! What a sealed generation holds, for the comparison with what another zone has stored.

use crate::Result;
use crate::block::{BlockSummary, Summing};
use crate::model::{Millis, Uid};

use super::Head;
use super::decoded::{Decoded, HISTOGRAMS_PER_LOCK};

/// Series read while the head is locked: some 100 µs.
const READ_PER_LOCK: usize = 128;

impl Head {
    /// What [`Head::cut`] would say of its blocks. A digest does not depend on the order of series, so nothing is sorted: each is read
    /// where it lies.
    pub fn summary(&self, window: Millis, sealed: u64) -> Result<Vec<BlockSummary>> {
        let _maintenance = self.maintenance.lock();
        let (generation, uids) = self.sealed(window, sealed)?;
        let mut summaries = Vec::with_capacity(uids.len());
        for uid in uids {
            let mut summing = Summing::new(uid);
            self.sum(generation, window, &mut summing)?;
            if summing.series() > 0 {
                summaries.push(summing.summary());
            }
        }
        Ok(summaries)
    }

    /// Adds up what an instance has in a generation.
    fn sum(&self, generation: u32, window: Millis, summing: &mut Summing) -> Result<()> {
        let uid: Uid = summing.uid();
        let mut decoded = Decoded::default();
        let mut from = 0;
        loop {
            let state = self.state.read();
            let instance = state.instances.get(&uid);
            let Some((instance, sheet)) = instance.and_then(|i| Some((i, i.find_sheet(generation)?))) else {
                return Ok(());
            };
            if from >= instance.slab.end() {
                return Ok(());
            }
            let to = from + READ_PER_LOCK as u32;
            let mut histogram_bytes = 0;
            for (series, held) in instance.slab.range(from, to) {
                from = series + 1;
                let Some(lane) = held.lane(generation) else {
                    continue;
                };
                decoded.clear();
                decoded.push(sheet, window, series, lane);
                let labels = held.labels.iter().map(|&pair| instance.index.text(pair));
                summing.add(labels, decoded.samples(0..decoded.ends()[0]))?;
                histogram_bytes += decoded.histogram_bytes();
                if histogram_bytes > HISTOGRAMS_PER_LOCK {
                    break;
                }
            }
            if histogram_bytes <= HISTOGRAMS_PER_LOCK {
                from = to;
            }
        }
    }
}
