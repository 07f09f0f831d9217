//! What a shard asks of those who write to it, beside what all of them do.

/// Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needs {
    Nothing,
    /// Entries are weighed.
    Weights,
    /// Some are pinned, or somebody listens.
    All,
}

/// What a put sees to. A type, so that it is compiled without a thought of anything else.
pub(crate) trait Care {
    const NEEDS: Needs;
    const WEIGHTS: bool = matches!(Self::NEEDS, Needs::Weights);
    const ALL: bool = matches!(Self::NEEDS, Needs::All);
}

/// For shards that need nothing.
#[derive(Debug)]
pub(crate) struct Plain;

/// For those that need weights as well, and nothing else.
#[derive(Debug)]
pub(crate) struct Weighed;

/// For all of them.
#[derive(Debug)]
pub(crate) struct Special;

impl Care for Plain {
    const NEEDS: Needs = Needs::Nothing;
}

impl Care for Weighed {
    const NEEDS: Needs = Needs::Weights;
}

impl Care for Special {
    const NEEDS: Needs = Needs::All;
}
