//! The words of a command's text, one after the other.

use super::fields::{Course, Span};

/// What is wrong with a description of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub(super) String);

/// The answer of every parser here.
pub(super) type Parsed<T> = Result<T, SyntaxError>;

pub(super) fn refuse<T>(reason: impl std::fmt::Display) -> Parsed<T> {
    Err(SyntaxError(reason.to_string()))
}

/// Words between white space; a brace is a word of its own.
pub(super) struct Words<'t> {
    list: Vec<&'t str>,
    at: usize,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &'t str) -> Words<'t> {
        let pieces = text.split_whitespace().flat_map(|word| word.split_inclusive(['{', '}']));
        let list = pieces.flat_map(|piece| match piece.strip_suffix(['{', '}']) {
            Some(before) => [before, &piece[before.len()..]],
            None => [piece, ""],
        });
        Words { list: list.filter(|word| !word.is_empty()).collect(), at: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'t str> {
        self.list.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<&'t str> {
        let word = self.peek();
        self.at += usize::from(word.is_some());
        word
    }

    /// Takes the word, if it is the next one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    /// The next word, which must exist.
    pub(super) fn expect(&mut self, what: &str) -> Parsed<&'t str> {
        self.next().ok_or_else(|| SyntaxError(format!("expected {what} at the end")))
    }

    /// The next word, understood by `parse`.
    pub(super) fn value<T>(&mut self, what: &str, parse: impl Fn(&str) -> Option<T>) -> Parsed<T> {
        let word = self.expect(what)?;
        parse(word).ok_or_else(|| SyntaxError(format!("expected {what}, got `{word}'")))
    }

    /// A number up to `max`.
    pub(super) fn number(&mut self, what: &str, max: u64) -> Parsed<u64> {
        self.value(what, |word| number(word).filter(|&number| number <= max))
    }

    /// The words up to the brace that closes the one just taken.
    pub(super) fn block(&mut self) -> Parsed<Words<'t>> {
        let (start, mut depth) = (self.at, 1);
        while let Some(word) = self.next() {
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => (),
            }
            if depth == 0 {
                return Ok(Words { list: self.list[start..self.at - 1].to_vec(), at: 0 });
            }
        }
        refuse("expected `}' at the end")
    }

    /// `A`, `A - B` (one more with every packet), or `A + B` (at random), spaces or not.
    pub(super) fn span(&mut self, what: &str, parse: impl Fn(&str) -> Option<u64>) -> Parsed<Span> {
        let wrong = |word: &str| SyntaxError(format!("expected {what}, got `{word}'"));
        let word = self.expect(what)?;
        let (low, rest) = match parse(word) {
            Some(low) => match self.peek() {
                Some(next) if next != "->" && next.starts_with(['-', '+']) => {
                    self.at += 1;
                    (low, next)
                }
                _ => return Ok(Span::fixed(low)),
            },
            None => {
                let sign = word.find(['-', '+']).ok_or_else(|| wrong(word))?;
                (parse(&word[..sign]).ok_or_else(|| wrong(word))?, &word[sign..])
            }
        };
        let course = if rest.starts_with('-') { Course::Step } else { Course::Random };
        let last = if rest.len() > 1 { &rest[1..] } else { self.expect(what)? };
        let high = parse(last).ok_or_else(|| wrong(last))?;
        if high < low {
            return refuse(format_args!("expected {what} of which the second is not below the first, got `{last}'"));
        }
        Ok(if high == low { Span::fixed(low) } else { Span { low, high, course } })
    }
}

/// A number, decimal or hexadecimal after `0x`.
pub(super) fn number(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    // `from_str_radix` alone would take a sign.
    digits.starts_with(|first: char| first.is_digit(radix)).then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn braces_are_words() {
        let mut words = Words::new("{name x data{a {b}}} z");
        assert!(words.take("{"));
        assert_eq!((words.next(), words.next(), words.next()), (Some("name"), Some("x"), Some("data")));
        assert!(words.take("{"));
        assert_eq!(words.block().unwrap().list, ["a", "{", "b", "}"]);
        assert_eq!((words.next(), words.next(), words.next()), (Some("}"), Some("z"), None));
        assert!(Words::new("a {").block().is_err());
    }

    #[test]
    fn spans_are_written_in_several_ways() {
        let span = |text: &str| Words::new(text).span("a number", number);
        let step = Span { low: 3, high: 16, course: Course::Step };
        for text in ["3-16", "3 - 16", "3- 16", "3 -16", "3-0x10 -> 4", "3 - 16 x"] {
            assert_eq!(span(text), Ok(step), "{text}");
        }
        assert_eq!(span("3+16"), Ok(Span { course: Course::Random, ..step }));
        assert_eq!((span("3 -> 4"), span("3-3")), (Ok(Span::fixed(3)), Ok(Span::fixed(3))));
        let error = |text: &str| span(text).unwrap_err().0;
        assert_eq!(error("x"), "expected a number, got `x'");
        assert_eq!(error("3-x"), "expected a number, got `x'");
        assert_eq!(error("3 -"), "expected a number at the end");
        assert_eq!(error("4-3"), "expected a number of which the second is not below the first, got `3'");
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let mut words = Words::new(&text);
            while words.peek().is_some() {
                let _ = words.span("a number", number);
            }
            let _ = Words::new(&text).block();
        }
    }
}
