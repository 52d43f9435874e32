//! Routes that answer their own name, to see which of them takes a request.

use super::Answer;

/// Routes by name and conditions, as TOML.
pub fn named_routes<'a>(routes: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let route = |(name, conditions)| {
        format!("[[routes]]\nname = \"{name}\"\n{conditions}\nrespond = {{ body = \"{name}\" }}\n")
    };
    routes.into_iter().map(route).collect()
}

/// The name of the route that answered, or the status if none did.
pub fn route_of(answer: &Answer) -> String {
    if answer.status == 200 { answer.text() } else { answer.status.to_string() }
}
