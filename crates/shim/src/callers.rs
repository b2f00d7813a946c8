//! What each caller brings: values of their own, with which the process that serves them is started, and nobody else's. They come from
//! the control plane by way of the DTMA, as tokens do, and are kept nowhere but here.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::secret::{Secret, Secrets};
use domain::shim::{CALLER_PLACEHOLDER, EachCaller, TokenOutcome};
use tokio::time::Instant;

use crate::tokens::Tokens;

/// What was said is believed for so long. So a caller who changes their values, or takes them back, is served as before for no longer.
const FRESH: Duration = Duration::from_secs(10);
/// A caller without values is told so again without a question.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Callers that are remembered; then all are asked for again.
const MOST: usize = 4096;
/// What stands for a value in the process that shows that the server works: many look whether there is one before they say anything.
const NOBODYS: &str = "unset";

/// What callers bring, as far as they have called.
#[derive(Debug)]
pub(crate) struct Callers {
    each: EachCaller,
    known: Mutex<HashMap<[u8; 16], Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// As the gateway names them.
    principal: String,
    brought: Option<(Brought, Instant)>,
    refused: Option<(Instant, String)>,
    /// Held by whoever asks.
    asking: Arc<tokio::sync::Mutex<()>>,
    /// Counts the values.
    last: u64,
}

/// One caller's values.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    /// Which of the caller's, counted from 1: others take another process.
    pub(crate) serial: u64,
    /// What a process is started with.
    pub(crate) own: Arc<Own>,
}

/// What one process has that others of the same instance have not.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) values: Secrets,
    /// Whose they are, as the gateway names them; empty for nobody's.
    pub(crate) principal: String,
    /// Names the caller's directory.
    tag: String,
}

impl Callers {
    pub(crate) fn new(each: EachCaller) -> Self {
        Self { each, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 16], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what a caller is called.
    pub(crate) fn meet(&self, id: [u8; 16], principal: &str) {
        let mut known = self.known();
        if !known.contains_key(&id) {
            if MOST <= known.len() {
                known.clear();
            }
            known.insert(id, Known { principal: principal.to_owned(), ..Known::default() });
        }
    }

    /// What a caller brought, if they were asked.
    pub(crate) fn brought(&self, id: &[u8; 16]) -> Option<Brought> {
        self.known().get(id)?.brought.as_ref().map(|(brought, _)| brought.clone())
    }

    /// For the process that is there to show that the server works.
    pub(crate) fn nobody(&self) -> Arc<Own> {
        let value = |name: &String| (name.clone(), Secret::new(NOBODYS));
        Arc::new(Own {
            values: self.each.variables.iter().map(value).collect(),
            principal: String::new(),
            tag: "nobody".to_owned(),
        })
    }

    /// What a caller brings, asked for anew when that was long ago.
    ///
    /// # Errors
    /// Why there is nothing, in words for the caller.
    pub(crate) async fn ask(&self, tokens: &Tokens, id: [u8; 16]) -> Result<(), String> {
        let gone = || "the caller is not known; try again".to_owned();
        let asking = match self.known().get(&id) {
            None => return Err(gone()),
            Some(Known { brought: Some((_, at)), .. }) if at.elapsed() < FRESH => return Ok(()),
            Some(known) => Arc::clone(&known.asking),
        };
        let _one_at_a_time = asking.lock().await;
        let principal = match self.known().get(&id) {
            None => return Err(gone()),
            Some(Known { brought: Some((_, at)), .. }) if at.elapsed() < FRESH => return Ok(()),
            Some(Known { refused: Some((at, why)), .. }) if at.elapsed() < REFUSED_FOR => {
                return Err(why.clone());
            }
            Some(known) => known.principal.clone(),
        };
        let outcome = tokens.values(principal.clone()).await;
        let mut all = self.known();
        let known = all.get_mut(&id).ok_or_else(gone)?;
        let at = Instant::now();
        let why = match (outcome, &mut known.brought) {
            (TokenOutcome::Values { mut values }, brought) => {
                // Nobody decides for a server what else it is started with.
                values.retain(|name, _| self.each.variables.contains(name));
                match brought {
                    Some((before, asked)) if before.own.values == values => *asked = at,
                    _ => {
                        known.last += 1;
                        let own = Arc::new(Own { values, principal, tag: tag(&id) });
                        *brought = Some((Brought { serial: known.last, own }, at));
                    }
                }
                known.refused = None;
                return Ok(());
            }
            (TokenOutcome::Unset { why }, brought) => {
                *brought = None;
                why
            }
            // Nobody could be asked: what was there goes on.
            (TokenOutcome::None { .. } | TokenOutcome::Token { .. }, Some((_, asked))) => {
                *asked = at;
                return Ok(());
            }
            (TokenOutcome::None { why }, None) => why,
            (TokenOutcome::Token { .. }, None) => "the control plane gave a token for values".to_owned(),
        };
        known.refused = Some((at, why.clone()));
        Err(why)
    }
}

fn tag(id: &[u8; 16]) -> String {
    id.iter().fold(String::new(), |mut all, byte| {
        // A `String` takes everything.
        let _ = write!(all, "{byte:02x}");
        all
    })
}

impl Own {
    /// A word of the command, or a value of its environment, as this process has it.
    pub(crate) fn told(&self, text: &str) -> String {
        text.replace(CALLER_PLACEHOLDER, &self.tag)
    }

    /// Makes its directory, when it is not there yet. Above it nobody but Berth's user writes.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn make_room(&self, each: &EachCaller) -> io::Result<()> {
        let Some(work) = &each.work else { return Ok(()) };
        let own = work.join(&self.tag);
        match std::fs::DirBuilder::new().mode(0o700).create(&own) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) if each.uid.is_some() => std::os::unix::fs::lchown(&own, each.uid, each.uid),
            Ok(()) => Ok(()),
        }
    }
}
