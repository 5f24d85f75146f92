//! `link-monitor`: news of the kernel's devices, on their way to the control thread.
//!
//! Uses: netlink sockets. Sets: nothing; it brings in no packets. The news is read by worker 0 because it is the one
//! that can sleep on descriptors; everything that follows happens on the control thread.

use std::sync::Arc;

use vnet::{Builder, InputCx, InputNode, NoErrors, NodeSpec, Notice, Poll, Router, next_nodes};

use crate::sys::{LinkEvent, LinkMonitor};

/// What the control thread does with a piece of news.
type Handler = Arc<dyn Fn(&mut Router, &LinkEvent) + Send + Sync>;

/// Nanoseconds between two looks at the same socket: a look is a system call.
const PAUSE: u64 = 1_000_000;

/// The sockets of worker 0.
#[derive(Default)]
pub(crate) struct Monitors {
    list: Vec<Watched>,
    next_look: u64,
}

struct Watched {
    number: u64,
    monitor: LinkMonitor,
    handler: Handler,
}

/// Numbers of monitors, on the control side.
#[derive(Default)]
struct Numbers(u64);

/// A monitor that works; give it to [`unwatch`] when it is not needed any more.
#[derive(Debug)]
pub struct Watch(u64);

pub(crate) fn register(builder: &mut Builder) {
    builder.local(|_| Monitors::default());
    builder.state(Numbers::default());
    builder.node(NodeSpec::input("link-monitor", |_| Links));
}

/// Has `handler` called, on the control thread, for each piece of news.
///
/// # Errors
/// The kernel refuses to wake a thread for the socket.
pub fn watch(
    router: &mut Router,
    monitor: LinkMonitor,
    handler: impl Fn(&mut Router, &LinkEvent) + Send + Sync + 'static,
) -> std::io::Result<Watch> {
    let number = router.state::<Numbers>().map_or(0, |numbers| {
        numbers.0 += 1;
        numbers.0
    });
    let watched = Watched { number, monitor, handler: Arc::new(handler) };
    router.ask(0, move |worker| {
        worker.watch(&watched.monitor)?;
        if let Some(monitors) = worker.local::<Monitors>() {
            monitors.list.push(watched);
        }
        Ok(Watch(number))
    })
}

/// Ends [`watch`].
pub fn unwatch(router: &mut Router, watch: Watch) {
    router.ask(0, move |worker| {
        if let Some(monitors) = worker.local::<Monitors>() {
            monitors.list.retain(|watched| watched.number != watch.0);
        }
    });
}

next_nodes! {
    /// `link-monitor` sends nothing.
    pub enum Next {
        /// Not used.
        Drop => "error-drop",
    }
}

struct Links;

impl InputNode for Links {
    type Next = Next;
    type Error = NoErrors;
    type Local = Monitors;
    type Trace = ();

    fn poll(&mut self, cx: &mut InputCx<'_, '_, Self>) -> Poll {
        let now = cx.now().nanos;
        if cx.local.list.is_empty() || now < cx.local.next_look {
            return Poll::Idle;
        }
        cx.local.next_look = now + PAUSE;
        let mut news: Vec<(Handler, LinkEvent)> = Vec::new();
        cx.local.list.retain_mut(|watched| {
            loop {
                match watched.monitor.next_event() {
                    Ok(Some(event)) => {
                        if event == LinkEvent::Missed {
                            // Where even this fails, the next piece of news sets things right.
                            let _ = watched.monitor.request_all();
                        } else {
                            news.push((watched.handler.clone(), event));
                        }
                    }
                    Ok(None) => break true,
                    // A socket that is broken would wake the worker for ever.
                    Err(_) => break false,
                }
            }
        });
        for (handler, event) in news {
            cx.notify(Notice::Call(Box::new(move |router| handler(router, &event))));
        }
        Poll::Idle
    }
}
