//! `/tools`: container tools of older callers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::ids::InstanceId;
use domain::status::InstanceStatus;
use serde_json::{Value, json};

use super::super::App;
use super::answer::{Answer, Failure, Object, done, ok, timestamp};
use super::item::{Tool, container_id, engine_word, word};
use super::options::{Options, Wanted};
use crate::face::Face;
use crate::instances::Wish;
use crate::note::Note;

/// Callers wait for a deployment as long as they would for a pull that goes well; what takes longer goes on.
const DEPLOY_PATIENCE: Duration = Duration::from_mins(1);
/// And for a stop; the shim gives its server less.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Deploys a container tool, and waits until it is known what becomes of it.
pub(crate) async fn deploy(State(app): State<App>, body: Object) -> Answer {
    let [image, name, id] =
        body.texts(["dockerImageUrl", "instanceNameOnToolbox", "accountToolInstanceId"])?;
    let mut options = Options::read(body.0.get("baseConfigOverrideJson"), "baseConfigOverrideJson")?;
    let known =
        ["dockerImageUrl", "instanceNameOnToolbox", "accountToolInstanceId", "baseConfigOverrideJson"];
    options.ignored.extend(body.0.keys().filter(|key| !known.contains(&key.as_str())).cloned());
    let wanted = Wanted {
        id,
        id_field: "accountToolInstanceId",
        name,
        name_field: "instanceNameOnToolbox",
        image,
        image_field: "dockerImageUrl",
        options,
        launch: None,
    };
    let (tool, ignored) = create(&app, wanted, None).await?;
    let data = json!({
        "container_id": container_id(tool.id),
        "instance_name_on_toolbox": tool.name,
        "account_tool_instance_id": tool.id,
        "image": tool.image(),
        "ports": tool.ports(),
        "state": engine_word(tool.report.status),
        "status": word(tool.report.status),
    });
    let message = format!("Tool '{name}' deployed successfully.");
    let mut answer = json!({"success": true, "message": message, "data": data});
    if !ignored.is_empty() {
        answer["warnings"] = not_honoured(&ignored);
    }
    Ok((StatusCode::CREATED, Json(answer)))
}

/// One sentence for each option that was given and changes nothing.
pub(crate) fn not_honoured(ignored: &[String]) -> Value {
    ignored.iter().map(|at| format!("{at} is not honoured")).collect::<Vec<_>>().into()
}

/// What a caller says of a deployment beside its spec.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) group: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) transport: Option<String>,
}

/// Makes an instance and waits until it is known what becomes of it; one whose image cannot be had is removed again.
pub(crate) async fn create(
    app: &App,
    wanted: Wanted<'_>,
    beside: Option<Beside>,
) -> Result<(Tool, Vec<String>), Failure> {
    let name = wanted.name.to_owned();
    let (spec, ignored) = wanted.spec()?;
    let id = spec.id;
    let beside = beside.unwrap_or_default();
    let note = Note {
        name: name.clone(),
        group: beside.group,
        endpoint: beside.endpoint,
        transport: beside.transport,
        created: crate::instance::now(),
    };
    let face = app.instances.make(spec, note).await?;
    settled(&face, DEPLOY_PATIENCE, |status| {
        !matches!(
            status,
            InstanceStatus::PendingDeploy | InstanceStatus::Installing | InstanceStatus::Starting
        )
    })
    .await;
    let tool = Tool::of(id, face);
    if tool.report.status == InstanceStatus::ErrorInstall {
        let why = tool.report.message.clone().unwrap_or_else(|| "its image cannot be had".to_owned());
        app.instances.remove_for_good(id).await?;
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, why)
            .message(format!("Failed to deploy tool '{name}'.")));
    }
    Ok((tool, ignored))
}

/// Waits until the status is as wanted, the instance is gone, or the time is over.
pub(crate) async fn settled(face: &Arc<Face>, limit: Duration, is: impl Fn(InstanceStatus) -> bool) {
    let mut report = face.report.subscribe();
    let waiting = async {
        tokio::select! {
            // An error means that the face is gone: there is nothing to wait for.
            _ = report.wait_for(|report| is(report.status)) => {}
            () = crate::instances::ended(face) => {}
        }
    };
    // At the limit the caller is told what is.
    let _ = tokio::time::timeout(limit, waiting).await;
}

/// Removes what an older caller deployed.
pub(crate) async fn remove(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tool = Tool::find(&app, &name)?;
    remove_one(&app, &tool).await?;
    done(format!("Tool instance '{}' removed successfully.", tool.name))
}

/// As [`remove`], of an instance that was found.
pub(crate) async fn remove_one(app: &App, tool: &Tool) -> Result<(), Failure> {
    if tool.face.note.is_none() {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            format!("Tool instance '{}' was deployed by Berth's control plane.", tool.name),
        )
        .hint("remove it there, with `berth remove`"));
    }
    Ok(app.instances.remove_for_good(tool.id).await?)
}

/// Starts a stopped one; one that failed is tried again.
pub(crate) async fn start(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tool = Tool::find(&app, &name)?;
    if tool.report.status.is_well() {
        return done(format!("Tool instance '{}' is already running.", tool.name));
    }
    app.instances.wish(tool.id, Wish::Start).await?;
    done(format!("Tool instance '{}' started successfully.", tool.name))
}

/// Stops one, and waits until it is.
pub(crate) async fn stop(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tool = Tool::find(&app, &name)?;
    stop_one(&app, &tool).await
}

/// As [`stop`], of an instance that was found.
pub(crate) async fn stop_one(app: &App, tool: &Tool) -> Answer {
    app.instances.wish(tool.id, Wish::Stop).await?;
    settled(&tool.face, STOP_PATIENCE, |status| status == InstanceStatus::Stopped).await;
    done(format!("Tool instance '{}' stopped successfully.", tool.name))
}

/// Running a program in a container for whoever asks is what Berth does not do. Nor is a tool called here: the caller shows the host's
/// token and names an agent, and what that may call, only the gateway knows.
pub(crate) async fn execute(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tool = Tool::find(&app, &name)?;
    let hint = match tool.spec.as_deref() {
        Some(spec) if spec.launch.container.is_some() => {
            "a container tool speaks no MCP; it is used at its ports".to_owned()
        }
        // One that no control plane keeps has no address yet.
        Some(spec) if spec.generation != 0 => format!(
            "send `tools/call` to the control plane's /mcp/{}/{}, with the agent's own token",
            spec.account, spec.name
        ),
        _ => "call the tools of an MCP server at its MCP address, as `berth call` does".to_owned(),
    };
    Err(Failure::new(
        StatusCode::NOT_IMPLEMENTED,
        format!("Nothing is run in '{}' for a caller of this path.", tool.name),
    )
    .hint(hint))
}

/// The list of the stub generation.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    let tools: Vec<Value> = Tool::all(&app).await.iter().map(Tool::render).collect();
    let message = format!("{} tools", tools.len());
    ok(json!({"status": "success", "tools": tools, "message": message}))
}

/// Every instance of this host, in the shape of the newest generation with what the first one read.
pub(crate) async fn status(State(app): State<App>) -> Answer {
    let tools = Tool::all(&app).await;
    let managed: Vec<Value> = tools
        .iter()
        .filter(|tool| tool.report.status.is_well())
        .map(|tool| {
            let item = tool.render();
            json!({
                "id": item["container_id"], "name": tool.name, "image": item["image"],
                "state": item["state"], "status": item["status_text"], "ports": item["ports"],
            })
        })
        .collect();
    let mut answer = super::host::describe(&app);
    answer["tool_instances"] = tools.iter().map(Tool::render).collect::<Vec<_>>().into();
    answer["success"] = true.into();
    answer["dtma_status"] = "running".into();
    answer["managed_tools"] = managed.into();
    answer["timestamp"] = timestamp().into();
    ok(answer)
}

/// The id of an instance as a caller wrote it, for a message.
pub(crate) fn started(tool: &Tool) -> Value {
    let id: InstanceId = tool.id;
    json!({"container_id": container_id(id), "ports": tool.ports()})
}
