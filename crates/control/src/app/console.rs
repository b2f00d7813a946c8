//! What the DTMA of an environment says of itself and of its machine: its log, and its checks.

use api::dtma::Check;
use api::errors::ErrorCode;
use api::instances::LogQuery;
use bytes::Bytes;
use hop::pool::PooledBody;
use http::StatusCode;
use http_body_util::Full;
use store::environments::EnvironmentRow;

use crate::app::environments::find;
use crate::app::{App, Outcome, Problem, upgrades};
use crate::auth::Caller;
use crate::dtma_client::DtmaError;
use crate::reach::{Host, is_local, reach};

/// The last lines of an environment's DTMA, and with `follow` those that come.
///
/// # Errors
/// 404 with the nearest name, 503 when the DTMA does not answer or is older than its log.
pub(crate) async fn log(
    app: &App,
    caller: &Caller,
    name: &str,
    query: LogQuery,
) -> Outcome<PooledBody<Full<Bytes>>> {
    let (environment, host) = host_of(app, caller, name).await?;
    let answer = app.dtma.own_log(&host, query).await;
    Ok(answer.map_err(|error| trouble(&environment, "its log", error))?.into_body())
}

/// What the DTMA of an environment finds on its machine.
///
/// # Errors
/// 404 with the nearest name, 503 when the DTMA does not answer or is older than its checks.
pub(crate) async fn checks(app: &App, caller: &Caller, name: &str) -> Outcome<Vec<Check>> {
    let (environment, host) = host_of(app, caller, name).await?;
    app.dtma.checks(&host).await.map_err(|error| trouble(&environment, "its checks", error))
}

async fn host_of(app: &App, caller: &Caller, name: &str) -> Outcome<(EnvironmentRow, Host)> {
    let environment = find(app, caller, name).await?;
    match reach(&environment, &app.keys, app.local) {
        Ok(host) => Ok((environment, host)),
        Err(error) => Err(unavailable(&environment, &error)),
    }
}

fn trouble(environment: &EnvironmentRow, what: &str, error: DtmaError) -> Problem {
    match error {
        DtmaError::Refused(detail) if detail.code == ErrorCode::NotFound => older(environment, what),
        DtmaError::Garbled(StatusCode::NOT_FOUND) => older(environment, what),
        DtmaError::Refused(detail) => Problem::Refused(detail),
        error => unavailable(environment, &error),
    }
}

fn unavailable(environment: &EnvironmentRow, error: &dyn std::fmt::Display) -> Problem {
    let name = &environment.name;
    Problem::refused(ErrorCode::Unavailable, format!("environment `{name}`: {error}"))
        .hint(format!("`berth env show {name}` says when it last reported; try again when it does"))
}

/// It knows no such path.
fn older(environment: &EnvironmentRow, what: &str) -> Problem {
    let name = &environment.name;
    let message = format!("environment `{name}`: its DTMA is older than what is asked for, {what}");
    let hint = if upgrades::program_of(environment).is_some() {
        format!("upgrade it: `berth env upgrade {name} --wait`; its servers go on meanwhile")
    } else if is_local(environment) {
        "start `berth up` again, so that both are the same program".to_owned()
    } else {
        "upgrade it on its host: `berth dtma upgrade FILE`, or put this `berth` there and start it again"
            .to_owned()
    };
    Problem::refused(ErrorCode::Unavailable, message).hint(hint)
}
