//! What stands at a row and a step: nothing, a float or a histogram.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use super::context::{Charge, QueryContext};
use crate::Result;
use crate::model::Histogram;

/// Cell kinds.
pub const ABSENT: u8 = 0;
pub const FLOAT: u8 = 1;
pub const HISTOGRAM: u8 = 2;

/// What is present in a cell.
#[derive(Debug, Clone, Copy)]
pub enum Element<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Element<'_> {
    pub fn float(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            Self::Histogram(_) => None,
        }
    }
}

/// Cells of one row, one a step. Where a histogram stands, the value is its place among `histograms`.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    pub kind: &'a [u8],
    pub value: &'a [f64],
    pub histograms: &'a [Arc<Histogram>],
}

impl<'a> RowView<'a> {
    #[inline]
    pub fn get(&self, step: usize) -> Option<Element<'a>> {
        match self.kind[step] {
            FLOAT => Some(Element::Float(self.value[step])),
            HISTOGRAM => Some(Element::Histogram(&self.histograms[self.value[step] as usize])),
            _ => None,
        }
    }

    /// Whether some cell may be a histogram.
    #[inline]
    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }
}

/// Cells that nobody is charged for: a row to be filled again and again, or the rows of a chunk.
#[derive(Debug, Default)]
pub struct CellBuf {
    /// u8[cells]: [`ABSENT`], [`FLOAT`] or [`HISTOGRAM`].
    pub kind: Vec<u8>,
    /// f64[cells]: a float, or a place among `histograms`; +0 where absent, so that sums need not look at the kind.
    pub value: Vec<f64>,
    /// What histogram cells name, several of them maybe the same. Empty if there are none.
    pub histograms: Vec<Arc<Histogram>>,
}

impl CellBuf {
    pub fn absent(cells: usize) -> Self {
        Self {
            kind: vec![ABSENT; cells],
            value: vec![0.0; cells],
            histograms: Vec::new(),
        }
    }

    pub fn with_capacity(cells: usize) -> Self {
        Self {
            kind: Vec::with_capacity(cells),
            value: Vec::with_capacity(cells),
            histograms: Vec::new(),
        }
    }

    pub fn clear(&mut self, cell: usize) {
        (self.kind[cell], self.value[cell]) = (ABSENT, 0.0);
    }

    pub fn put(&mut self, cell: usize, element: Element<'_>) {
        match element {
            Element::Float(value) => (self.kind[cell], self.value[cell]) = (FLOAT, value),
            Element::Histogram(histogram) => {
                // Neighbouring steps often have the same.
                if self
                    .histograms
                    .last()
                    .is_none_or(|last| !Arc::ptr_eq(last, histogram))
                {
                    self.histograms.push(Arc::clone(histogram));
                }
                (self.kind[cell], self.value[cell]) = (HISTOGRAM, (self.histograms.len() - 1) as f64);
            }
        }
    }

    /// Puts a histogram that was made for this cell.
    pub fn put_new(&mut self, cell: usize, histogram: Histogram) {
        (self.kind[cell], self.value[cell]) = (HISTOGRAM, self.histograms.len() as f64);
        self.histograms.push(Arc::new(histogram));
    }

    /// Adds histograms that cells may name; what must be added to their places there.
    #[inline]
    pub fn take_histograms(&mut self, histograms: &[Arc<Histogram>]) -> f64 {
        let shift = self.histograms.len() as f64;
        self.histograms.extend_from_slice(histograms);
        shift
    }

    /// Appends cells whose histograms were taken with that shift.
    #[inline]
    pub fn push_shifted(&mut self, kind: &[u8], value: &[f64], shift: f64) {
        self.kind.extend_from_slice(kind);
        if shift == 0.0 {
            self.value.extend_from_slice(value);
        } else {
            let cells = kind.iter().zip(value);
            self.value
                .extend(cells.map(|(&kind, &value)| if kind == HISTOGRAM { value + shift } else { value }));
        }
    }

    /// Appends cells with their histograms.
    #[inline]
    pub fn push(&mut self, cells: RowView<'_>) {
        let shift = self.take_histograms(cells.histograms);
        self.push_shifted(cells.kind, cells.value, shift);
    }

    /// Some neighbouring cells.
    #[inline]
    pub fn view(&self, cells: Range<usize>) -> RowView<'_> {
        RowView {
            kind: &self.kind[cells.clone()],
            value: &self.value[cells],
            histograms: &self.histograms,
        }
    }

    #[inline]
    /// How many are not absent.
    pub fn present(&self) -> usize {
        self.kind.iter().map(|&kind| usize::from(kind != ABSENT)).sum()
    }

    pub fn all(&self) -> RowView<'_> {
        self.view(0..self.kind.len())
    }
}

/// Cells of rows × steps in row-major order. Frames that differ in labels only share them.
#[derive(Debug)]
pub struct Cells {
    buf: CellBuf,
    charge: Option<Charge>,
}

impl Deref for Cells {
    type Target = CellBuf;

    fn deref(&self) -> &CellBuf {
        &self.buf
    }
}

impl DerefMut for Cells {
    fn deref_mut(&mut self) -> &mut CellBuf {
        &mut self.buf
    }
}

impl Cells {
    /// All absent, to be filled and then [sealed](Self::seal).
    pub fn absent(context: &Arc<QueryContext>, cells: usize) -> Result<Self> {
        let charge = context.charge(0, cells.saturating_mul(9))?;
        Ok(Self {
            buf: CellBuf::absent(cells),
            charge: Some(charge),
        })
    }

    /// None yet, with room for `cells`.
    pub fn with_capacity(context: &Arc<QueryContext>, cells: usize) -> Result<Self> {
        let charge = context.charge(0, cells.saturating_mul(9))?;
        Ok(Self {
            buf: CellBuf::with_capacity(cells),
            charge: Some(charge),
        })
    }

    /// Cells that were made elsewhere, all floats.
    pub fn of(context: &Arc<QueryContext>, kind: Vec<u8>, value: Vec<f64>) -> Result<Arc<Self>> {
        let histograms = Vec::new();
        Self::of_buf(
            context,
            CellBuf {
                kind,
                value,
                histograms,
            },
        )
    }

    /// Cells that were made elsewhere.
    pub fn of_buf(context: &Arc<QueryContext>, buf: CellBuf) -> Result<Arc<Self>> {
        let charge = Some(context.charge(0, buf.kind.len().saturating_mul(9))?);
        Self { buf, charge }.seal()
    }

    /// Floats that are all present and belong to no query.
    pub fn free(value: Vec<f64>) -> Self {
        let buf = CellBuf {
            kind: vec![FLOAT; value.len()],
            value,
            histograms: Vec::new(),
        };
        Self { buf, charge: None }
    }

    /// Appends absent cells up to a total, which may pass what was asked for at first.
    pub fn grow_to(&mut self, cells: usize) -> Result<()> {
        let room = self.kind.capacity();
        if cells > room
            && let Some(charge) = &mut self.charge
        {
            charge.grow(0, room.max(cells - room).saturating_mul(9))?;
        }
        self.kind.resize(cells, ABSENT);
        self.value.resize(cells, 0.0);
        Ok(())
    }

    pub fn row_mut(&mut self, row: usize, steps: usize) -> (&mut [u8], &mut [f64]) {
        let cells = row * steps..(row + 1) * steps;
        let CellBuf { kind, value, .. } = &mut self.buf;
        (&mut kind[cells.clone()], &mut value[cells])
    }

    /// Counts the cells that are present as samples held by the query, and the memory of histograms as bytes.
    pub fn seal(mut self) -> Result<Arc<Self>> {
        let mut present = self.present();
        let mut bytes = 0;
        if !self.histograms.is_empty() {
            let weights: Vec<usize> = self
                .histograms
                .iter()
                .map(|histogram| histogram.sample_weight())
                .collect();
            let cells = self
                .kind
                .iter()
                .zip(&self.value)
                .filter(|(kind, _)| **kind == HISTOGRAM);
            present += cells
                .map(|(_, &place)| weights[place as usize] - 1)
                .sum::<usize>();
            bytes = self
                .histograms
                .iter()
                .map(|histogram| histogram.bytes() + 24)
                .sum();
        }
        if let Some(charge) = &mut self.charge {
            charge.grow(present, bytes)?;
        }
        Ok(Arc::new(self))
    }
}
