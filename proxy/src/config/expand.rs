//! `${VAR}` and `${VAR:-default}` inside strings; `$${` stands for a literal `${`.

use super::{error::Problem, section::Lookup};

pub(super) fn expand(text: &str, variables: Lookup<'_>) -> Result<String, Problem> {
    expand_or(text, variables, |name| format!("\"{name}\" is not the name of a variable"))
}

/// The same with messages that show nothing of `text` but names of variables.
pub(super) fn expand_secret(text: &str, variables: Lookup<'_>) -> Result<String, Problem> {
    expand_or(text, variables, |_| "\"${\" without the name of a variable".to_owned())
}

/// `no_name` says what is wrong with what stands where a name must.
fn expand_or(
    text: &str,
    variables: Lookup<'_>,
    no_name: fn(&str) -> String,
) -> Result<String, Problem> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            expanded.push_str(&rest[..start - 1]);
            expanded.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        expanded.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = inside.find('}').ok_or_else(|| {
            Problem::new("\"${\" without \"}\"").hint("write $${ for a literal ${")
        })?;
        expanded.push_str(&resolve(&inside[..end], variables, no_name)?);
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn resolve(
    reference: &str,
    variables: Lookup<'_>,
    no_name: fn(&str) -> String,
) -> Result<String, Problem> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Problem::new(no_name(name)).hint("write $${ for a literal ${"));
    }
    match (variables(name).filter(|value| !value.is_empty() || default.is_none()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Problem::new(format!("environment variable {name} is not set"))
            .hint(format!("set it, or give a default: ${{{name}:-…}}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced() {
        for (text, expected) in [
            ("plain $ {x}", "plain $ {x}"),
            ("http://${HOST}:80", "http://db:80"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY:-filled}", "filled"),
            ("${EMPTY}", ""),
            ("$${HOST}", "${HOST}"),
            ("${HOST}${HOST}", "dbdb"),
        ] {
            assert_eq!(expand(text, &variables).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_an_open_brace_and_a_bad_name_are_refused() {
        for text in ["${NONE}", "${HOST", "${a b}", "${}"] {
            assert!(expand(text, &variables).is_err(), "{text}");
        }
    }
}
