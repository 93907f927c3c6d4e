//! The loop: it waits for signals, for what threads tell, and for the clock, and hands all of it to the session.

use tokio::sync::mpsc::UnboundedReceiver;

use super::alarm::Alarm;
use super::message::Message;
use super::session::Session;
use super::signals::Signals;

/// After so many messages we look for what is less urgent than a press: Ctrl-Z, a question, another size.
const MESSAGES_AT_ONCE: usize = 64;

/// Feeds the scheduler until the run is over.
pub(super) async fn drive(
    session: &mut Session<'_>,
    signals: &mut Signals,
    messages: &mut UnboundedReceiver<Message>,
) {
    // A guard that died while the items were collected.
    while let Ok(message) = messages.try_recv() {
        session.take(message);
    }
    session.begin_items();
    let (mut wake, mut show) = (Alarm::new(), Alarm::new());
    while !session.is_over() {
        wake.set(session.wake_at());
        show.set(session.show_at());
        tokio::select! {
            biased;
            received = signals.next() => session.receive(received),
            Some(message) = messages.recv() => {
                let others = std::iter::from_fn(|| messages.try_recv().ok());
                for message in std::iter::once(message).chain(others).take(MESSAGES_AT_ONCE) {
                    // A Ctrl-C that ended the child has reached us as well: it comes first.
                    if let Some(received) = signals.arrived().await {
                        session.receive(received);
                    }
                    session.take(message);
                    if session.is_over() {
                        break;
                    }
                }
            }
            () = wake.ring() => session.woke(),
            () = show.ring() => {
                session.show();
                continue;
            }
        }
        session.touch();
    }
}
