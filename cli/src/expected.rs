//! What may stand where the next word of a command stands, as far as its help line tells.

/// A word of a help line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word to be typed as it stands.
    Keyword(String),
    /// What stands for a word of the operator's, such as `<interface>`.
    Name {
        name: String,
        /// It may be left out.
        optional: bool,
        /// It belongs to the keyword before it.
        bound: bool,
    },
}

/// The names of what may follow the words `typed` behind a command's path: `interface` where its help line says
/// `<interface>`.
///
/// A name right behind a keyword in the same brackets (`[source <interface>]`) is expected behind that keyword and nowhere
/// else; other names in their order, each once, but the last again and again if the line says `...`. Alternatives
/// (`A | B`) are looked at one by one.
pub(crate) fn expected(path: &str, help: &str, typed: &str) -> Vec<String> {
    let usage = help.strip_prefix(path).unwrap_or(help);
    let mut all: Vec<String> = usage.split(" | ").flat_map(|way| expected_in(way, typed)).collect();
    all.sort();
    all.dedup();
    all
}

/// The keywords with which what follows a command's path may begin, as long as nothing is typed there.
pub(crate) fn first_words(path: &str, help: &str, typed: &str) -> Vec<String> {
    if !typed.trim().is_empty() {
        return Vec::new();
    }
    let usage = help.strip_prefix(path).unwrap_or(help);
    let first = |way: &str| -> Vec<String> {
        let choice = choice(way);
        match tokens(way).into_iter().next() {
            _ if !choice.is_empty() => choice,
            Some(Token::Keyword(word)) => vec![word],
            _ => Vec::new(),
        }
    };
    let mut all: Vec<String> = usage.split(" | ").flat_map(first).collect();
    all.sort();
    all.dedup();
    all
}

/// The keywords of the group with which a way begins: `[packet|ip4|ip6]`.
fn choice(way: &str) -> Vec<String> {
    let group = way.trim_start().strip_prefix('[').and_then(|way| way.split_once(']'));
    let words: Vec<String> = group.map(|(group, _)| group.split('|').map(Into::into).collect()).unwrap_or_default();
    let keyword =
        |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if words.iter().all(keyword) { words } else { Vec::new() }
}

/// Whether a choice has to be made first, in spite of its brackets: VPP writes `[include|exclude] NODE COUNT`, and where it
/// writes names so, nothing before them can be left out.
fn must_choose(way: &str) -> bool {
    let behind = way.split_once(']').map(|(_, behind)| behind.trim_start()).unwrap_or_default();
    let mut first = behind.chars();
    first.next().is_some_and(|c| c.is_ascii_uppercase()) && first.next().is_some_and(|c| c.is_ascii_uppercase())
}

fn expected_in(way: &str, typed: &str) -> Vec<String> {
    let choice = choice(way);
    if !choice.is_empty() && must_choose(way) && !typed.split_whitespace().any(|word| choice.iter().any(|c| c == word))
    {
        return Vec::new();
    }
    let tokens = tokens(way);
    let behind = |keyword: &str| -> Vec<String> {
        let pairs = tokens.windows(2).filter(|pair| matches!(&pair[0], Token::Keyword(word) if word == keyword));
        let bound = pairs.filter_map(|pair| match &pair[1] {
            Token::Name { name, bound: true, .. } => Some(name.clone()),
            _ => None,
        });
        bound.collect()
    };
    let is_keyword = |word: &str| tokens.iter().any(|token| matches!(token, Token::Keyword(other) if other == word));
    let (mut waiting, mut values) = (Vec::new(), 0);
    for word in typed.split_whitespace() {
        match std::mem::take(&mut waiting) {
            names if !names.is_empty() => (),
            _ if is_keyword(word) => waiting = behind(word),
            _ => values += 1,
        }
    }
    if !waiting.is_empty() {
        return waiting;
    }
    let free: Vec<(&String, bool)> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Name { name, optional, bound: false } => Some((name, *optional)),
            _ => None,
        })
        .collect();
    if values >= free.len() && way.contains("...") {
        return free.last().map(|(name, _)| (*name).clone()).into_iter().collect();
    }
    let mut found = Vec::new();
    for (name, optional) in free.into_iter().skip(values) {
        found.push(name.clone());
        if !optional {
            break;
        }
    }
    found
}

fn tokens(way: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut depth, mut after_keyword) = (0usize, false);
    let (mut rest, mut before) = (way, ' ');
    while let Some(first) = rest.chars().next() {
        let length = first.len_utf8();
        if first == '<' {
            let (name, behind) = rest[1..].split_once('>').unwrap_or((&rest[1..], ""));
            // What stands behind a slash is part of the same word.
            if before != '/' {
                let name = name.replace(' ', "-");
                tokens.push(Token::Name { name, optional: depth > 0, bound: after_keyword });
            }
            (rest, after_keyword, before) = (behind, false, '>');
            continue;
        }
        if first.is_alphanumeric() {
            let end = rest.find(|c: char| c.is_whitespace() || "[](){}|<>".contains(c)).unwrap_or(rest.len());
            let word = &rest[..end];
            let shouted = word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
            tokens.push(match shouted {
                true => Token::Name { name: word.to_lowercase(), optional: depth > 0, bound: after_keyword },
                false => Token::Keyword(word.to_string()),
            });
            (rest, after_keyword, before) = (&rest[end..], !shouted, first);
            continue;
        }
        match first {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => (),
        }
        after_keyword &= first.is_whitespace();
        (rest, before) = (&rest[length..], first);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_in_order_and_behind_their_keywords() {
        let ping = |typed| expected("ping", "ping <ip-addr> [source <interface>] [size <bytes:56>]", typed);
        assert_eq!(ping(""), ["ip-addr"]);
        assert_eq!(ping("10.0.0.1 "), Vec::<String>::new());
        assert_eq!(ping("10.0.0.1 source "), ["interface"]);
        assert_eq!(ping("10.0.0.1 source pg0 size "), ["bytes:56"]);
        let mtu = |typed| expected("x", "x [packet|ip4|ip6] <value> <interface>", typed);
        assert_eq!(mtu(""), ["value"]);
        assert_eq!(mtu("packet "), ["value"]);
        assert_eq!(mtu("packet 1500 "), ["interface"]);
        assert_eq!(mtu("1500 pg0 "), Vec::<String>::new());
    }

    #[test]
    fn what_is_left_out_repeated_or_an_alternative() {
        assert_eq!(expected("show adj", "show adj [<adj-index>] [<interface>]", ""), ["adj-index", "interface"]);
        let many = |typed| expected("show interface", "show interface [<interface> [<interface> ...]]", typed);
        assert_eq!(many("a b c d "), ["interface"]);
        let either = |typed| expected("d", "d {<interface> | sw_if_index <n>}", typed);
        assert_eq!(either(""), ["interface"]);
        assert_eq!(either("sw_if_index "), ["n"]);
        let route = "r <dst>/<width> via <next-hop> [<interface>] | via <interface>";
        assert_eq!(expected("r", route, "1.0.0.0/8 via "), ["interface", "next-hop"]);
        assert_eq!(expected("r", route, "1.0.0.0/8 via 10.0.0.1 "), ["interface"]);
        let filter = "t none | [include|exclude] NODE COUNT";
        assert_eq!(expected("t", filter, "include "), ["node"]);
        assert_eq!(expected("t", filter, "include pg-input "), ["count"]);
        assert_eq!(expected("t", filter, ""), Vec::<String>::new(), "a word comes first");
        assert_eq!(first_words("t", filter, ""), ["exclude", "include", "none"]);
        assert_eq!(first_words("t", filter, "none "), Vec::<String>::new());
        assert_eq!(first_words("x", "x [packet|ip4|ip6] <value> <interface>", " "), ["ip4", "ip6", "packet"]);
        assert_eq!(first_words("t", "t <node> [verbose]", ""), Vec::<String>::new());
        assert_eq!(first_words("t", "t", ""), Vec::<String>::new());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(help in "\\PC*", typed in "\\PC*") {
            expected("show", &help, &typed);
            first_words("show", &help, &typed);
        }
    }
}
