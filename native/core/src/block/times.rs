//! The reader's side of timestamps: the directory of columns, and which slice of which column each row has.

use crate::codec::RUN;
use crate::codec::bytes::Input;
use crate::model::Millis;
use crate::{Error, Result};

/// Samples one series of one block may have; above a two-hour window of 1 ms scrapes.
pub const MAX_SAMPLES: usize = 1 << 24;

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub first: Millis,
    pub last: Millis,
    pub len: u32,
    pub bytes: ColumnBytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnBytes {
    /// Every `step` milliseconds.
    Regular { step: Millis },
    /// Encoded in a timestamp page, `len` bytes from `position`. Pages are counted after the value pages.
    Stored { page: u32, position: u32, len: u32 },
}

/// A distinct list of times: rows of a column from `first` on, without the gaps.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    pub column: u32,
    pub first: u32,
    /// Times in the list, gaps not counted.
    pub len: u32,
    gaps: (u32, u32),
}

#[derive(Debug)]
pub struct Times {
    columns: Vec<Column>,
    slices: Vec<Slice>,
    /// Rows left out, counted from the slice's first row, ascending.
    gaps: Vec<u32>,
    row_slices: Vec<u32>,
}

impl Times {
    pub fn read(bytes: &[u8], series: usize) -> Result<Self> {
        let mut input = Input::new(bytes);
        let columns = read_columns(&mut input)?;
        let (slices, gaps) = read_slices(&mut input, &columns)?;
        if series > input.remaining() {
            return Err(Error::Corrupt(format!(
                "{} bytes for the slices of {series} series",
                input.remaining()
            )));
        }
        let mut row_slices = Vec::with_capacity(series);
        let mut slice = 0i64;
        for row in 0..series {
            slice = slice.wrapping_add(input.signed()?);
            match u32::try_from(slice) {
                Ok(number) if (number as usize) < slices.len() => row_slices.push(number),
                _ => {
                    return Err(Error::Corrupt(format!(
                        "series {row} names slice {slice} of {}",
                        slices.len()
                    )));
                }
            }
        }
        input.end("timestamp directory")?;
        Ok(Self {
            columns,
            slices,
            gaps,
            row_slices,
        })
    }

    pub fn slice_of(&self, row: u32) -> u32 {
        self.row_slices[row as usize]
    }

    pub fn slice(&self, slice: u32) -> Slice {
        self.slices[slice as usize]
    }

    pub fn column_of(&self, slice: Slice) -> &Column {
        &self.columns[slice.column as usize]
    }

    pub fn gaps(&self, slice: Slice) -> &[u32] {
        &self.gaps[slice.gaps.0 as usize..slice.gaps.1 as usize]
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn samples_of(&self, row: u32) -> u32 {
        self.slice(self.slice_of(row)).len
    }

    pub fn memory_bytes(&self) -> usize {
        self.columns.capacity() * size_of::<Column>()
            + self.slices.capacity() * size_of::<Slice>()
            + 4 * (self.gaps.capacity() + self.row_slices.capacity())
    }
}

fn read_columns(input: &mut Input<'_>) -> Result<Vec<Column>> {
    let count = input.bounded(input.remaining() / 3, "column count")?;
    let mut columns = Vec::with_capacity(count);
    let mut first = 0i64;
    for number in 0..count {
        first = first.wrapping_add(input.signed()?);
        let len = input.bounded(MAX_SAMPLES, "column length")?;
        let step = input.varint()? as i64;
        let (last, bytes) = if step == 0 {
            let span = input.varint()? as i64;
            let page = input.bounded(1 << 20, "timestamp page")? as u32;
            let position = input.bounded(1 << 30, "position of a column")? as u32;
            let stored = input.bounded(1 << 30, "stored length of a column")? as u32;
            // A run takes at least five bytes.
            if len / RUN > stored as usize {
                return Err(Error::Corrupt(format!("{len} timestamps in {stored} bytes")));
            }
            (
                first.checked_add(span),
                ColumnBytes::Stored {
                    page,
                    position,
                    len: stored,
                },
            )
        } else {
            let span = step.checked_mul(len.saturating_sub(1) as i64);
            (
                span.and_then(|span| first.checked_add(span)),
                ColumnBytes::Regular { step },
            )
        };
        match last {
            Some(last) if len > 0 && (last > first) == (len > 1) => {
                columns.push(Column {
                    first,
                    last,
                    len: len as u32,
                    bytes,
                });
            }
            _ => {
                return Err(Error::Corrupt(format!(
                    "column {number} does not ascend from {first}"
                )));
            }
        }
    }
    Ok(columns)
}

fn read_slices(input: &mut Input<'_>, columns: &[Column]) -> Result<(Vec<Slice>, Vec<u32>)> {
    let count = input.bounded(input.remaining() / 4, "slice count")?;
    let mut slices = Vec::with_capacity(count);
    let mut gaps: Vec<u32> = Vec::new();
    let mut column = 0i64;
    for number in 0..count {
        column = column.wrapping_add(input.signed()?);
        let held = usize::try_from(column)
            .ok()
            .and_then(|column| columns.get(column));
        let Some(held) = held else {
            return Err(Error::Corrupt(format!(
                "slice {number} names column {column} of {}",
                columns.len()
            )));
        };
        let held = held.len as usize;
        let first = input.bounded(held - 1, "first row of a slice")?;
        let len = input.bounded(held - first, "length of a slice")?;
        let missing = input.bounded((held - first - len).min(input.remaining()), "gaps of a slice")?;
        if len == 0 {
            return Err(Error::Corrupt(format!("slice {number} is empty")));
        }
        let start = gaps.len() as u32;
        let mut row = 0;
        for place in 0..missing {
            let step = input.bounded(len + missing, "distance of a gap")?;
            row += step;
            // The first and the last row of a slice are never gaps.
            if step == 0 || row + 1 >= len + missing {
                return Err(Error::Corrupt(format!(
                    "gap {place} of slice {number} lies outside it"
                )));
            }
            gaps.push(row as u32);
        }
        let ends = (start, gaps.len() as u32);
        slices.push(Slice {
            column: column as u32,
            first: first as u32,
            len: len as u32,
            gaps: ends,
        });
    }
    Ok((slices, gaps))
}
