//! Commands that belong to no device: tunnels and `ping`.

mod ping;
mod tunnel;

use cli::App;

pub(crate) fn register(app: &mut App) {
    tunnel::register(app);
    ping::register(app);
}
