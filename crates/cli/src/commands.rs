//! One file per command. Each has one function that does it; this file says which, and on what runtime it runs.

mod account;
mod agent;
mod alerts;
mod audit;
mod authorize;
mod backup;
mod call;
mod catalog;
mod changes;
mod child;
mod connect;
mod connect_check;
mod deploy;
mod dtma;
mod env;
mod events;
mod grant;
mod import;
mod instances;
mod invite;
mod key;
mod logs;
mod manager;
mod member;
mod moves;
mod oauth_client;
mod own_values;
mod password;
mod public;
mod recover;
mod registry;
mod rule;
pub(crate) mod sandbox;
mod secret;
mod server;
mod session;
mod shim;
pub(crate) mod status;
mod token;
mod toolbelt;
mod tools;
mod top;
mod up;
mod welcome;
mod whoami;

use crate::args::{AskCommand, Cli, Command, ConnectArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;
use crate::settings::Settings;

/// Does what was asked.
pub(crate) fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    let Cli { connection, command } = cli;
    match command {
        Command::Up(args) => block_on(up::run(args, &connection, output)),
        Command::Server(args) => block_on(server::run(args, &connection)),
        Command::Dtma(args) => block_on(dtma::run(args, &connection, output)),
        Command::Key(command) => block_on(key::run(command, &connection, output)),
        Command::Backup(args) => block_on(backup::back_up(args, &connection, output)),
        Command::Restore(args) => block_on(backup::restore(args, &connection, output)),
        Command::Recover(args) => block_on(recover::run(args, &connection, output)),
        Command::Import(command) => block_on(import::run(command, &connection, output)),
        Command::Shim(args) => shim::run(&args),
        Command::Welcome => block_on(welcome::run()),
        // Of any MCP address, whether there is a Berth or not.
        Command::Ask(AskCommand::Connect(ConnectArgs { check: Some(url), .. })) => {
            block_on(connect_check::run(&url, output))
        }
        Command::Ask(command) => {
            let client = Client::new(Settings::find(&connection)?)?;
            block_on(ask(command, client, output))
        }
    }
}

/// The commands that ask a control plane.
async fn ask(command: AskCommand, client: Client, output: Output) -> Result<(), CliError> {
    match command {
        AskCommand::Deploy(args) => deploy::run(*args, &client, output).await,
        AskCommand::List => instances::list(&client, output).await,
        AskCommand::Top(args) => top::run(args, &client, output).await,
        AskCommand::Status(args) => status::run(&args.name, &client, output).await,
        AskCommand::Logs(args) => logs::run(&args, &client, output).await,
        AskCommand::Events(args) => events::run(&args, &client, output).await,
        AskCommand::Start(args) => instances::start(&args.name, &client, output).await,
        AskCommand::Stop(args) => instances::stop(&args.name, &client, output).await,
        AskCommand::Restart(args) => instances::restart(&args.name, &client, output).await,
        AskCommand::Remove(args) => instances::remove(&args, &client, output).await,
        AskCommand::Upgrade(args) => changes::upgrade(*args, &client, output).await,
        AskCommand::Configure(args) => changes::configure(*args, &client, output).await,
        AskCommand::Rollback(args) => changes::roll_back(args, &client, output).await,
        AskCommand::Changes(args) => changes::run(args, &client, output).await,
        AskCommand::Move(args) => moves::move_to(args, &client, output).await,
        AskCommand::Failover(args) => moves::failover(&args, &client, output).await,
        AskCommand::Tools(args) => tools::run(&args.name, &client, output).await,
        AskCommand::Call(args) => call::run(&args, &client, output).await,
        AskCommand::Authorize(args) => authorize::run(args, &client, output).await,
        AskCommand::Connect(args) => connect::run(&args, &client, output).await,
        AskCommand::Toolbelt(command) => toolbelt::run(command, &client, output).await,
        AskCommand::Agent(command) => agent::run(command, &client, output).await,
        AskCommand::Catalog(command) => catalog::run(command, &client, output).await,
        AskCommand::Token(command) => token::run(command, &client, output).await,
        AskCommand::Grant(command) => grant::run(command, &client, output).await,
        AskCommand::Client(command) => oauth_client::run(command, &client, output).await,
        AskCommand::Account(command) => account::run(command, &client, output).await,
        AskCommand::Member(command) => member::run(command, &client, output).await,
        AskCommand::Invite(command) => invite::run(command, &client, output).await,
        AskCommand::Session(command) => session::run(command, &client, output).await,
        AskCommand::Rule(command) => rule::run(command, &client, output).await,
        AskCommand::Secret(command) => secret::run(command, &client, output).await,
        AskCommand::Registry(command) => registry::run(command, &client, output).await,
        AskCommand::Env(command) => env::run(command, &client, output).await,
        AskCommand::Alerts(args) => alerts::run(args, &client, output).await,
        AskCommand::Audit(args) => audit::run(args, &client, output).await,
        AskCommand::Whoami => whoami::run(&client, output).await,
        AskCommand::Password(args) => password::run(&args, &client, output).await,
    }
}

/// Ctrl-C from now on. Asked for before anything is begun, so that none comes too early to be seen.
fn interrupts() -> Result<tokio::signal::unix::Signal, CliError> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(|e| CliError::because("cannot watch for Ctrl-C", e))
}

/// One thread serves each of these processes: measured, on small machines, it beats several.
fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::because("cannot start", e))?
        .block_on(async {
            tokio::spawn(::runtime::memory::keep_giving_back());
            work.await
        })
}
