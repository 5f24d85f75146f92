//! The words after a command's path.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use nom::branch::alt;
use nom::bytes::complete::{is_not, take_while1};
use nom::character::complete::{char, multispace0};
use nom::combinator::{opt, recognize};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};
use vnet::fib::Address;
use vnet::wire::Mac;
use vnet::{IfIndex, NodeId, Router};

use crate::error::CliError;

/// A cursor over the words of a command. Every parser takes the next word, or says which word was at fault and what was
/// expected; the cursor then stays where it was.
#[derive(Clone, Debug)]
pub struct Args<'l> {
    rest: &'l str,
}

/// One word: bare, or in double quotes.
fn word(input: &str) -> IResult<&str, &str> {
    let quoted = delimited(char('"'), recognize(opt(is_not("\""))), char('"'));
    let bare = take_while1(|c: char| !c.is_whitespace());
    preceded(multispace0, alt((quoted, bare))).parse(input)
}

impl<'l> Args<'l> {
    /// The words of a line.
    pub fn new(line: &'l str) -> Args<'l> {
        Args { rest: line }
    }

    /// All words that are left, as they were typed.
    pub fn rest(&self) -> &'l str {
        self.rest.trim()
    }

    /// Takes all words that are left, as they were typed.
    pub fn take_rest(&mut self) -> &'l str {
        let rest = self.rest();
        self.rest = "";
        rest
    }

    /// Whether no word is left.
    pub fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// The next word, which stays.
    pub fn peek(&self) -> Option<&'l str> {
        word(self.rest).ok().map(|(_, word)| word)
    }

    /// Takes the next word.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<&'l str> {
        let (rest, word) = word(self.rest).ok()?;
        self.rest = rest;
        Some(word)
    }

    /// Takes the next word if it is this one.
    pub fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek() == Some(keyword);
        if found {
            self.next();
        }
        found
    }

    /// Takes the next word, or says that `what` is missing.
    ///
    /// # Errors
    /// When no word is left.
    pub fn word(&mut self, what: &str) -> Result<&'l str, CliError> {
        self.next().ok_or_else(|| CliError::at(format!("expected {what}, got nothing")))
    }

    /// Takes a word that parses.
    ///
    /// # Errors
    /// Names the word, and what was expected.
    pub fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, CliError> {
        let mut ahead = self.clone();
        let word = ahead.word(what)?;
        let value = word.parse().map_err(|_| CliError::at(format!("expected {what}, got `{word}'")))?;
        *self = ahead;
        Ok(value)
    }

    /// Takes a whole number in a range; decimal, or hexadecimal after `0x`.
    ///
    /// # Errors
    /// Names the word and the range.
    pub fn number<T>(&mut self, what: &str, range: RangeInclusive<T>) -> Result<T, CliError>
    where
        T: TryFrom<u64> + PartialOrd + Display + Copy,
    {
        let mut ahead = self.clone();
        let word = ahead.word(&format!("{what} from {} to {}", range.start(), range.end()))?;
        let value = match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => word.parse::<u64>().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit())),
        };
        let value = value.and_then(|value| T::try_from(value).ok()).filter(|value| range.contains(value));
        let value = value.ok_or_else(|| {
            CliError::at(format!("expected {what} from {} to {}, got `{word}'", range.start(), range.end()))
        })?;
        *self = ahead;
        Ok(value)
    }

    /// Takes an IPv4 address.
    ///
    /// # Errors
    /// Names the word.
    pub fn ip4(&mut self, what: &str) -> Result<Ipv4Addr, CliError> {
        self.parse(&format!("{what}, an IPv4 address"))
    }

    /// Takes an address of either family.
    ///
    /// # Errors
    /// Names the word.
    pub fn ip(&mut self, what: &str) -> Result<IpAddr, CliError> {
        self.parse(&format!("{what}, an IPv4 or IPv6 address"))
    }

    /// Takes an address of the family.
    ///
    /// # Errors
    /// Names the word.
    pub fn address_of<A: Address>(&mut self, what: &str) -> Result<A, CliError> {
        self.parse(&format!("{what}, an {} address", family::<A>()))
    }

    /// Whether the next word is meant to be IPv6: it has a colon.
    pub fn is_ip6(&self) -> bool {
        self.peek().is_some_and(|word| word.contains(':'))
    }

    /// Takes an IPv4 address with a prefix length, `A/L`; host bits stay.
    ///
    /// # Errors
    /// Names the word; a length over 32 in VPP's words.
    pub fn ip4_prefix(&mut self) -> Result<(Ipv4Addr, u8), CliError> {
        self.prefix_of()
    }

    /// Takes an address of the family with a prefix length, `A/L`; host bits stay.
    ///
    /// # Errors
    /// Names the word; a length beyond the family's bits in VPP's words.
    pub fn prefix_of<A: Address>(&mut self) -> Result<(A, u8), CliError> {
        let mut ahead = self.clone();
        let word = ahead.word(&format!("an {} address/length", family::<A>()))?;
        let bad = || CliError::at(format!("expected an {} address/length, got `{word}'", family::<A>()));
        let (address, length) = word.split_once('/').ok_or_else(bad)?;
        let address = address.parse().map_err(|_| bad())?;
        let length: u32 = Some(length)
            .filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|length| length.parse().ok())
            .ok_or_else(bad)?;
        if length > u32::from(A::BITS) {
            return Err(CliError::bare(format!("Invalid prefix len: {length}")));
        }
        *self = ahead;
        Ok((address, length as u8))
    }

    /// Takes a MAC.
    ///
    /// # Errors
    /// Names the word.
    pub fn mac(&mut self) -> Result<Mac, CliError> {
        self.parse("a MAC such as 02:00:00:00:00:01")
    }

    /// Takes the name of an interface.
    ///
    /// # Errors
    /// Shows what stands there, as VPP does.
    pub fn interface(&mut self, router: &Router) -> Result<IfIndex, CliError> {
        let unknown = CliError::at(format!("unknown interface `{}'", self.rest()));
        let mut ahead = self.clone();
        ahead.clone().word("an interface")?;
        let index = ahead.next().and_then(|name| router.interface_by_name(name)).ok_or(unknown)?;
        *self = ahead;
        Ok(index)
    }

    /// Takes the name of a node.
    ///
    /// # Errors
    /// Shows what stands there.
    pub fn node(&mut self, router: &Router) -> Result<NodeId, CliError> {
        let unknown = CliError::at(format!("unknown node `{}'", self.rest()));
        let mut ahead = self.clone();
        ahead.clone().word("a node")?;
        let node = ahead.next().and_then(|name| router.node(name)).ok_or(unknown)?;
        *self = ahead;
        Ok(node)
    }

    /// The next word as errors show it: in quotes, or `nothing` without.
    pub fn got(&self) -> String {
        self.peek().map_or_else(|| "nothing".into(), |word| format!("`{word}'"))
    }

    /// The error for a word that nobody understands.
    pub fn unknown(&self) -> CliError {
        CliError::at(format!("unknown input `{}'", self.rest()))
    }

    /// Makes sure that no word is left. Commands call this before they do anything.
    ///
    /// # Errors
    /// Shows the words that are left.
    pub fn end(&self) -> Result<(), CliError> {
        if self.is_empty() { Ok(()) } else { Err(self.unknown()) }
    }
}

fn family<A: Address>() -> &'static str {
    if A::BITS == 32 { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes() {
        let mut args = Args::new(r#"  one "two three" "" four "#);
        let words: Vec<_> = std::iter::from_fn(|| args.next()).collect();
        assert_eq!(words, ["one", "two three", "", "four"]);
    }

    #[test]
    fn errors_name_the_word_and_what_was_expected() {
        let fails = |result: Result<(), CliError>| result.unwrap_err().line("x");
        assert_eq!(
            fails(Args::new("foo").number("a port", 0..=65535u32).map(drop)),
            "x: expected a port from 0 to 65535, got `foo'"
        );
        assert_eq!(
            fails(Args::new("65536").number("a port", 0..=65535u32).map(drop)),
            "x: expected a port from 0 to 65535, got `65536'"
        );
        assert_eq!(fails(Args::new("1.1.1.0/33").ip4_prefix().map(drop)), "Invalid prefix len: 33");
        assert_eq!(
            fails(Args::new("300.1.1.1/24").ip4_prefix().map(drop)),
            "x: expected an IPv4 address/length, got `300.1.1.1/24'"
        );
        assert_eq!(fails(Args::new(" foo bar").end()), "x: unknown input `foo bar'");
        assert_eq!(
            fails(Args::new("").ip4("a next hop").map(drop)),
            "x: expected a next hop, an IPv4 address, got nothing"
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(line in "\\PC*") {
            let mut args = Args::new(&line);
            let _ = (args.number("n", 0..=9u8), args.ip4_prefix(), args.mac(), args.ip4("a"), args.end());
            while args.next().is_some() {}
        }
    }
}
