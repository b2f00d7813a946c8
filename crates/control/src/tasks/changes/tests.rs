use api::instances::DeployRequest;
use store::instances::Moving;

use super::*;
use crate::app::deployment;
use crate::config::LocalWay;
use crate::tasks::stage;

#[tokio::test]
async fn what_is_refused_is_not_tried_again() {
    let (_dir, app) = stage::app(stage::nobody(), LocalWay::Socket).await;
    let welcome = store::instances::list_all(&app.store).await.unwrap().remove(0);
    let request: DeployRequest = serde_json::from_value(serde_json::json!({ "server": "welcome" })).unwrap();
    let plan = deployment::plan(&request, &store::catalog::all(&app.store).await.unwrap()).unwrap();
    let mut what = plan.what(Moving::first(None));
    what.named.insert("KEY".to_owned(), "gone".parse().unwrap());
    let change = ChangeRow {
        id: ChangeId::generate(),
        instance: welcome.id,
        number: 0,
        state: ChangeState::Trying,
        message: None,
        changed: vec!["secrets".to_owned()],
        review: false,
        back_to: None,
        candidate: None,
        tools: None,
        asked: None,
        asked_sealed: None,
        what,
        secrets_sealed: None,
        version: None,
        digest: None,
        created_by: "test".to_owned(),
        created_at: now(),
        since: now(),
        ended_at: None,
    };
    let mut tx = app.store.begin().await.unwrap();
    store::changes::insert(&mut tx, &change).await.unwrap();
    tx.commit().await.unwrap();

    let mut at_work = HashMap::new();
    assert_eq!(look(&app, &mut at_work).await.unwrap(), 1);
    at_work.remove(&change.id).unwrap().await.unwrap();
    let after = store::changes::list(&app.store, welcome.id).await.unwrap().remove(0);
    assert_eq!(after.state, ChangeState::Failed);
    assert_eq!(after.message.as_deref(), Some("there is no such secret in this account"));
    assert_eq!(look(&app, &mut at_work).await.unwrap(), 0);
    let still = store::instances::by_id(&app.store, welcome.id).await.unwrap().unwrap();
    assert_eq!((still.spec, still.generation), (welcome.spec, welcome.generation));
}
