//! Maglane: a packet dataplane in the style of VPP, with a load balancer.
//!
//! This package is the daemon; the library is its facade for programs that embed a router:
//!
//! ```
//! let mut console = maglane::app().build(&maglane::Config { inline: true, ..Default::default() }).unwrap();
//! assert_eq!(console.exec("show lb vips").unwrap(), "");
//! assert!(console.exec("no such command").unwrap_err().contains("unknown input"));
//! ```
#![forbid(unsafe_code)]

pub mod daemon;
mod early_end;
mod pages;

pub use cli::{App, Console};
pub use vnet::{Config, Router};

/// The composition root: the engine, the nodes of every router, and the load balancer.
pub fn app() -> App {
    app_without(&[])
}

/// As [`app`], without the plugins of these names (start-up section `plugins { plugin NAME { disable } }`).
pub fn app_without(disabled: &[String]) -> App {
    let mut app = App::new();
    nodes::register(&mut app);
    if !disabled.iter().any(|name| is_plugin(name)) {
        lb::register(&mut app);
    }
    app
}

/// Whether a plugin has this name, or VPP's file name of it.
fn is_plugin(name: &str) -> bool {
    ["lb", "lb_plugin.so"].contains(&name)
}
