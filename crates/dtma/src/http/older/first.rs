//! The verbs in the path of the first generation.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::InstanceId;
use domain::status::Progress;
use serde_json::{Value, json};

use super::super::App;
use super::answer::{Answer, Failure, Object, done, ok};
use super::item::Tool;
use super::options::{Options, Wanted};
use super::tools;
use crate::instance::chain;

/// Fetches an image, so that a later start need not.
pub(crate) async fn install(State(app): State<App>, body: Object) -> Answer {
    let [image] = body.texts(["image_name"])?;
    let id = InstanceId::generate().to_string();
    let wanted = Wanted {
        id: &id,
        id_field: "id",
        name: "install",
        name_field: "name",
        image,
        image_field: "image_name",
        options: Options::default(),
        launch: None,
    };
    let (spec, _) = wanted.spec()?;
    let silent = |_: Progress| {};
    match app.instances.shared().runtime.prepare(&spec, &silent).await {
        Ok(_) => done(format!("Image {image} is on this host.")),
        Err(error) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, chain(&error))
            .message(format!("Image {image} could not be fetched."))),
    }
}

/// Deploys, as `POST /tools` does. Its secrets come in `create_options`, or later from the control plane.
pub(crate) async fn start(State(app): State<App>, body: Object) -> Answer {
    let [id, image, name] = body.texts(["agent_droplet_tool_id", "image_name", "container_name"])?;
    let wanted = Wanted {
        id,
        id_field: "agent_droplet_tool_id",
        name,
        name_field: "container_name",
        image,
        image_field: "image_name",
        options: Options::read(body.0.get("create_options"), "create_options")?,
        launch: None,
    };
    let (tool, ignored) = tools::create(&app, wanted, None).await?;
    let mut answer = tools::started(&tool);
    answer["success"] = true.into();
    answer["message"] = format!("Tool {name} started.").into();
    if !ignored.is_empty() {
        answer["warnings"] = tools::not_honoured(&ignored);
    }
    ok(answer)
}

/// Stops one.
pub(crate) async fn stop(State(app): State<App>, body: Object) -> Answer {
    let [given] = body.texts(["container_id_or_name"])?;
    let tool = Tool::find(&app, given)?;
    tools::stop_one(&app, &tool).await
}

/// Removes one. Without a name in its body this is `DELETE /tools/:name` of a tool that is called `uninstall`.
pub(crate) async fn uninstall(State(app): State<App>, body: Object) -> Answer {
    let given = match body.0.get("container_id_or_name") {
        Some(Value::String(given)) => given.as_str(),
        Some(_) => {
            return Err(Failure::bad("container_id_or_name", "container_id_or_name must be a text"));
        }
        None => "uninstall",
    };
    let tool = Tool::find(&app, given)?;
    tools::remove_one(&app, &tool).await?;
    ok(json!({"success": true, "message": format!("Tool {} uninstalled.", tool.name)}))
}
