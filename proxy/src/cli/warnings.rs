//! What is no mistake of a configuration and still worth a look: each room says it of what it knows.

use crate::{
    config::{Config, ConfigError},
    routing::open_methods,
    tls::acme::unwritable_state,
};

/// All warnings, in the order of the file.
pub(super) fn of(config: &Config) -> Vec<ConfigError> {
    let mut warnings = open_methods(config);
    warnings.extend(unwritable_state(config));
    warnings.sort_by_key(|warning| warning.position);
    warnings
}
