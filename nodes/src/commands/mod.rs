//! Commands that belong to no device: tunnels and `ping`.

mod gre;
mod ping;

use cli::App;

pub(crate) fn register(app: &mut App) {
    gre::register(app);
    ping::register(app);
}
