//! Several schemes: the first that lets the client in, else what all of them have said. What one of them
//! has called wrong was no guess if another lets the client in.

use smallvec::SmallVec;

use super::{Asked, Checked, Question, Refused, Verdict, count_if_wrong, first_look, guesses};
use crate::rate_limit::gcra::Decision;

/// The schemes that have spoken.
#[derive(Default)]
pub struct Tried {
    /// How many have; the next one is asked `question`, if there is one.
    count: usize,
    question: Option<Question>,
    refused: Option<Refused>,
    /// Guesses that were counted, with their schemes.
    wrong: SmallVec<[(usize, Decision); 2]>,
}

/// What the schemes say that need nobody else, up to the first that does.
pub(super) fn check(schemes: &[usize], mut tried: Tried, asked: Asked<'_>) -> Verdict {
    for scheme in &schemes[tried.count..] {
        match first_look(*scheme, asked) {
            Verdict::Ask(question) => {
                tried.question = Some(question);
                return Verdict::Ask(Question::Any(Box::new(tried)));
            }
            Verdict::Now(Ok(identity)) => {
                tried.give_back(asked);
                return Verdict::Now(Ok(identity));
            }
            Verdict::Now(Err(refused)) => tried.add(*scheme, refused, asked),
        }
    }
    Verdict::Now(Err(tried.refused.expect("any has at least one scheme")))
}

/// Asks what the next scheme wants to know, and goes on with those behind it.
pub(super) async fn ask(schemes: &[usize], mut tried: Tried, asked: Asked<'_>) -> Checked {
    loop {
        let scheme = schemes[tried.count];
        if let Some(question) = tried.question.take() {
            let authenticator = &asked.record.site.scheme(scheme).authenticator;
            match authenticator.ask(question, asked).await {
                Ok(identity) => {
                    tried.give_back(asked);
                    return Ok(identity);
                }
                Err(refused) => tried.add(scheme, refused, asked),
            }
        }
        match check(schemes, tried, asked) {
            Verdict::Now(checked) => return checked,
            Verdict::Ask(Question::Any(next)) => tried = *next,
            Verdict::Ask(_) => unreachable!("it asks questions of its own alone"),
        }
    }
}

impl Tried {
    fn add(&mut self, scheme: usize, refused: Refused, asked: Asked<'_>) {
        self.count += 1;
        self.wrong.extend(count_if_wrong(scheme, asked, &refused).map(|one| (scheme, one)));
        self.refused = Some(match self.refused.take() {
            None => refused,
            Some(earlier) => earlier.both(refused),
        });
    }

    fn give_back(&self, asked: Asked<'_>) {
        for (scheme, counted) in &self.wrong {
            if let Some(guesses) = guesses(*scheme, asked) {
                guesses.give_back(asked, counted);
            }
        }
    }
}
