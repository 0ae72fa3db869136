//! What one driver measured, and the median of several.

use serde::{Deserialize, Serialize};

/// What one driver measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) figures: Figures,
    /// What became of messages that nobody answers.
    pub(crate) delivery: Option<Delivery>,
}

/// The figures of one cell, as far as it has them: there is no latency where nobody waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) ops_per_s: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) mb_per_s: Option<f64>,
    pub(crate) cpu_us_per_op: Option<f64>,
    pub(crate) rss_mb: Option<f64>,
    /// What the other stream moved meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bulk_mb_per_s: Option<f64>,
    /// The memory of the server per idle thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_kb: Option<f64>,
    /// How much more memory the sender had resident at its peak than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sender_growth_mb: Option<f64>,
    /// The same of the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receiver_growth_mb: Option<f64>,
}

/// What became of messages that nobody answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) order_breaks: u64,
}

// === impl Figures ===

impl Figures {
    /// The median of each figure on its own.
    pub(crate) fn median(samples: &[Sample]) -> Self {
        let of = |figure: fn(&Self) -> Option<f64>| {
            median(samples.iter().filter_map(|sample| figure(&sample.figures)).collect())
        };
        Self {
            ops_per_s: of(|figures| figures.ops_per_s),
            p50_us: of(|figures| figures.p50_us),
            p99_us: of(|figures| figures.p99_us),
            p999_us: of(|figures| figures.p999_us),
            mb_per_s: of(|figures| figures.mb_per_s),
            cpu_us_per_op: of(|figures| figures.cpu_us_per_op),
            rss_mb: of(|figures| figures.rss_mb),
            bulk_mb_per_s: of(|figures| figures.bulk_mb_per_s),
            idle_kb: of(|figures| figures.idle_kb),
            sender_growth_mb: of(|figures| figures.sender_growth_mb),
            receiver_growth_mb: of(|figures| figures.receiver_growth_mb),
        }
    }
}

// === impl Delivery ===

impl Delivery {
    /// All that the samples' messages came to; none if they sent none.
    pub(crate) fn sum(samples: &[Sample]) -> Option<Self> {
        samples.iter().filter_map(|sample| sample.delivery).reduce(|a, b| Self {
            sent: a.sent + b.sent,
            received: a.received + b.received,
            order_breaks: a.order_breaks + b.order_breaks,
        })
    }

    /// How many messages did not arrive.
    pub(crate) const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ops_per_s: f64, p50_us: Option<f64>) -> Sample {
        Sample {
            figures: Figures { ops_per_s: Some(ops_per_s), p50_us, ..Figures::default() },
            delivery: None,
        }
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let samples = [sample(1.0, Some(30.0)), sample(2.0, Some(10.0)), sample(3.0, Some(20.0))];
        let figures = Figures::median(&samples);
        assert_eq!((figures.ops_per_s, figures.p50_us, figures.p99_us), (Some(2.0), Some(20.0), None));
    }

    #[test]
    fn deliveries_add_up() {
        let delivery = Delivery { sent: 5, received: 4, order_breaks: 1 };
        let flow = Sample { delivery: Some(delivery), ..sample(1.0, None) };
        let sum = Delivery { sent: 10, received: 8, order_breaks: 2 };
        assert_eq!(Delivery::sum(&[flow.clone(), flow]), Some(sum));
        assert_eq!(Delivery::sum(&[sample(1.0, None)]), None);
    }
}
