//! The only place that reads the process environment.

/// Where environment variables come from.
pub trait Environment {
    /// A variable's value; none when it is unset or not UTF-8.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The variables of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Variables given by hand, for tests.
impl Environment for std::collections::BTreeMap<&str, &str> {
    fn variable(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| (*value).to_owned())
    }
}
