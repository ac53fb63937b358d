//! Which process captures for a connector: what it claims in the position, and what a fence means.

use cdcd_capture::position::{Guarantee, Position};

use crate::connector::source::{ExactlyOnce, SourceSettings};
use crate::exit::Failure;

/// Makes the position ours; gives what must be committed at once, so that who was fenced finds it.
pub fn claim(position: &mut Position, run_id: &str, guarantee: Guarantee) -> Position {
    run_id.clone_into(&mut position.writer);
    position.writer_epoch += 1;
    Position { guarantee, ..position.clone() }
}

/// Whether a failed life may be followed by another. Of two that start together one fences the other before either
/// has run.
pub fn may_try_again(failure: &Failure, has_run: bool) -> bool {
    failure.transient && (has_run || is_fenced(failure))
}

/// Whether Kafka said that another producer has our transactional id, or ended our transaction.
pub fn is_fenced(failure: &Failure) -> bool {
    failure
        .error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<cdcd_kafka::Error>())
        .any(|error| matches!(error, cdcd_kafka::Error::Fenced { .. }))
}

/// Kafka says the same when another process took over and when it ended a transaction that took too long. The
/// position tells them apart: whoever takes over writes it first.
pub fn judge_fenced(
    settings: &SourceSettings,
    failure: Failure,
    position: Result<Option<Position>, Failure>,
) -> Failure {
    match position.map(|position| refuse_if_taken_over(settings, position.as_ref())) {
        Ok(Err(taken_over)) => taken_over,
        Ok(Ok(())) => failure,
        Err(error) => error.context("looking for the process that took over"),
    }
}

/// What a guard found may be the work of who took over: that slot is ahead of us because of it.
pub fn judge_guard(
    settings: &SourceSettings,
    failure: Failure,
    position: Result<Option<Position>, Failure>,
) -> Failure {
    match position.map(|position| refuse_if_taken_over(settings, position.as_ref())) {
        Ok(Err(taken_over)) => taken_over,
        _ => failure,
    }
}

/// # Errors
/// `E_FENCED` if another process has claimed the position.
pub fn refuse_if_taken_over(settings: &SourceSettings, position: Option<&Position>) -> Result<(), Failure> {
    match position {
        Some(position) if position.writer != settings.capture.run_id => Err(Failure::guard(
            "E_FENCED",
            format!(
                "another process ({}, number {}) captures for connector {} now",
                position.writer, position.writer_epoch, settings.name
            ),
        )
        .hint("one process a connector name: stop one of them, or give it a name of its own")),
        _ => Ok(()),
    }
}

/// Exactly once, once promised, is not given up in silence.
///
/// # Errors
/// `E_GUARANTEE` if Kafka refuses now what it did before.
pub fn check_guarantee(
    settings: &SourceSettings,
    now: Guarantee,
    position: Option<&Position>,
) -> Result<(), Failure> {
    let before = position.map(|position| position.guarantee);
    if (before, now) != (Some(Guarantee::ExactlyOnce), Guarantee::AtLeastOnce) {
        return Ok(());
    }
    if settings.exactly_once == ExactlyOnce::Off {
        tracing::warn!("AT LEAST ONCE from here on (cdcd.delivery): a crash may repeat events");
        return Ok(());
    }
    Err(Failure::guard(
        "E_GUARANTEE",
        "events were delivered exactly once so far, and Kafka refuses transactions now".to_owned(),
    )
    .hint("give the user Write and Describe on the transactional id, or consent with cdcd.delivery=at-least-once"))
}
