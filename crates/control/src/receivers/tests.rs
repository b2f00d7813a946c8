//! What can be typed about receivers, and how messages are signed.

use super::*;

fn check(what: &AlertOptions, expected: Result<&[&str], &str>) {
    let found = Receivers::new(what);
    match (found, expected) {
        (Ok(found), Ok(expected)) => {
            let labels: Vec<&str> = found.all().iter().map(|receiver| receiver.label.as_str()).collect();
            assert_eq!(labels, expected);
            let printed = format!("{found:?}");
            assert!(!printed.contains("hidden"), "{printed}");
        }
        (Err(error), Err(expected)) => {
            assert!(error.to_string().contains(expected), "{error} is not {expected}");
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
        (found, expected) => panic!("{found:?} and not {expected:?}"),
    }
}

#[tokio::test]
async fn options_are_read_or_refused_with_their_name() {
    let none = AlertOptions::default;
    let hooks = |urls: &[&str]| AlertOptions {
        webhooks: urls.iter().map(|url| Secret::new(*url)).collect(),
        ..none()
    };
    let mail = |smtp: &str, to: &str| AlertOptions {
        smtp: Some(smtp.to_owned()),
        mail_to: vec![to.to_owned()],
        ..none()
    };
    let password = || Some(Secret::new("hidden"));
    check(&none(), Ok(&[]));
    check(
        &hooks(&["https://chat.example.com/hooks/hidden", "http://[::1]:8000/"]),
        Ok(&["https://chat.example.com", "http://[::1]:8000"]),
    );
    check(&hooks(&["chat/hidden"]), Err("`--alert-webhook`: that is no address"));
    check(&hooks(&["ftp://hidden"]), Err("over http or https, not `ftp`"));
    check(
        &AlertOptions { webhook_secret: password(), ..none() },
        Err("`--alert-secret-file`: there is nothing"),
    );
    check(&AlertOptions { webhook_secret: password(), ..hooks(&["https://a"]) }, Err("at least 16 bytes"));
    check(
        &AlertOptions { webhook_secret: Some(Secret::new("whsec_hidden!")), ..hooks(&["https://a"]) },
        Err("is no base64"),
    );
    check(
        &AlertOptions {
            smtp_password: password(),
            ..mail("smtps://me%40b.example@mail.example", "a@b.example")
        },
        Ok(&["a@b.example"]),
    );
    check(&mail("smtp://127.0.0.1:2525", "a@b.example"), Ok(&["a@b.example"]));
    check(
        &AlertOptions {
            mail_from: Some("x@y.example".to_owned()),
            ..mail("smtp://127.0.0.1", "a@b.example")
        },
        Ok(&["a@b.example"]),
    );
    check(&mail("smtps://mail.example", "nobody"), Err("`--alert-email`: `nobody` is no e-mail address"));
    check(&mail("smtps://me:hidden@mail.example", "a@b.example"), Err("a password on a command line"));
    check(&mail("smtps://me@mail.example", "a@b.example"), Err("its user has no password"));
    check(
        &AlertOptions { smtp_password: password(), ..mail("smtps://mail.example", "a@b.example") },
        Err("a password and no user"),
    );
    check(&mail("https://mail.example", "a@b.example"), Err("`smtps` or `smtp`, not `https`"));
    check(&mail("smtps://", "a@b.example"), Err("`--smtp`: "));
    check(&AlertOptions { smtp: Some("smtps://mail.example".to_owned()), ..none() }, Err("nobody is mailed"));
    check(
        &AlertOptions { mail_to: vec!["a@b.example".to_owned()], ..none() },
        Err("`--alert-email`: there is no mail"),
    );
}

/// The example of the Standard Webhooks specification's own libraries.
#[test]
fn messages_are_signed_as_others_check_it() {
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let signature =
        webhook::sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
}
