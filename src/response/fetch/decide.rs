//! [`Decision`]: what is done about a request, given what was found.
//!
//! A pure function, so that all cases can be told from a table: see the tests.

use crate::response::http::cache_status::ForwardReason;
use crate::response::outcome::{Outcome, PassReason, Staleness};

/// What is known when the decision is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// The stored response that answers the request, if there is one.
    pub(crate) stored: Option<Usability>,
    /// Whether a stale response can be revalidated without this client: by this request, or by one that does so already.
    pub(crate) can_revalidate: bool,
    /// Whether the client takes stored responses only.
    pub(crate) only_if_cached: bool,
    /// Why the answer to this request is not to be stored, if so.
    pub(crate) pass: Option<PassReason>,
    /// Whether others need not wait for what this request gets.
    pub(crate) is_for_itself: bool,
}

/// What may be done with a stored response right now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usability {
    pub(crate) is_fresh: bool,
    /// Whether the request's directives take a response of its age.
    pub(crate) is_accepted: bool,
    /// Whether it may be served while another one is fetched.
    pub(crate) while_revalidating: bool,
    /// Whether the request's directives take it although it is stale, and the response allows that.
    pub(crate) is_accepted_stale: bool,
}

impl Usability {
    pub(crate) fn is_fresh_and_accepted(self) -> bool {
        self.is_fresh && self.is_accepted
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Serve the stored response.
    Serve(Outcome),
    /// Serve the stored response, and see to it that another one takes its place.
    ServeAndRevalidate,
    /// Answer 504.
    GatewayTimeout,
    /// Have the handler answer, and do not store that.
    Pass(PassReason),
    /// Have the handler answer, without others waiting for it.
    LeadAlone,
    /// Follow the flight of the same requests, or lead it.
    Join,
}

impl Situation {
    pub(crate) fn decide(self) -> Decision {
        // 1. Serve what is stored, if both the response and the request allow it.
        if let Some(stored) = self.stored.filter(|stored| stored.is_accepted) {
            if stored.is_fresh {
                return Decision::Serve(Outcome::Hit);
            }
            if stored.while_revalidating && self.can_revalidate {
                return Decision::ServeAndRevalidate;
            }
            if stored.is_accepted_stale {
                return Decision::Serve(Outcome::Stale(Staleness::MaxStale));
            }
        }
        if self.only_if_cached {
            return Decision::GatewayTimeout;
        }
        // 2. Have the handler answer, once for as many as may share what it says.
        if let Some(reason) = self.pass {
            return Decision::Pass(reason);
        }
        if self.is_for_itself {
            return Decision::LeadAlone;
        }
        Decision::Join
    }

    /// Why a request that is not served from the store is sent on. `missing` is the reason where there is nothing for it.
    pub(crate) fn forward_reason(self, missing: ForwardReason) -> ForwardReason {
        match self.stored {
            None => missing,
            Some(stored) if stored.is_fresh => ForwardReason::Request,
            Some(_) => ForwardReason::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decision::{GatewayTimeout, Join, LeadAlone, Pass, Serve, ServeAndRevalidate};
    use super::*;

    const NOTHING: Situation = Situation {
        stored: None,
        can_revalidate: true,
        only_if_cached: false,
        pass: None,
        is_for_itself: false,
    };

    const FRESH: Usability = Usability {
        is_fresh: true,
        is_accepted: true,
        while_revalidating: true,
        is_accepted_stale: false,
    };
    const STALE: Usability = Usability {
        is_fresh: false,
        while_revalidating: false,
        ..FRESH
    };
    const REVALIDATING: Usability = Usability {
        while_revalidating: true,
        ..STALE
    };
    const MAX_STALE: Usability = Usability {
        is_accepted_stale: true,
        ..STALE
    };
    const BOTH_STALE: Usability = Usability {
        while_revalidating: true,
        ..MAX_STALE
    };

    fn refused(stored: Usability) -> Usability {
        Usability {
            is_accepted: false,
            ..stored
        }
    }

    const HIT: Decision = Serve(Outcome::Hit);
    const STALE_HIT: Decision = Serve(Outcome::Stale(Staleness::MaxStale));

    /// What is decided for a request that is answered from the store or joins; for one that cannot revalidate; with
    /// `only-if-cached`; for a HEAD; for one that is for itself.
    #[test]
    fn every_stored_response_meets_every_kind_of_request() {
        let head = Pass(PassReason::Head);
        for (stored, plain, unable, only_cached, of_head, alone) in [
            (None, Join, Join, GatewayTimeout, head, LeadAlone),
            (Some(FRESH), HIT, HIT, HIT, HIT, HIT),
            (Some(STALE), Join, Join, GatewayTimeout, head, LeadAlone),
            (
                Some(REVALIDATING),
                ServeAndRevalidate,
                Join,
                ServeAndRevalidate,
                ServeAndRevalidate,
                ServeAndRevalidate,
            ),
            (
                Some(MAX_STALE),
                STALE_HIT,
                STALE_HIT,
                STALE_HIT,
                STALE_HIT,
                STALE_HIT,
            ),
            (
                Some(BOTH_STALE),
                ServeAndRevalidate,
                STALE_HIT,
                ServeAndRevalidate,
                ServeAndRevalidate,
                ServeAndRevalidate,
            ),
            (
                Some(refused(FRESH)),
                Join,
                Join,
                GatewayTimeout,
                head,
                LeadAlone,
            ),
            (
                Some(refused(BOTH_STALE)),
                Join,
                Join,
                GatewayTimeout,
                head,
                LeadAlone,
            ),
        ] {
            let situation = Situation { stored, ..NOTHING };
            assert_eq!(situation.decide(), plain, "{situation:?}");
            let case = Situation {
                can_revalidate: false,
                ..situation
            };
            assert_eq!(case.decide(), unable, "{case:?}");
            let case = Situation {
                only_if_cached: true,
                ..situation
            };
            assert_eq!(case.decide(), only_cached, "{case:?}");
            let case = Situation {
                pass: Some(PassReason::Head),
                ..situation
            };
            assert_eq!(case.decide(), of_head, "{case:?}");
            let case = Situation {
                is_for_itself: true,
                ..situation
            };
            assert_eq!(case.decide(), alone, "{case:?}");
        }
    }

    /// Where several reasons keep a request from the store, the first of these holds.
    #[test]
    fn a_gateway_timeout_comes_before_a_pass_and_a_pass_before_a_lead() {
        let all = Situation {
            only_if_cached: true,
            pass: Some(PassReason::Range),
            is_for_itself: true,
            ..NOTHING
        };
        assert_eq!(all.decide(), GatewayTimeout);
        let two = Situation {
            only_if_cached: false,
            ..all
        };
        assert_eq!(two.decide(), Pass(PassReason::Range));
        let one = Situation { pass: None, ..two };
        assert_eq!(one.decide(), LeadAlone);
    }

    /// Nothing that the request refuses is ever served, and with `only-if-cached` the handler never runs.
    #[test]
    fn no_combination_serves_what_is_refused_or_runs_the_handler_for_a_stored_only_request() {
        let bit = |bits: u32, nth: u32| bits >> nth & 1 == 1;
        for bits in 0..1 << 9 {
            let usability = Usability {
                is_fresh: bit(bits, 0),
                is_accepted: bit(bits, 1),
                while_revalidating: bit(bits, 2),
                is_accepted_stale: bit(bits, 3),
            };
            let situation = Situation {
                stored: bit(bits, 4).then_some(usability),
                can_revalidate: bit(bits, 5),
                only_if_cached: bit(bits, 6),
                pass: bit(bits, 7).then_some(PassReason::NoStore),
                is_for_itself: bit(bits, 8),
            };
            let decision = situation.decide();
            let serves = matches!(decision, Serve(_) | ServeAndRevalidate);
            let is_servable = situation.stored.is_some_and(|stored| {
                stored.is_accepted
                    && (stored.is_fresh
                        || stored.is_accepted_stale
                        || (stored.while_revalidating && situation.can_revalidate))
            });
            assert_eq!(serves, is_servable, "{situation:?}");
            if situation.only_if_cached {
                assert!(serves || decision == GatewayTimeout, "{situation:?}");
            } else {
                assert_ne!(decision, GatewayTimeout, "{situation:?}");
            }
            let is_pass = matches!(decision, Pass(_));
            assert!(!is_pass || situation.pass.is_some(), "{situation:?}");
        }
    }

    #[test]
    fn the_reason_is_that_of_what_was_stored() {
        for (stored, want) in [
            (None, ForwardReason::VaryMiss),
            (Some(refused(FRESH)), ForwardReason::Request),
            (Some(STALE), ForwardReason::Stale),
        ] {
            let situation = Situation { stored, ..NOTHING };
            assert_eq!(situation.forward_reason(ForwardReason::VaryMiss), want);
        }
    }
}
