//! The tree against the ordered list that it is a short cut of, whose patterns matchit matches.

use proptest::prelude::*;

use super::*;

/// The patterns that match, as the tree gives them, each with what its placeholders stand for.
fn found(patterns: &[String], path: &str) -> Vec<(String, Vec<String>)> {
    let mut tree = PathTree::default();
    for (index, pattern) in patterns.iter().enumerate() {
        tree.number(pattern).get_or_insert(index);
    }
    let mut found = Vec::new();
    tree.find(path, |index, values| {
        let text = |span: &Span| span.of(path).to_owned();
        found.push((patterns[index].clone(), values.iter().map(text).collect()));
        None::<()>
    });
    found
}

/// What matchit says of one pattern.
fn alone(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut router = matchit::Router::new();
    router.insert(pattern, ()).expect("is a pattern");
    let found = router.at(path).ok()?;
    Some(found.params.iter().map(|(_, value)| value.to_owned()).collect())
}

/// Text before text around a placeholder, that before a placeholder alone, and that before all that
/// follows; of texts around one, the longest first.
fn rank(pattern: &str) -> Vec<(u8, usize, bool, usize)> {
    let segment = |segment: &str| match placeholder(segment) {
        None => (0, 0, false, 0),
        Some(("", "", takes_all)) => (2, 0, takes_all, 0),
        Some((before, behind, takes_all)) => {
            (1, usize::MAX - before.len(), takes_all, usize::MAX - behind.len())
        }
    };
    pattern.split('/').skip(1).map(segment).collect()
}

fn pattern() -> impl Strategy<Value = String> {
    let segment =
        prop::sample::select(vec!["a", "b", "ab", "", "{}", "a{}", "{}b", "a{}b", "ab{}"]);
    let end = prop::sample::select(vec!["", "/{*}", "/a{*}"]);
    (prop::collection::vec(segment, 1..4), end).prop_map(|(segments, end)| {
        let text = format!("/{}{end}", segments.join("/"));
        let mut parts = text.split_inclusive('{');
        let mut key = parts.next().unwrap_or_default().to_owned();
        for (number, part) in parts.enumerate() {
            let (star, rest) = part.strip_prefix('*').map_or(("", part), |rest| ("*", rest));
            key.push_str(&format!("{star}p{number}{rest}"));
        }
        key
    })
}

proptest! {
    #[test]
    fn what_matches_comes_in_the_order_of_the_ranks_whatever_the_order_of_the_file(
        patterns in prop::collection::hash_set(pattern(), 1..24),
        path in "(/(|a|b|ab|aab|abb|c)){1,4}",
    ) {
        let patterns: Vec<String> = patterns.into_iter().collect();
        let matching = patterns.iter().filter_map(|one| Some((one.clone(), alone(one, &path)?)));
        let mut expected: Vec<_> = matching.collect();
        expected.sort_by_key(|(pattern, _)| rank(pattern));
        prop_assert_eq!(found(&patterns, &path), expected);
    }
}

#[test]
fn a_path_that_does_not_begin_with_a_slash_matches_nothing() {
    for path in ["", "*", "a", "a/b"] {
        assert_eq!(found(&["/{p0}".to_owned(), "/{*p0}".to_owned()], path), [], "{path}");
    }
}
