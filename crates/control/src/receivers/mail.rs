//! Mailing messages, through the mail server that the operator names. What is not on this machine is only spoken to over TLS.

use std::net::IpAddr;

use domain::secret::Secret;
use lettre::address::Address;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Letter, Tokio1Executor};
use reqwest::Url;

use super::{AlertOptions, Message, PATIENCE, Receiver, ReceiverError, Way};
use crate::app::problem::Chain;

/// One address, and the way to it.
pub(super) struct Mail {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Mailbox,
}

/// The receivers of the addresses that messages are mailed to.
pub(super) fn all(options: &AlertOptions) -> Result<Vec<Receiver>, ReceiverError> {
    let Some(text) = &options.smtp else {
        let unused = [
            ("--alert-email", !options.mail_to.is_empty()),
            ("--alert-from", options.mail_from.is_some()),
            ("--smtp-password-file", options.smtp_password.is_some()),
        ];
        return match unused.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(Vec::new()),
            Some((option, _)) => Err(ReceiverError {
                option,
                problem: "there is no mail server".to_owned(),
                hint: "name it with `--smtp smtps://user@mail.example.com`",
            }),
        };
    };
    if options.mail_to.is_empty() {
        return Err(wrong("nobody is mailed", "say whom with `--alert-email ADDRESS`"));
    }
    let server = Server::parse(text)?;
    let from = match (&options.mail_from, &server.user) {
        (Some(from), _) => mailbox("--alert-from", from)?,
        (None, Some(user)) if user.contains('@') => mailbox("--smtp", user)?,
        (None, _) => mailbox("--smtp", &format!("berth@{}", server.host))?,
    };
    let transport = server.transport(options.smtp_password.as_ref())?;
    let receivers = options.mail_to.iter().map(|to| {
        let mail = Mail { server: transport.clone(), from: from.clone(), to: mailbox("--alert-email", to)? };
        Ok(Receiver::new("mail", to, to.clone(), Way::Mail(Box::new(mail))))
    });
    receivers.collect()
}

fn wrong(problem: impl Into<String>, hint: &'static str) -> ReceiverError {
    ReceiverError { option: "--smtp", problem: problem.into(), hint }
}

fn mailbox(option: &'static str, text: &str) -> Result<Mailbox, ReceiverError> {
    let address = text.parse::<Address>().map_err(|error| ReceiverError {
        option,
        problem: format!("`{text}` is no e-mail address ({error})"),
        hint: "an e-mail address is written NAME@HOST; the sender's is given with `--alert-from`",
    })?;
    Ok(Mailbox::new(None, address))
}

/// A mail server as it was typed.
#[derive(Debug)]
struct Server {
    host: String,
    port: u16,
    user: Option<String>,
    /// TLS from the first byte on, rather than after a word.
    is_wrapped: bool,
    is_here: bool,
}

impl Server {
    fn parse(text: &str) -> Result<Self, ReceiverError> {
        const HINT: &str = "write it smtps://USER@HOST[:PORT], or smtp://USER@HOST[:PORT] for STARTTLS; an `@` of the user as %40";
        let url = Url::parse(text).map_err(|error| wrong(format!("that is no address ({error})"), HINT))?;
        let (is_wrapped, usual) = match url.scheme() {
            "smtps" => (true, 465),
            "smtp" => (false, 587),
            other => return Err(wrong(format!("a mail server is `smtps` or `smtp`, not `{other}`"), HINT)),
        };
        if url.password().is_some() {
            return Err(wrong(
                "a password on a command line can be read by everybody on the machine",
                "put it into a file and name that with `--smtp-password-file`",
            ));
        }
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        if host.is_empty() || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(wrong("it names no host, or more than a host", HINT));
        }
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let user = user.map(|user| percent_decoded(user).ok_or_else(|| wrong("its user is no text", HINT)));
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        Ok(Self { host, port: url.port().unwrap_or(usual), user: user.transpose()?, is_wrapped, is_here })
    }

    fn transport(
        &self,
        password: Option<&Secret>,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, ReceiverError> {
        let tls = || {
            TlsParameters::builder(self.host.clone())
                .build_rustls()
                .map_err(|error| wrong(Chain(&error).to_string(), "look at this machine's certificates"))
        };
        let tls = match (self.is_wrapped, self.is_here) {
            (true, _) => Tls::Wrapper(tls()?),
            (false, false) => Tls::Required(tls()?),
            // A relay on this machine: nobody is between.
            (false, true) => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host.clone())
            .port(self.port)
            .tls(tls)
            .timeout(Some(PATIENCE));
        builder = match (&self.user, password) {
            (Some(user), Some(password)) => {
                builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()))
            }
            (None, None) => builder,
            (Some(_), None) => {
                return Err(wrong(
                    "its user has no password",
                    "name a file with it: `--smtp-password-file FILE`",
                ));
            }
            (None, Some(_)) => {
                return Err(wrong("there is a password and no user", "write `--smtp smtps://USER@HOST`"));
            }
        };
        Ok(builder.build())
    }
}

/// A user is written as in any URL.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

impl Mail {
    pub(super) async fn send(&self, message: &Message) -> Result<(), String> {
        // A line break in a subject would be a header of its own; a long one is cut.
        let subject: String =
            message.text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(150).collect();
        let letter = Letter::builder()
            .from(self.from.clone())
            .to(self.to.clone())
            .subject(subject)
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(format!("{}\n\n{}\n", message.text, facts(message)))
            .map_err(|error| error.to_string())?;
        self.server.send(letter).await.map(drop).map_err(|error| Chain(&error).to_string())
    }
}

fn facts(message: &Message) -> String {
    serde_json::to_string_pretty(&message.data).unwrap_or_default()
}
