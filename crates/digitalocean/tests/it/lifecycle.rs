//! What happens to a droplet between its creation and its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use digitalocean::{ActionStatus, DropletAction, DropletStatus, Earlier, Error};
use testkit::digitalocean::{Config, Event, Fake, Fault};

use crate::{client, tag, web};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn from_new_to_gone() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let fake = Fake::start(Config {
        network_after: MINUTE,
        boots_after: 2 * MINUTE,
        acts_after: MINUTE,
        on_event: Some(Arc::new(move |event: &Event| hook.lock().unwrap().push(event.clone()))),
        ..Config::default()
    });
    let client = client(&fake);
    let mut wanted = web("web1");
    wanted.user_data = Some("#cloud-config\n".to_owned());
    wanted.ipv6 = true;
    wanted.tags = vec![tag("berth")];
    let created = client.create_droplet(&wanted, &tag("op:1"), Earlier::Never).await.unwrap();
    let (id, action) = (created.droplet.id, created.action.unwrap());
    assert_eq!(created.droplet.tags, ["berth", "op:1"]);
    assert_eq!((created.droplet.region(), created.droplet.size_slug.as_str()), ("fra1", "s-1vcpu-1gb"));

    let state = async || {
        let droplet = client.droplet(id).await.unwrap();
        let action = client.action(action).await.unwrap();
        (droplet.status.clone(), droplet.public_v4().is_some(), droplet.networks.v6.len(), action.status)
    };
    assert_eq!(state().await, (DropletStatus::New, false, 0, ActionStatus::InProgress));
    fake.advance(MINUTE);
    assert_eq!(state().await, (DropletStatus::New, true, 1, ActionStatus::InProgress));
    let busy = client.begin_action(id, &DropletAction::Reboot).await.unwrap_err();
    assert!(matches!(busy, Error::Busy(_)), "{busy}");
    fake.advance(MINUTE);
    assert_eq!(state().await, (DropletStatus::Active, true, 1, ActionStatus::Completed));

    for (what, status) in [
        (DropletAction::Reboot, DropletStatus::Active),
        (DropletAction::PowerOff, DropletStatus::Off),
        (DropletAction::Resize { size: "s-2vcpu-2gb".to_owned(), disk: false }, DropletStatus::Off),
        (DropletAction::PowerOn, DropletStatus::Active),
        (DropletAction::Rename { name: "web2".to_owned() }, DropletStatus::Active),
        (DropletAction::Rebuild { image: "debian-13-x64".into() }, DropletStatus::Active),
        (DropletAction::Shutdown, DropletStatus::Off),
        (DropletAction::PowerCycle, DropletStatus::Active),
    ] {
        let begun = client.begin_action(id, &what).await.unwrap();
        assert_eq!(begun.status, ActionStatus::InProgress, "{what:?}");
        assert!(client.droplet(id).await.unwrap().locked);
        fake.advance(MINUTE);
        assert_eq!(client.action(begun.id).await.unwrap().status, ActionStatus::Completed, "{what:?}");
        let droplet = client.droplet(id).await.unwrap();
        assert_eq!((droplet.status, droplet.locked), (status, false), "{what:?}");
    }
    let droplet = client.droplet(id).await.unwrap();
    assert_eq!(
        (droplet.name.as_str(), droplet.size_slug.as_str(), droplet.memory),
        ("web2", "s-2vcpu-2gb", 2048)
    );
    assert_eq!(client.droplet_actions(id).await.unwrap().len(), 9);

    client.delete_droplet(id).await.unwrap();
    client.delete_droplet(id).await.unwrap();
    assert!(matches!(client.droplet(id).await.unwrap_err(), Error::NotFound(_)));

    let seen = seen.lock().unwrap();
    let Some(Event::Created(machine)) = seen.first() else { panic!("{seen:?}") };
    assert_eq!(
        (machine.user_data.as_str(), Some(machine.public_v4.to_string().as_str())),
        ("#cloud-config\n", droplet.public_v4())
    );
    let rebuilt = seen.iter().any(|event| matches!(event, Event::Rebuilt(of) if of.image == "debian-13-x64"));
    assert!(rebuilt, "{seen:?}");
    let rest: Vec<&Event> =
        seen.iter().filter(|event| !matches!(event, Event::Created(_) | Event::Rebuilt(_))).collect();
    let expected = [
        Event::Rebooted(id),
        Event::Off(id),
        Event::On(id),
        Event::Shutdown(id),
        Event::Rebooted(id),
        Event::Destroyed(id),
    ];
    assert_eq!(rest, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn one_that_never_starts() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    for (fault, status) in
        [(Fault::NeverBoots, ActionStatus::InProgress), (Fault::Errored, ActionStatus::Errored)]
    {
        fake.inject("POST", "/v2/droplets", fault);
        let operation = tag(&format!("op:{status}"));
        let created = client.create_droplet(&web("web1"), &operation, Earlier::Never).await.unwrap();
        fake.advance(Duration::from_hours(1));
        assert_eq!(client.action(created.action.unwrap()).await.unwrap().status, status);
        let droplet = client.droplet(created.droplet.id).await.unwrap();
        assert_eq!((&droplet.status, droplet.public_v4()), (&DropletStatus::New, None));
        client.delete_droplet(droplet.id).await.unwrap();
    }
    assert!(fake.machines().is_empty());
}

#[tokio::test]
async fn one_that_somebody_else_destroys() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    let id = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Never).await.unwrap().droplet.id;
    assert!(fake.destroy(id));
    assert!(matches!(client.droplet(id).await.unwrap_err(), Error::NotFound(_)));
    assert!(client.droplets_by_tag(&tag("op:1")).await.unwrap().is_empty());
    client.delete_droplet(id).await.unwrap();
}
