//! The page of metrics as text, family by family, in the OpenMetrics format.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};

use super::table::{Described, Kind};
use crate::telemetry::counter::{BUCKETS, Distribution};

pub(super) type Written = Result<(), fmt::Error>;

/// What families are written to.
pub(super) struct Page<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
}

/// The values of a row's labels, in the order of the table, and its number.
pub(super) type Row<'a, const N: usize> = ([&'a str; N], u64);

impl Page<'_> {
    /// A family of a feature: it is left out if there are no rows.
    pub(super) fn rows_if_any<'r, const N: usize>(
        &mut self,
        of: &Described,
        rows: impl IntoIterator<Item = Row<'r, N>>,
    ) -> Written {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() { Ok(()) } else { self.rows(of, rows) }
    }

    /// A family with its rows.
    pub(super) fn rows<'r, const N: usize>(
        &mut self,
        of: &Described,
        rows: impl IntoIterator<Item = Row<'r, N>>,
    ) -> Written {
        let mut family = self.family(of)?;
        for (labels, value) in rows {
            let labels = named(of, &labels);
            write(family.encode_family(&labels)?, of, value)?;
        }
        Ok(())
    }

    /// A family that is one number.
    pub(super) fn number(&mut self, of: &Described, value: u64) -> Written {
        debug_assert!(of.labels.is_empty(), "{} has labels", of.name);
        let family = self.family(of)?;
        write(family, of, value)
    }

    /// A family of distributions.
    pub(super) fn histograms<'r, const N: usize>(
        &mut self,
        of: &Described,
        rows: impl IntoIterator<Item = ([&'r str; N], &'r Distribution)>,
    ) -> Written {
        let mut family = self.family(of)?;
        for (labels, distribution) in rows {
            let labels = named(of, &labels);
            write_histogram(family.encode_family(&labels)?, distribution)?;
        }
        Ok(())
    }

    fn family<'p>(&'p mut self, of: &'p Described) -> Result<MetricEncoder<'p>, fmt::Error> {
        self.encoder.encode_descriptor(of.name, of.help, None, of.kind.into())
    }
}

/// The labels of a row with their names.
fn named<'a>(of: &Described, values: &[&'a str]) -> Vec<(&'static str, &'a str)> {
    debug_assert_eq!(of.labels.len(), values.len(), "labels of {}", of.name);
    of.labels.iter().copied().zip(values.iter().copied()).collect()
}

fn write(mut row: MetricEncoder<'_>, of: &Described, value: u64) -> Written {
    match of.kind {
        Kind::Counter => row.encode_counter::<NoLabelSet, _, u64>(&value, None),
        Kind::Gauge | Kind::Histogram => row.encode_gauge(&value),
    }
}

fn write_histogram(mut row: MetricEncoder<'_>, distribution: &Distribution) -> Written {
    let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(distribution.buckets).collect();
    let sum = std::time::Duration::from_micros(distribution.sum_us).as_secs_f64();
    let count = distribution.buckets.iter().sum();
    row.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
