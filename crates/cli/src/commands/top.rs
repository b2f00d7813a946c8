//! `berth top`: machines and instances with what they use and how they are called, live in the terminal.

mod picture;
mod state;
mod view;

use std::io::IsTerminal as _;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;

use self::picture::Picture;
use self::state::{Next, State};
use crate::args::TopArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// What is used changes without an event, so it is asked for this often.
const PERIOD: Duration = Duration::from_secs(3);
/// However many changes come, no more often than this.
const LEAST: Duration = Duration::from_millis(500);
/// Between two tries to listen.
const AGAIN: Duration = Duration::from_secs(2);
/// How long the keyboard is waited for at a time, so that the thread that does ends soon after.
const KEYS: Duration = Duration::from_millis(200);

/// Shows everything until somebody wants no more; once, where that is asked for.
pub(crate) async fn run(args: TopArgs, client: &Client, output: Output) -> Result<(), CliError> {
    if args.once || output.json() {
        let picture = Picture::ask(client).await?;
        return if output.json() {
            output.document(&picture.filtered(&args.filter))
        } else {
            print(&picture, &args, output)
        };
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CliError::failed("`berth top` fills a terminal, and this is none")
            .with_hint("`berth top --once` prints one picture, with `--json` for programs"));
    }
    // Before the screen is taken: what is wrong is said on a line of its own.
    let picture = Picture::ask(client).await?;
    let mut terminal =
        ratatui::try_init().map_err(|error| CliError::because("the terminal cannot be used", error))?;
    let shown = show(&mut terminal, State::new(picture, args.filter), client).await;
    ratatui::restore();
    shown
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut state: State,
    client: &Client,
) -> Result<(), CliError> {
    let (teller, mut changed) = mpsc::channel(1);
    let listening = tokio::spawn(listen(client.clone(), teller));
    let (pressed, mut keys) = mpsc::channel(16);
    // The keyboard is read by waiting for it. The thread ends when nobody takes what it reads.
    std::thread::spawn(move || read_keys(&pressed));
    let ended = loop {
        let drawn = terminal.draw(|frame| view::draw(frame, &mut state));
        if let Err(error) = drawn {
            break Err(CliError::because("the terminal cannot be written to", error));
        }
        tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                    if state.press(key) == Next::End {
                        break Ok(());
                    }
                }
                Some(_) => {}
                None => break Ok(()),
            },
            _ = changed.recv() => state.take(Picture::ask(client).await),
            () = tokio::time::sleep(PERIOD) => state.take(Picture::ask(client).await),
        }
    };
    listening.abort();
    ended
}

fn read_keys(pressed: &mpsc::Sender<Event>) {
    while !pressed.is_closed() {
        let read = match event::poll(KEYS) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let Ok(event) = read else { return };
        if pressed.blocking_send(event).is_err() {
            return;
        }
    }
}

/// Tells of changes of the account, whatever they are.
async fn listen(client: Client, changes: mpsc::Sender<()>) {
    loop {
        if let Ok(mut stream) = client.stream("/events").await {
            while let Ok(Some(bytes)) = stream.chunk().await {
                // A comment only says that the stream is there.
                if !bytes.starts_with(b":") {
                    // One that waits is enough.
                    let _ = changes.try_send(());
                    tokio::time::sleep(LEAST).await;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One picture as tables.
fn print(picture: &Picture, args: &TopArgs, output: Output) -> Result<(), CliError> {
    let picture = picture.filtered(&args.filter);
    let machines =
        picture.environments.iter().map(|one| view::machine(one).map(comfy_table::Cell::new)).collect();
    output.table(view::MACHINES, machines)?;
    if !picture.environments.is_empty() && !picture.instances.is_empty() {
        output.data("\n")?;
    }
    let instances =
        picture.instances.iter().map(|one| view::instance(one).map(comfy_table::Cell::new)).collect();
    output.table(view::INSTANCES, instances)
}
