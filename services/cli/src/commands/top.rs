//! `qmesh top`: what a mesh does, live.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    thread,
    time::Duration,
};

use qmesh::{ControlClient, ControlError};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    exit::Problem,
    find::Target,
    output::{self, OutputFormat},
    text,
    top::{self, Answers, Look, Snapshot, Wish},
};

/// The time between two answers, and so what rates are taken over.
const SECOND: Duration = Duration::from_secs(1);
/// Keys that wait for their turn.
const KEYS: usize = 64;
/// How often the thread that reads keys looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Shows the mesh until somebody has seen enough, or once as JSON.
///
/// # Errors
/// No node answers, or there is no terminal.
pub(crate) async fn run(target: Target, output: OutputFormat) -> anyhow::Result<ExitCode> {
    if output == OutputFormat::Json {
        return print(&target).await;
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let hint = format!("one second of it as JSON: {} top -o json", text::program());
        return Err(Problem::usage("`qmesh top` draws on a terminal, and this is none".to_owned())
            .hint(hint)
            .into());
    }
    let mut client = target.connect().await?;
    let first = answers(&mut client).await?;
    let mut screen = Screen(ratatui::try_init()?);
    show(&mut screen.0, (client, &target), first).await?;
    Ok(ExitCode::SUCCESS)
}

/// The terminal, which is as it was before once this is dropped.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn print(target: &Target) -> anyhow::Result<ExitCode> {
    let mut client = target.connect().await?;
    let before = answers(&mut client).await?;
    sleep(SECOND).await;
    let after = answers(&mut client).await?;
    client.close().await;
    output::json(&Snapshot::between(&before, &after))?;
    Ok(ExitCode::SUCCESS)
}

async fn answers(client: &mut ControlClient) -> Result<Answers, ControlError> {
    let traffic = client.traffic_everywhere().await?;
    Ok(Answers { asked: client.node().to_owned(), nodes: client.nodes().await?, traffic })
}

/// What the screen follows.
enum News {
    Key(Event),
    Answers(Result<Answers, String>),
}

async fn show(
    terminal: &mut DefaultTerminal,
    (client, target): (ControlClient, &Target),
    first: Answers,
) -> anyhow::Result<()> {
    let (told, mut news) = mpsc::channel(KEYS);
    let keys = told.clone();
    thread::spawn(move || read_keys(&keys));
    let follow = follow(client, target, told);
    tokio::pin!(follow);
    let (mut look, mut snapshot, mut before) = (Look::new(), Snapshot::between(&first, &first), first);
    loop {
        terminal.draw(|frame| top::draw(frame, &look, &snapshot))?;
        let next = tokio::select! {
            biased;
            next = news.recv() => next,
            () = &mut follow => None,
        };
        match next {
            None => return Ok(()),
            Some(News::Key(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                if look.press(key, &snapshot) == Wish::Quit {
                    return Ok(());
                }
            }
            Some(News::Key(_)) => {}
            Some(News::Answers(Err(why))) => look.missed(why),
            Some(News::Answers(Ok(after))) => {
                if !look.is_paused() {
                    snapshot = Snapshot::between(&before, &after);
                    look.saw(&snapshot);
                }
                before = after;
            }
        }
    }
}

/// Asks the mesh every second; where the node that is asked goes away, finds another one.
async fn follow(mut client: ControlClient, target: &Target, told: mpsc::Sender<News>) {
    let mut next = Instant::now() + SECOND;
    loop {
        sleep_until(next).await;
        next = (next + SECOND).max(Instant::now());
        let answered = answers(&mut client).await;
        let is_lost = answered.is_err();
        let news = News::Answers(answered.map_err(|error| error.to_string()));
        if told.send(news).await.is_err() {
            return;
        }
        if is_lost && let Ok(found) = target.connect().await {
            client = found;
        }
    }
}

/// Reads keys until nobody wants them.
fn read_keys(to: &mpsc::Sender<News>) {
    while !to.is_closed() {
        let event = match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        // Without a terminal there is nobody to look.
        let Ok(event) = event else { return };
        if to.blocking_send(News::Key(event)).is_err() {
            return;
        }
    }
}
