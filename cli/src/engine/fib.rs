//! `show ip fib`. A large table is printed in parts, so that neither time nor memory is taken for all of it at once.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde::Serialize;
use vnet::fib::{Prefix, Rib, RouteView};
use vnet::router::Family;
use vnet::{NodeId, Router};

use super::ip::table;
use crate::app::App;
use crate::args::Args;
use crate::error::CliError;
use crate::reply::{Job, Reply, Step, Words};

/// A table of more routes is printed in parts.
const AT_ONCE: usize = 1000;
/// A part is made in so much time,
const SLICE: Duration = Duration::from_millis(3);
/// and is hardly longer than this, in bytes.
const PART: usize = 64 * 1024;

pub(super) fn register(app: &mut App) {
    app.command("show ip fib", "show ip fib [summary] [table <id>] [<ip4-addr>[/<mask>]] [detail]", show::<Ipv4Addr>)
        .command("show ip4 fib", "show ip4 fib [summary] [table <id>] [<ip4-addr>[/<mask>]] [detail]", show::<Ipv4Addr>)
        .command(
            "show ip6 fib",
            "show ip6 fib [summary] [table <id>] [<ip6-addr>[/<mask>]] [detail]",
            show::<Ipv6Addr>,
        );
}

/// A part of the forwarding table, as text and as data.
#[derive(Serialize)]
struct Routes<A> {
    #[serde(skip)]
    text: String,
    routes: Vec<RouteView<A>>,
}

impl<A> fmt::Display for Routes<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn show<A: Family>(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let (mut summary, mut detail, mut wanted) = (false, false, None);
    while let Some(word) = args.peek() {
        if args.keyword("summary") {
            summary = true;
        } else if args.keyword("detail") {
            detail = true;
        } else if args.keyword("table") {
            table(args)?;
        } else if word.contains('/') && wanted.is_none() {
            let (address, length) = args.prefix_of::<A>()?;
            wanted = Prefix::new(address, length).map(|prefix| (prefix, true));
        } else if wanted.is_none() && word.parse::<A>().is_ok() {
            wanted = Some((Prefix::host(args.address_of::<A>("an address")?), false));
        } else {
            return Err(args.unknown());
        }
    }
    let rib = router.rib_of::<A>();
    let mut text = rib.heading_text();
    if summary {
        text += &rib.summary().to_string();
        return Ok(Reply::new(Words::from(text)));
    }
    let routes = match wanted {
        None if rib.route_count() > AT_ONCE => return Ok(Reply::later(Listing::<A> { detail, left: None })),
        None => rib.routes(),
        Some((prefix, true)) => vec![rib.route(prefix).ok_or_else(|| CliError::at(format!("no route to {prefix}")))?],
        Some((prefix, false)) => rib.route_for(prefix.address()).into_iter().collect(),
    };
    for route in &routes {
        text += &route_text(router, rib, route, wanted.is_some() || detail);
    }
    Ok(Reply::new(Routes { text, routes }))
}

fn route_text<A: Family>(router: &Router, rib: &Rib<A>, route: &RouteView<A>, detail: bool) -> String {
    // One line for a plugin's forwarding, as the plugin would show it.
    let plugin = |node: NodeId, index| {
        let name = router.node_info(node).map_or("deleted node", |info| &*info.name);
        router.describe(node, index).unwrap_or_else(|| format!("{name} [{index}]"))
    };
    if detail { rib.route_detail_text(route, &plugin) } else { rib.route_text(route, &plugin) }
}

/// A large table that is being printed: the prefixes that there were when it began, each as it is when its turn comes.
/// What is deleted until then is left out.
struct Listing<A> {
    detail: bool,
    /// The prefixes still to print, once it has begun.
    left: Option<std::vec::IntoIter<Prefix<A>>>,
}

impl<A: Family> Job for Listing<A> {
    fn poll(&mut self, router: &mut Router) -> Step {
        let rib = router.rib_of::<A>();
        let Some(left) = &mut self.left else {
            self.left = Some(rib.prefixes().into_iter());
            return Step::Print(rib.heading_text());
        };
        let begun = Instant::now();
        let mut text = String::new();
        while text.len() < PART && begun.elapsed() < SLICE {
            // Some routes between two looks at the clock.
            for prefix in left.take(16) {
                if let Some(route) = rib.route(prefix) {
                    text += &route_text(router, rib, &route, self.detail);
                }
            }
            if left.len() == 0 {
                break;
            }
        }
        if text.is_empty() && left.len() == 0 { Step::Done(Ok(())) } else { Step::Print(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::{Console, Progress, Started};

    fn console() -> Console {
        App::new().build(&vnet::Config { inline: true, ..Default::default() }).unwrap()
    }

    /// The parts that a command prints; `between` is called after each.
    fn parts(console: &mut Console, line: &str, mut between: impl FnMut(&mut Console)) -> Vec<String> {
        let Some(Started::Pending(mut pending)) = console.begin(line) else { panic!("`{line}` is done at once") };
        let mut parts = Vec::new();
        loop {
            match console.go_on(&mut pending) {
                Progress::Print(text) => parts.push(text),
                Progress::Wait(_) => (),
                Progress::Done(result) => {
                    result.unwrap();
                    return parts;
                }
            }
            between(console);
        }
    }

    /// The whole table in one piece.
    fn whole<A: Family>(console: &mut Console, detail: bool) -> String {
        let router = &*console.router();
        let rib = router.rib_of::<A>();
        let routes = rib.routes();
        rib.heading_text() + &routes.iter().map(|route| route_text(router, rib, route, detail)).collect::<String>()
    }

    #[test]
    fn a_large_table_comes_in_parts_that_are_the_same_text() {
        let mut console = console();
        console.exec("ip route add count 3000 20.0.0.0/24 via drop").unwrap();
        console.exec("ip route add count 3000 2001:db8::/48 via drop").unwrap();
        for (line, expected) in [
            ("show ip fib", whole::<Ipv4Addr>(&mut console, false)),
            ("show ip fib detail", whole::<Ipv4Addr>(&mut console, true)),
            ("show ip6 fib", whole::<Ipv6Addr>(&mut console, false)),
        ] {
            let parts = parts(&mut console, line, |_| ());
            assert!(parts.len() > 3, "{line}: {} parts", parts.len());
            assert!(parts.iter().all(|part| part.len() < 2 * PART), "{line}");
            assert!(parts.concat() == expected, "{line}");
        }
    }

    #[test]
    fn routes_that_go_while_a_table_is_printed_are_left_out() {
        let mut console = console();
        console.exec("ip route add count 3000 20.0.0.0/24 via drop").unwrap();
        let mut once = Some(());
        let parts = parts(&mut console, "show ip fib", |console| {
            if once.take().is_some() {
                console.exec("ip route del count 2000 20.3.232.0/24").unwrap();
            }
        });
        assert_eq!(parts.concat(), whole::<Ipv4Addr>(&mut console, false));
    }
}
