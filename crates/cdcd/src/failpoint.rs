//! Steps at which a failure test ends the process, as a loss of power would.
//!
//! Nothing of it is in a build without the feature `failpoints`. `FAILPOINTS="commit.before=2*off->return"` ends the
//! process before its third commit.

/// Keeps the points switched on as `FAILPOINTS` says.
#[cfg(feature = "failpoints")]
pub(crate) fn set_up() -> impl Sized {
    fail::FailScenario::setup()
}

/// The step of this name is next, or done.
#[inline]
pub(crate) fn reached(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| std::process::abort());
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}
