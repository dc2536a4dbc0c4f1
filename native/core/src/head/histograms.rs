//! The native histograms of one series in one generation. Most series have none, so they lie beside the lanes, by series.

use std::sync::Arc;

use super::lane::Outcome;
use crate::codec::histograms::{HistogramDecoder, HistogramEncoder, chunk_len, has_room, weight};
use crate::model::Histogram;

/// Histograms that are held plain before they are encoded together. A few, since one takes a kilobyte.
const OPEN: usize = 8;

/// Encoded histograms. Never changes.
#[derive(Debug)]
pub struct Chunk {
    /// Offsets into the window, ascending; at least one.
    pub times: Box<[u32]>,
    pub bytes: Box<[u8]>,
    /// Numbers that its histograms have.
    weight: usize,
}

impl Chunk {
    pub fn new(times: Box<[u32]>, bytes: Box<[u8]>) -> Self {
        Self {
            times,
            bytes,
            weight: 0,
        }
    }

    pub fn first(&self) -> u32 {
        self.times.first().copied().unwrap_or(0)
    }

    pub fn last(&self) -> u32 {
        self.times.last().copied().unwrap_or(0)
    }

    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.times) + self.bytes.len()
    }
}

/// A histogram and its time, an offset into the window.
pub type Timed = (u32, Arc<Histogram>);

/// Chunks that lie one behind the other in time, and what came since, anywhere in time.
#[derive(Debug, Default)]
pub struct Histograms {
    chunks: Vec<Arc<Chunk>>,
    /// Ascending; none of the chunks has these times.
    open: Vec<Timed>,
    chunk_bytes: usize,
}

impl Histograms {
    pub fn append(&mut self, time: u32, mut histogram: Histogram, encoder: &mut HistogramEncoder) -> Outcome {
        let at = match self.open.binary_search_by_key(&time, |open| open.0) {
            Ok(at) => return judge(&self.open[at].1, &histogram),
            Err(at) => at,
        };
        if let Some(held) = self.find_encoded(time) {
            return judge(&held, &histogram);
        }
        if let Some((_, neighbour)) = self.open.get(at.saturating_sub(1)) {
            histogram.share_layout(neighbour);
        }
        self.open.insert(at, (time, Arc::new(histogram)));
        if self.open.len() == OPEN {
            self.encode(encoder);
        }
        Outcome::Stored
    }

    /// The newest time; 0 if there is none.
    pub fn newest(&self) -> u32 {
        let encoded = self.chunks.last().map_or(0, |chunk| chunk.last());
        self.open.last().map_or(encoded, |open| open.0.max(encoded))
    }

    pub fn holds(&self, time: u32) -> bool {
        self.open.binary_search_by_key(&time, |open| open.0).is_ok()
            || self
                .chunk_at(time)
                .is_some_and(|chunk| chunk.times.binary_search(&time).is_ok())
    }

    /// The chunk that would hold a time.
    fn chunk_at(&self, time: u32) -> Option<&Chunk> {
        let at = self.chunks.partition_point(|chunk| chunk.last() < time);
        self.chunks.get(at).map(|chunk| &**chunk)
    }

    fn find_encoded(&self, time: u32) -> Option<Arc<Histogram>> {
        let chunk = self.chunk_at(time)?;
        let place = chunk.times.binary_search(&time).ok()?;
        let mut decoded = Vec::new();
        HistogramDecoder::default()
            .decode(&chunk.bytes, &mut decoded)
            .ok()?;
        decoded.into_iter().nth(place)
    }

    /// Makes chunks of what is open, with the chunks that it lies among, and with small ones before it once they fill one together.
    fn encode(&mut self, encoder: &mut HistogramEncoder) {
        let open = std::mem::take(&mut self.open);
        let (first, last) = match open.as_slice() {
            [first, .., last] => (first.0, last.0),
            [only] => (only.0, only.0),
            [] => return,
        };
        let mut from = self.chunks.partition_point(|chunk| chunk.last() < first);
        let to = from + self.chunks[from..].partition_point(|chunk| chunk.first() <= last);
        let (mut len, mut numbers) = (
            open.len(),
            open.iter().map(|(_, histogram)| weight(histogram)).sum(),
        );
        let mut start = from;
        while let Some(before) = self.chunks[..start].last()
            && has_room(
                before.times.len(),
                before.weight,
                before.weight / before.times.len(),
            )
            && has_room(len, numbers, 0)
        {
            (len, numbers) = (len + before.times.len(), numbers + before.weight);
            start -= 1;
        }
        if !has_room(len, numbers, numbers / len) {
            from = start;
        }
        let mut all = open;
        decode(&self.chunks[from..to], &mut all);
        self.chunks.splice(from..to, chunks_of(&all, encoder));
        self.chunk_bytes = self.chunks.iter().map(|chunk| chunk.memory_bytes()).sum();
    }

    /// All of them in order of time.
    pub fn read(&self, out: &mut Vec<Timed>) {
        out.clear();
        out.extend(self.open.iter().cloned());
        decode(&self.chunks, out);
    }

    /// Those with a time of `from..=to`: chunks that have some of them, and what is plain.
    pub fn between(&self, from: u32, to: u32) -> (&[Arc<Chunk>], &[Timed]) {
        let first = self.chunks.partition_point(|chunk| chunk.last() < from);
        let chunks = self.chunks[first..].partition_point(|chunk| chunk.first() <= to);
        let start = self.open.partition_point(|open| open.0 < from);
        let open = self.open[start..].partition_point(|open| open.0 <= to);
        (
            &self.chunks[first..first + chunks],
            &self.open[start..start + open],
        )
    }

    pub fn bytes(&self) -> usize {
        let plain = |(_, histogram): &Timed| size_of::<Timed>() + histogram.bytes();
        size_of::<Self>() + self.chunk_bytes + self.open.iter().map(plain).sum::<usize>()
    }
}

/// As chunks, in order.
pub fn chunks_of(histograms: &[Timed], encoder: &mut HistogramEncoder) -> Vec<Arc<Chunk>> {
    let mut chunks = Vec::new();
    let mut rest = histograms;
    while !rest.is_empty() {
        let (len, weight) = chunk_len(rest.iter().map(|(_, histogram)| &**histogram));
        let (these, more) = rest.split_at(len);
        let plain: Vec<&Histogram> = these.iter().map(|(_, histogram)| &**histogram).collect();
        let mut bytes = Vec::new();
        encoder.encode(&plain, &mut bytes);
        chunks.push(Arc::new(Chunk {
            times: these.iter().map(|&(time, _)| time).collect(),
            bytes: bytes.into(),
            weight,
        }));
        rest = more;
    }
    chunks
}

/// Adds what chunks hold, and sorts.
fn decode(chunks: &[Arc<Chunk>], out: &mut Vec<Timed>) {
    let (mut decoder, mut decoded) = (HistogramDecoder::default(), Vec::new());
    for chunk in chunks {
        decoded.clear();
        let is_whole = decoder.decode(&chunk.bytes, &mut decoded);
        debug_assert!(is_whole.is_ok(), "written here");
        out.extend(chunk.times.iter().copied().zip(decoded.drain(..)));
    }
    out.sort_unstable_by_key(|timed| timed.0);
}

fn judge(held: &Histogram, came: &Histogram) -> Outcome {
    if held.fingerprint() == came.fingerprint() {
        Outcome::Repeated
    } else {
        Outcome::Conflict
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::histograms::tests::histogram;
    use proptest::prelude::*;

    proptest! {
        /// Forward and backward in time, against a map that keeps the first.
        #[test]
        fn equals_a_map(
            kinds in prop::collection::vec(histogram(), 3),
            events in prop::collection::vec((0_u32..400, 0_usize..12), 0..400),
        ) {
            let (mut held, mut map, mut encoder) = (Histograms::default(), BTreeMap::new(), HistogramEncoder::default());
            let mut clock = 0;
            for (at, kind) in events {
                let time = if at < 300 { clock += at % 3; clock } else { clock.saturating_sub(at - 300) };
                let histogram = &kinds[kind % if kind < 10 { 1 } else { 3 }];
                let fingerprint = histogram.fingerprint();
                let expected = match map.get(&time) {
                    None => Outcome::Stored,
                    Some(&first) if first == fingerprint => Outcome::Repeated,
                    Some(_) => Outcome::Conflict,
                };
                prop_assert_eq!(held.append(time, histogram.clone(), &mut encoder), expected);
                prop_assert!(held.holds(time));
                map.entry(time).or_insert(fingerprint);
            }
            let mut read = Vec::new();
            held.read(&mut read);
            let read: Vec<_> = read.iter().map(|(time, histogram)| (*time, histogram.fingerprint())).collect();
            let map: Vec<_> = map.into_iter().collect();
            prop_assert_eq!(&read, &map);
            let (from, to) = (clock / 3, clock / 2);
            let (chunks, open) = held.between(from, to);
            let found = chunks.iter().flat_map(|chunk| chunk.times.iter()).chain(open.iter().map(|(time, _)| time));
            let wanted = map.iter().filter(|(time, _)| (from..=to).contains(time)).count();
            prop_assert_eq!(found.filter(|time| (from..=to).contains(time)).count(), wanted);
        }
    }

    #[test]
    fn what_is_old_lies_in_full_chunks_and_little_is_plain() {
        let (mut held, mut encoder) = (Histograms::default(), HistogramEncoder::default());
        for time in 0..1000 {
            let histogram = Histogram {
                count: f64::from(time),
                ..Histogram::default()
            };
            held.append(time, histogram, &mut encoder);
            assert!(held.open.len() < OPEN);
        }
        let lengths: Vec<_> = held.chunks.iter().map(|chunk| chunk.times.len()).collect();
        assert_eq!(lengths[..15], [64; 15]);
        assert_eq!(lengths[15..], [8; 5]);
        assert!(held.bytes() < 1000 * 12, "{}", held.bytes());
    }
}
