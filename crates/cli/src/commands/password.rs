//! `berth password`: one's own password, for the pages.

use std::io::{BufRead as _, IsTerminal as _};

use api::users::{SetPasswordRequest, WhoAmI};
use domain::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::args::PasswordArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

const PATH: &str = "/whoami/password";

/// Reads it and sends it.
pub(crate) async fn run(args: &PasswordArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let me: WhoAmI = client.get("/whoami").await?;
    if args.stdin {
        client.replace(PATH, &piped()?).await?;
    } else {
        typed(client, output).await?;
    }
    output.say(&format!("the password of `{}` is set; every browser has to sign in again", me.user_name));
    Ok(())
}

fn piped() -> Result<SetPasswordRequest, CliError> {
    let mut lines = std::io::stdin().lock().lines();
    let mut line = || {
        let read = lines.next().transpose();
        read.map_err(|e| CliError::because("cannot read the password from standard input", e))
    };
    let missing = || CliError::usage("standard input holds no password");
    let password = line()?.filter(|text| !text.is_empty()).ok_or_else(missing)?;
    let current = line()?.filter(|text| !text.is_empty());
    Ok(SetPasswordRequest { password: Secret::new(password), current: current.map(Secret::new) })
}

async fn typed(client: &Client, output: Output) -> Result<(), CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage("there is no terminal to type a password at")
            .with_hint("`berth password --stdin` reads it from standard input"));
    }
    let password = ask("New password:", output)?;
    if ask("The same again:", output)? != password {
        return Err(CliError::failed("these are two passwords: nothing was changed"));
    }
    let mut request = SetPasswordRequest { password, current: None };
    match client.replace(PATH, &request).await {
        // There is one already, which nobody but the control plane knew.
        Err(CliError::Refused(detail)) if detail.field.as_deref() == Some("current") => {
            request.current = Some(ask("Present password:", output)?);
            client.replace(PATH, &request).await
        }
        other => other,
    }
}

/// Asks without showing what is typed.
fn ask(question: &str, output: Output) -> Result<Secret, CliError> {
    let unreadable = |e: std::io::Error| CliError::because("cannot read the password", e);
    let _hidden = Hidden::begin().map_err(|e| unreadable(e.into()))?;
    output.say(question);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

/// The terminal shows again what is typed when this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
