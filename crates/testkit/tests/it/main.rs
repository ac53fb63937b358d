//! The real services, started by the code that every other test relies on.

mod services;
