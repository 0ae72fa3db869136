//! What qmesh is to reach, as relations between figures of one run.

use crate::{compare::Cell, sample::Figures};

/// The system that the goals are about.
const SUBJECT: &str = "qmesh";
const LIMIT: &str = "quinn-pipelined";

/// One relation.
pub(crate) struct Goal {
    scenario: &'static str,
    figure: Figure,
    bound: Bound,
}

/// A figure of a cell.
#[derive(Clone, Copy)]
enum Figure {
    Rate,
    P50,
    P99,
    Cpu,
    IdleKb,
    SenderGrowthMb,
    ReceiverGrowthMb,
    Lost,
    OrderBreaks,
}

/// What the subject's figure is compared with.
enum Bound {
    /// At least so many times the mark.
    Least(f64, Mark),
    /// At most so many times the mark.
    Most(f64, Mark),
    /// At most so much more than the mark.
    Above(f64, Mark),
    /// At most this.
    Within(f64),
}

/// A figure of another cell.
struct Mark {
    system: &'static str,
    scenario: &'static str,
    figure: Figure,
}

/// What came of a goal.
pub(crate) struct Verdict {
    pub(crate) scenario: &'static str,
    pub(crate) goal: String,
    /// The ratio, the difference or the value that the goal speaks of, and whether that is enough; absent if one of the
    /// cells was not measured.
    pub(crate) reached: Option<(f64, bool)>,
}

/// All goals, judged by these cells.
pub(crate) fn judge(cells: &[Cell]) -> Vec<Verdict> {
    goals().iter().map(|goal| goal.judge(cells)).collect()
}

/// The goals, in the order of the scenarios.
fn goals() -> Vec<Goal> {
    use Bound::{Above, Least, Most, Within};
    use Figure::{Cpu, IdleKb, Lost, OrderBreaks, P50, P99, Rate, ReceiverGrowthMb, SenderGrowthMb};

    let peer = |system, scenario, figure| Mark { system, scenario, figure };
    let own = |scenario, figure| Mark { system: SUBJECT, scenario, figure };
    let mut goals = vec![
        goal("S1", P50, Most(1.15, peer(LIMIT, "S1", P50))),
        goal("S1", Cpu, Most(1.15, peer(LIMIT, "S1", Cpu))),
    ];
    for (scenario, above_tonic) in [("S2", 6.0), ("S3", 8.0)] {
        goals.extend([
            goal(scenario, Rate, Least(0.8, peer(LIMIT, scenario, Rate))),
            goal(scenario, Rate, Least(above_tonic, peer("tonic-mtls", scenario, Rate))),
            goal(scenario, Rate, Least(1.5, peer("tarpc", scenario, Rate))),
            goal(scenario, P99, Most(3.0, own(scenario, P50))),
        ]);
    }
    goals.extend([
        goal("S4", Rate, Least(1.8, peer("tonic-mtls", "S4", Rate))),
        goal("S4", Rate, Least(0.8, peer(LIMIT, "S4", Rate))),
        goal("S5", Rate, Least(0.8, peer(LIMIT, "S5", Rate))),
        goal("S5", Rate, Least(4.0, peer("nats", "S5", Rate))),
        goal("S5", Rate, Least(15.0, peer("ractor_cluster", "S5", Rate))),
        goal("S6", Rate, Least(0.8, peer(LIMIT, "S6", Rate))),
        goal("S6", Rate, Least(1.0, peer("tonic-mtls", "S6", Rate))),
        goal("S7", Rate, Least(0.8, peer(LIMIT, "S7", Rate))),
        goal("S7-6400", Rate, Least(0.8, peer(LIMIT, "S7-6400", Rate))),
        goal("S7-6400", Rate, Least(1.0, peer("tonic-mtls", "S7-6400", Rate))),
        goal("S8", P50, Above(1.0, peer("ractor", "S8", P50))),
        goal("S8-oneway", Rate, Least(0.5, peer("ractor", "S8-oneway", Rate))),
        goal("S9", P99, Most(2.0, own("S9-alone", P99))),
        goal("S10", Rate, Least(0.9, own("S5", Rate))),
        goal("S11-session", IdleKb, Within(50.0)),
        goal("S11-channel", IdleKb, Within(12.0)),
        goal("S11-service", IdleKb, Within(12.0)),
        goal("S12", Rate, Least(0.9, peer(LIMIT, "S12", Rate))),
        goal("flood", SenderGrowthMb, Within(20.0)),
        goal("flood", ReceiverGrowthMb, Within(20.0)),
        goal("flood", Lost, Within(0.0)),
        goal("flood", OrderBreaks, Within(0.0)),
    ]);
    goals
}

const fn goal(scenario: &'static str, figure: Figure, bound: Bound) -> Goal {
    Goal { scenario, figure, bound }
}

// === impl Goal ===

impl Goal {
    fn judge(&self, cells: &[Cell]) -> Verdict {
        let value = self.figure.of(cells, SUBJECT, self.scenario);
        let name = self.figure.name();
        let (goal, reached) = match &self.bound {
            Bound::Least(times, mark) => {
                let ratio = value.zip(mark.of(cells)).map(|(value, mark)| value / mark);
                (format!("{name} at least {times} x {}", mark.name(self)), ratio.map(|it| (it, it >= *times)))
            }
            Bound::Most(times, mark) => {
                let ratio = value.zip(mark.of(cells)).map(|(value, mark)| value / mark);
                (format!("{name} at most {times} x {}", mark.name(self)), ratio.map(|it| (it, it <= *times)))
            }
            Bound::Above(more, mark) => {
                let above = value.zip(mark.of(cells)).map(|(value, mark)| value - mark);
                (
                    format!("{name} at most {more} above {}", mark.name(self)),
                    above.map(|it| (it, it <= *more)),
                )
            }
            Bound::Within(most) => {
                (format!("{name} at most {most}"), value.map(|value| (value, value <= *most)))
            }
        };
        Verdict { scenario: self.scenario, goal, reached }
    }
}

// === impl Mark ===

impl Mark {
    fn of(&self, cells: &[Cell]) -> Option<f64> {
        self.figure.of(cells, self.system, self.scenario)
    }

    /// What it is called where a goal's own scenario and figure are known.
    fn name(&self, goal: &Goal) -> String {
        match (self.system, self.scenario == goal.scenario) {
            (SUBJECT, true) => format!("its {}", self.figure.name()),
            (SUBJECT, false) => format!("its {} in {}", self.figure.name(), self.scenario),
            (system, _) => system.to_owned(),
        }
    }
}

// === impl Figure ===

impl Figure {
    const fn name(self) -> &'static str {
        match self {
            Self::Rate => "ops/s",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Cpu => "CPU/op",
            Self::IdleKb => "idle KB",
            Self::SenderGrowthMb => "sender's growth in MB",
            Self::ReceiverGrowthMb => "receiver's growth in MB",
            Self::Lost => "lost messages",
            Self::OrderBreaks => "order breaks",
        }
    }

    fn of(self, cells: &[Cell], system: &str, scenario: &str) -> Option<f64> {
        let cell = cells.iter().find(|cell| cell.system == system && cell.scenario == scenario)?;
        let Figures { ops_per_s, p50_us, p99_us, cpu_us_per_op, idle_kb, .. } = cell.figures;
        match self {
            Self::Rate => ops_per_s,
            Self::P50 => p50_us,
            Self::P99 => p99_us,
            Self::Cpu => cpu_us_per_op,
            Self::IdleKb => idle_kb,
            Self::SenderGrowthMb => cell.figures.sender_growth_mb,
            Self::ReceiverGrowthMb => cell.figures.receiver_growth_mb,
            Self::Lost => cell.delivery.map(|delivery| delivery.lost() as f64),
            Self::OrderBreaks => cell.delivery.map(|delivery| delivery.order_breaks as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample::Delivery, scenarios};

    fn cell(system: &'static str, scenario: &'static str, figures: Figures) -> Cell {
        Cell { system, scenario, figures, delivery: None }
    }

    fn verdicts(cells: &[Cell], scenario: &str) -> Vec<(String, Option<(f64, bool)>)> {
        let verdicts = judge(cells).into_iter().filter(|verdict| verdict.scenario == scenario);
        verdicts.map(|verdict| (verdict.goal, verdict.reached)).collect()
    }

    #[test]
    fn every_goal_is_about_scenarios_that_exist() {
        for goal in goals() {
            scenarios::find(goal.scenario).unwrap();
        }
    }

    #[test]
    fn a_ratio_is_reached_or_not_or_not_measured() {
        let rate = |ops_per_s| Figures { ops_per_s: Some(ops_per_s), ..Figures::default() };
        let cells =
            [cell(SUBJECT, "S5", rate(40.0)), cell(LIMIT, "S5", rate(80.0)), cell("nats", "S5", rate(10.0))];
        let s5 = verdicts(&cells, "S5");
        assert_eq!(s5[0], (format!("ops/s at least 0.8 x {LIMIT}"), Some((0.5, false))));
        assert_eq!(s5[1].1, Some((4.0, true)));
        assert_eq!(s5[2].1, None);
    }

    #[test]
    fn a_tail_is_compared_with_its_own_middle() {
        let figures = Figures { p50_us: Some(10.0), p99_us: Some(31.0), ..Figures::default() };
        let tail = verdicts(&[cell(SUBJECT, "S2", figures)], "S2").remove(3);
        assert_eq!(tail, ("p99 at most 3 x its p50".to_owned(), Some((3.1, false))));
    }

    #[test]
    fn one_lost_message_is_one_too_many() {
        let delivery = Some(Delivery { sent: 10, received: 9, order_breaks: 0 });
        let flood = verdicts(&[Cell { delivery, ..cell(SUBJECT, "flood", Figures::default()) }], "flood");
        assert_eq!(flood[2].1, Some((1.0, false)));
        assert_eq!(flood[3].1, Some((0.0, true)));
    }
}
