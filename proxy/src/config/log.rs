//! `[log]`: the access log on stdout and the events on stderr.

use super::{
    error::Problem,
    section::Section,
    value::{FromText, unknown_word},
};

#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    pub level: LogLevel,
    /// Of events on stderr; an access line is always JSON.
    pub format: LogFormat,
    /// Whether each request is logged on stdout.
    pub access: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Json, access: true }
    }
}

impl LogConfig {
    pub(super) fn read(section: Option<Section<'_>>) -> Self {
        let default = Self::default();
        let Some(mut section) = section else {
            return default;
        };
        let config = Self {
            level: section.or("level", default.level),
            format: section.or("format", default.format),
            access: section.or("access", default.access),
        };
        section.finish();
        config
    }
}

impl LogLevel {
    pub const WORDS: [&'static str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "off" => Self::Off,
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }
}

impl LogFormat {
    pub const WORDS: [&'static str; 2] = ["json", "text"];

    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "json" => Self::Json,
            "text" => Self::Text,
            _ => return None,
        })
    }
}

impl FromText for LogLevel {
    const EXPECTED: &'static str = "a level such as \"info\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        Self::parse(text).ok_or_else(|| unknown_word(text, &Self::WORDS))
    }
}

impl FromText for LogFormat {
    const EXPECTED: &'static str = "\"json\" or \"text\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        Self::parse(text).ok_or_else(|| unknown_word(text, &Self::WORDS))
    }
}
