//! Writes of which nothing comes, deletions of many at once, and strategies of Deployments.

use super::*;

async fn names(api: &Api) -> Vec<String> {
    let (_, list) = get(api, DEPLOYMENTS_OF_SHOP).await;
    let items = list["items"].as_array().unwrap();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_answered_as_the_write_would_be_and_changes_nothing() {
    let api = api();
    let before = make(&api, "a").await;
    let newest = api.store.newest();
    let json = "application/json";
    let dry = |path: &str| format!("{DEPLOYMENTS_OF_SHOP}{path}?dryRun=All");
    let (code, made) = ask(&api, Method::POST, &dry(""), json, deployment("b")).await;
    assert_eq!((code, &made["metadata"]["name"]), (201, &json!("b")));
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["resourceVersion"].is_null());
    let merge = "application/merge-patch+json";
    let (code, patched) = ask(
        &api,
        Method::PATCH,
        &dry("/a"),
        merge,
        json!({ "spec": { "replicas": 7 } }),
    )
    .await;
    assert_eq!((code, &patched["spec"]["replicas"]), (200, &json!(7)));
    assert_eq!(version(&patched), version(&before));
    let (code, scale) = ask(
        &api,
        Method::PATCH,
        &dry("/a/scale"),
        merge,
        json!({ "spec": { "replicas": 8 } }),
    )
    .await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(8)));
    for (method, path, body, expected) in [
        (Method::POST, "", deployment("a"), 409),
        (Method::DELETE, "/a", Value::Null, 200),
        (Method::DELETE, "", Value::Null, 200),
        (Method::DELETE, "/nothing", Value::Null, 404),
    ] {
        let (code, answer) = ask(&api, method.clone(), &dry(path), json, body).await;
        assert_eq!(code, expected, "{method} {path}: {answer}");
    }
    let options = json!({ "dryRun": ["All"] });
    assert_eq!(
        ask(&api, Method::DELETE, &format!("{DEPLOYMENTS_OF_SHOP}/a"), json, options)
            .await
            .0,
        200
    );
    assert_eq!((names(&api).await, api.store.newest()), (vec!["a".to_owned()], newest));
    let some = format!("{DEPLOYMENTS_OF_SHOP}?dryRun=Some");
    let (code, refused) = ask(&api, Method::POST, &some, json, deployment("b")).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["field"]),
        (422, &json!("dryRun"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_selector_picks_is_deleted_together_and_nothing_else() {
    let api = api();
    for name in ["a", "b", "c"] {
        make(&api, name).await;
    }
    let picked = format!("{DEPLOYMENTS_OF_SHOP}?fieldSelector=metadata.name%21%3Db");
    let (code, deleted) = ask(&api, Method::DELETE, &picked, "", Value::Null).await;
    assert_eq!((code, &deleted["kind"]), (200, &json!("DeploymentList")));
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    assert_eq!(names(&api).await, ["b"]);
    for everywhere in ["/apis/apps/v1/deployments", "/api/v1/namespaces"] {
        assert_eq!(
            ask(&api, Method::DELETE, everywhere, "", Value::Null).await.0,
            405,
            "{everywhere}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_has_its_defaults_and_no_parts_that_do_not_go_together() {
    let api = api();
    let made = make(&api, "a").await;
    let quarter = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } });
    assert_eq!(made["spec"]["strategy"], quarter);
    for (strategy, expected) in [
        (json!({ "type": "Recreate" }), Err("FieldValueForbidden")),
        (json!({ "type": "Else" }), Err("FieldValueNotSupported")),
        (json!({ "rollingUpdate": { "maxSurge": 2 } }), Ok(json!(2))),
        (json!({ "type": "Recreate", "rollingUpdate": null }), Ok(Value::Null)),
        (json!("Recreate"), Err("")),
    ] {
        let path = format!("{DEPLOYMENTS_OF_SHOP}/a");
        let body = json!({ "spec": { "strategy": strategy } });
        let (code, answer) = ask(&api, Method::PATCH, &path, "application/merge-patch+json", body).await;
        let found = match code {
            200 => Ok(answer["spec"]["strategy"]["rollingUpdate"]["maxSurge"].clone()),
            _ => Err(answer["details"]["causes"][0]["reason"].as_str().unwrap_or_default()),
        };
        assert_eq!(found, expected, "{strategy}: {answer}");
    }
}
