//! What becomes of what members list.

use std::collections::HashMap;

use domain::toolbelts::{Kind, OnChange};
use proptest::prelude::*;

use crate::{belt, listing, member, shown, tools};

#[test]
fn names_stay_when_members_come_and_go() {
    let mut belt = belt(&["a", "b"]);
    belt.hear(vec![(0, Ok(tools(&["x", "y"]))), (1, Ok(tools(&["y"])))]);
    assert_eq!(shown(&belt), ["a_y", "b_y", "x"]);
    // Whoever comes later gives way.
    belt.members.push(member("c"));
    belt.hear(vec![(2, Ok(tools(&["x"])))]);
    assert_eq!(shown(&belt), ["a_y", "b_y", "c_x", "x"]);
    belt.members[0].is_active = false;
    assert_eq!(shown(&belt), ["b_y", "c_x"]);
    belt.members[0].is_active = true;
    belt.hear(vec![(0, Ok(tools(&["y"])))]);
    assert_eq!(shown(&belt), ["a_y", "b_y", "c_x"], "`x` is a's, though it does not list it now");
    belt.hear(vec![(0, Ok(tools(&["x"])))]);
    assert_eq!(shown(&belt), ["b_y", "c_x", "x"]);
    belt.hear(vec![(0, Err("it is away".to_owned()))]);
    assert_eq!(shown(&belt), ["b_y", "c_x"]);
}

#[test]
fn a_changed_definition_waits_for_a_person() {
    let say = |text: &str| listing(Kind::Tool, &[format!(r#"{{"name":"x","description":"{text}"}}"#)]);
    let mut belt = belt(&["a"]);
    assert_eq!(belt.hear(vec![(0, Ok(say("good")))]).len(), 1);
    assert_eq!(belt.hear(vec![(0, Ok(say("good")))]), []);
    let key = (Kind::Tool, "x".to_owned());
    assert_eq!(belt.hear(vec![(0, Ok(say("bad")))]), [(0, key.clone())]);
    assert_eq!(belt.hear(vec![(0, Ok(say("bad")))]), [], "it is known by now");
    let json =
        |belt: &toolbelt::Belt| belt.view().entries(Kind::Tool).first().map(|entry| entry.json.to_string());
    assert_eq!(json(&belt).as_deref(), Some(r#"{"name":"x","description":"good"}"#));
    belt.on_change = OnChange::Withhold;
    assert_eq!(json(&belt), None);
    assert_eq!(belt.hear(vec![(0, Ok(say("good")))]), [(0, key)]);
    assert!(json(&belt).is_some());
}

#[test]
fn what_people_say_of_a_tool_is_shown() {
    let mut belt = belt(&["a"]);
    belt.hear(vec![(0, Ok(tools(&["x", "y"])))]);
    let feature = belt.members[0].features.get_mut(&(Kind::Tool, "x".to_owned())).unwrap();
    feature.shown = "find".to_owned();
    feature.description = Some("Finds \"it\"".to_owned());
    belt.members[0].features.get_mut(&(Kind::Tool, "y".to_owned())).unwrap().is_on = false;
    let view = belt.view();
    let page = view.page(Kind::Tool, None, None).unwrap();
    assert!(page.contains(r#""tools":[{"name":"find","description":"Finds \"it\""}]"#), "{page}");
    assert!(view.differs(&toolbelt::View::default()).contains(&Kind::Tool));
    assert_eq!(view.differs(&belt.view()), []);
}

proptest! {
    /// However members come, go, list and fall silent: no two features have one name, and what a feature is called once it is called always.
    #[test]
    fn names_are_unique_and_stay(
        events in prop::collection::vec((0_usize..4, prop::collection::vec(0_usize..5, 0..5), any::<bool>()), 1..20)
    ) {
        let names = ["x", "y", "a_x", "b_x", "search_tools"];
        let mut belt = belt(&["a", "b", "a_x", "c"]);
        let mut known: HashMap<(usize, String), String> = HashMap::new();
        for (at, listed, answers) in events {
            let listed: Vec<&str> = listed.into_iter().map(|name| names[name]).collect();
            let heard = if answers { Ok(tools(&listed)) } else { Err("away".to_owned()) };
            belt.hear(vec![(at, heard)]);
            let view = belt.view();
            let mut shown: Vec<&str> = view.entries(Kind::Tool).iter().map(|entry| &*entry.shown).collect();
            let count = shown.len();
            shown.dedup();
            prop_assert_eq!(shown.len(), count);
            prop_assert!(!shown.contains(&"search_tools"));
            for entry in view.entries(Kind::Tool) {
                let before = known.entry((entry.member, entry.own.to_string())).or_insert_with(|| entry.shown.to_string());
                prop_assert_eq!(&**before, &*entry.shown);
            }
        }
    }
}
