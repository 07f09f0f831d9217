//! What our paths may cost at most.

use crate::count::Counts;
use crate::path::{Cell, Path};
use nori_cache_benches::subjects::{
    FLOOR, OURS, OURS_ADAPTIVE, OURS_NO_TTL, OURS_TICKING, OURS_WEIGHED, OURS_WEIGHED_LOOSELY,
};

/// What another compiler may make of the same sources, in per cent.
const SLACK: u64 = 5;

enum Limit {
    Instructions(u64),
    /// So many more than the bare map's.
    AboveFloor(u64),
    /// So many per cent of what our cache takes that has no such option.
    OfPlain(u64),
}

impl Limit {
    /// The subject that it is measured by.
    fn basis(&self) -> Option<&'static str> {
        match self {
            Self::Instructions(_) => None,
            Self::AboveFloor(_) => Some(FLOOR),
            Self::OfPlain(_) => Some(OURS),
        }
    }
}

const BUDGETS: &[(Cell, Limit)] = &[
    (("hit", OURS_NO_TTL), Limit::AboveFloor(46)),
    (("hit", OURS_TICKING), Limit::AboveFloor(46)),
    (("hit", OURS), Limit::AboveFloor(77)),
    (("hit", OURS_ADAPTIVE), Limit::AboveFloor(77)),
    (("hot", OURS), Limit::Instructions(231)),
    (("miss", OURS), Limit::Instructions(140)),
    (("update", OURS), Limit::Instructions(686)),
    (("insert-evicting", OURS), Limit::Instructions(822)),
    (("insert-into-room", OURS), Limit::Instructions(818)),
    (("update", OURS_ADAPTIVE), Limit::Instructions(872)),
    (
        ("insert-evicting", OURS_ADAPTIVE),
        Limit::Instructions(1_100),
    ),
    (
        ("insert-into-room", OURS_ADAPTIVE),
        Limit::Instructions(1_010),
    ),
    (("update", OURS_WEIGHED), Limit::OfPlain(110)),
    (("update", OURS_WEIGHED_LOOSELY), Limit::OfPlain(110)),
    (("insert-evicting", OURS_WEIGHED), Limit::OfPlain(110)),
    (
        ("insert-evicting", OURS_WEIGHED_LOOSELY),
        Limit::OfPlain(110),
    ),
    (("insert-into-room", OURS_WEIGHED), Limit::OfPlain(110)),
    (
        ("insert-into-room", OURS_WEIGHED_LOOSELY),
        Limit::OfPlain(110),
    ),
    (("insert-remove", OURS), Limit::Instructions(1_164)),
    (("load-hit", OURS), Limit::Instructions(228)),
    (("load-hit-async", OURS), Limit::Instructions(252)),
    (("load-cold", OURS), Limit::Instructions(2_915)),
    (("typed-get-through-dyn", OURS), Limit::Instructions(349)),
    (("shared-get-through-dyn", OURS), Limit::Instructions(423)),
    (("tagged-get-through-dyn", OURS), Limit::Instructions(488)),
    (("near-get-through-dyn", OURS), Limit::Instructions(440)),
    (
        ("near-tagged-get-through-dyn", OURS),
        Limit::Instructions(498),
    ),
    (("plain-load-through-dyn", OURS), Limit::Instructions(472)),
    (("kept-load-through-dyn", OURS), Limit::Instructions(592)),
    (("tagged-load-through-dyn", OURS), Limit::Instructions(690)),
    (("incr-in-memory", OURS), Limit::Instructions(302)),
];

fn of(cell: Cell) -> Option<&'static Limit> {
    let found = BUDGETS.iter().find(|(other, _)| *other == cell);
    found.map(|(_, limit)| limit)
}

/// Whether a cell's count is needed to check the budgets.
pub fn needs((path, subject): Cell) -> bool {
    let is_basis =
        |&((other, _), ref limit): &(Cell, Limit)| other == path && limit.basis() == Some(subject);
    of((path, subject)).is_some() || BUDGETS.iter().any(is_basis)
}

/// A budget as the table shows it.
pub fn text(cell: Cell) -> String {
    match of(cell) {
        Some(Limit::Instructions(most)) => most.to_string(),
        Some(Limit::AboveFloor(more)) => format!("{FLOOR} + {more}"),
        Some(Limit::OfPlain(percent)) => format!("{percent} % of {OURS}"),
        None => String::new(),
    }
}

/// Whether all budgets of some paths hold. Says which do not.
pub fn hold(paths: &[&Path], counts: &Counts) -> bool {
    let mut hold = true;
    let counted = |path, subject| counts.get(&(path, subject)).copied();
    for ((path, subject), limit) in BUDGETS {
        // Without the feature `redis` there are no near hits.
        if !paths
            .iter()
            .any(|it| it.name == *path && it.runs().next().is_some())
        {
            continue;
        }
        let most = match limit {
            Limit::Instructions(most) => Some(*most),
            Limit::AboveFloor(more) => counted(path, FLOOR).map(|floor| floor + more),
            Limit::OfPlain(percent) => counted(path, OURS).map(|plain| plain * percent / 100),
        };
        let (Some(most), Some(count)) = (most, counted(path, subject)) else {
            println!("{path}, {subject}: not counted");
            hold = false;
            continue;
        };
        let most = most + most * SLACK / 100;
        if count > most {
            println!("{path}, {subject}: {count} instructions, {most} are allowed");
            hold = false;
        }
    }
    hold
}
