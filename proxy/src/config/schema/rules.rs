//! What the types of this room cannot say: that texts may have variables in them, and which keys of an
//! auth scheme belong to its type.

use serde_json::{Map, Value, json};

use super::auth::KEYS_BY_TYPE;

/// Words that say what a text must look like.
const ASSERTIONS: [&str; 3] = ["enum", "const", "pattern"];

/// Lets every text be one with a variable in it, whatever it must be otherwise.
pub(super) fn admit_variables(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(admit_variables);
            // One of several words is one text, which a variable may be whatever the words are.
            if let Some(words) = map.remove("oneOf") {
                map.insert("anyOf".to_owned(), words);
            }
            admit_here(map);
        }
        Value::Array(all) => all.iter_mut().for_each(admit_variables),
        _ => {}
    }
}

fn admit_here(map: &mut Map<String, Value>) {
    if map.get("type").is_none_or(|kind| kind != "string") {
        return;
    }
    let said = ASSERTIONS.into_iter().filter_map(|word| map.remove_entry(word));
    let said: Map<String, Value> = said.collect();
    if !said.is_empty() {
        map.insert("anyOf".to_owned(), json!([said, { "pattern": r"\$\{" }]));
    }
}

/// Refuses keys of other types of auth schemes.
pub(super) fn divide_by_type(scheme: &mut Value) {
    let keys = scheme["properties"].as_object().expect("a table has properties");
    let rules: Vec<Value> = KEYS_BY_TYPE
        .iter()
        .map(|(kind, own)| {
            let is_foreign = |key: &&String| *key != "type" && !own.contains(&key.as_str());
            let foreign: Map<String, Value> =
                keys.keys().filter(is_foreign).map(|key| (key.clone(), Value::Bool(false))).collect();
            json!({ "if": { "properties": { "type": { "const": kind } } }, "then": { "properties": foreign } })
        })
        .collect();
    scheme["allOf"] = Value::Array(rules);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_form_may_be_a_variable() {
        let mut schema = json!({ "properties": {
            "type": { "type": "string", "enum": ["a", "b"], "description": "said" },
            "pattern": { "type": "string" },
            "size": { "anyOf": [{ "type": "string", "pattern": "^[0-9]+B$" }, { "type": "integer" }] },
        }});
        admit_variables(&mut schema);
        let variable = json!({ "pattern": r"\$\{" });
        assert_eq!(
            schema,
            json!({ "properties": {
                "type": {
                    "type": "string",
                    "description": "said",
                    "anyOf": [{ "enum": ["a", "b"] }, variable],
                },
                "pattern": { "type": "string" },
                "size": { "anyOf": [
                    { "type": "string", "anyOf": [{ "pattern": "^[0-9]+B$" }, variable] },
                    { "type": "integer" },
                ] },
            }})
        );
    }

    #[test]
    fn a_scheme_has_the_keys_of_its_type_alone() {
        let schema: Value = serde_json::from_str(&super::super::text()).expect("is JSON");
        let rules = schema["$defs"]["AuthScheme"]["allOf"].as_array().expect("are there");
        let of = |kind| {
            let is_meant = |rule: &&Value| rule["if"]["properties"]["type"]["const"] == kind;
            &rules.iter().find(is_meant).expect("is there")["then"]["properties"]
        };
        assert_eq!(of("mtls")["jwks_url"], false);
        assert_eq!(of("jwt")["jwks_url"], Value::Null);
        assert_eq!(of("jwt")["users"], false);
    }
}
