use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use cdcd_flights::live::{self, Answer, Credentials, Live};
use cdcd_flights::server::{self, Credits, STATES_PATH, TOKEN_PATH};
use cdcd_flights::simulator::Simulator;
use cdcd_flights::writer::Writer;
use cdcd_testkit::services;
use serde_json::Value;
use tokio::net::TcpListener;

/// A server on the loopback, a thousand times as fast as the clock; its URL.
async fn serve(credits: Credits) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = server::router(Simulator::new(8, 40, 1_700_000_000), credits, 1_000.0);
    tokio::spawn(async move { axum::serve(listener, router).await });
    // Simulated seconds enough for every aircraft to report.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(url)
}

fn client(url: &str, credentials: Credentials) -> Result<Live> {
    Live::new(url, url, credentials)
}

#[tokio::test]
async fn answer_has_the_shape_of_the_api() {
    let url = serve(Credits::default()).await.unwrap();
    let get = async |query: &str| -> Result<Value> {
        Ok(reqwest::get(format!("{url}{STATES_PATH}{query}")).await?.error_for_status()?.json().await?)
    };
    let all = get("").await.unwrap();
    assert!(all["time"].as_i64().unwrap() >= 1_700_000_000);
    let states = all["states"].as_array().unwrap();
    assert!(states.len() > 20, "{}", states.len());
    for state in states {
        assert_eq!(state.as_array().unwrap().len(), 17);
        assert!(state[0].as_str().unwrap().starts_with('d') && state[0].as_str().unwrap().len() == 6);
        assert!(state[1].is_null() || state[1].as_str().unwrap().len() == 8);
        assert!(state[4].is_i64() && state[8].is_boolean() && state[12].is_null() && state[15].is_boolean());
    }
    let one = states[0][0].as_str().unwrap();
    let named = get(&format!("?icao24={one}&extended=1")).await.unwrap();
    assert_eq!(named["states"].as_array().unwrap().len(), 1);
    assert_eq!(named["states"][0].as_array().unwrap().len(), 18);
    // The Southern Ocean: no route passes there.
    let nobody = get("?lamin=-89&lomin=-150&lamax=-85&lomax=-149").await.unwrap();
    assert!(nobody["states"].is_null(), "{nobody}");
}

#[tokio::test]
async fn credits_run_out_with_the_headers_that_say_so() {
    let url = serve(Credits { anonymous: 9, account: 4 }).await.unwrap();
    let ask = async || reqwest::get(format!("{url}{STATES_PATH}")).await;
    for left in ["5", "1"] {
        let response = ask().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-rate-limit-remaining"]),
            (200, &left.parse().unwrap())
        );
    }
    let refused = ask().await.unwrap();
    assert_eq!(refused.status().as_u16(), 429);
    let wait: u64 = refused.headers()["x-rate-limit-retry-after-seconds"].to_str().unwrap().parse().unwrap();
    assert!((86_000..=86_400).contains(&wait), "{wait}");
    // Each account has a budget of its own, and the client says how long it has to wait.
    let mut account = client(&url, Credentials::Basic("me".to_owned(), "hush".to_owned())).unwrap();
    assert!(matches!(account.states().await.unwrap(), Answer::States(..)));
    assert!(
        matches!(account.states().await.unwrap(), Answer::Wait(wait) if wait > Duration::from_secs(86_000))
    );
}

#[tokio::test]
async fn tokens_open_the_door_and_invented_ones_do_not() {
    let url = serve(Credits { anonymous: 0, account: 100 }).await.unwrap();
    let mut stranger = client(&url, Credentials::Anonymous).unwrap();
    assert!(matches!(stranger.states().await.unwrap(), Answer::Wait(_)));
    let mut known = client(&url, Credentials::Client("me".to_owned(), "hush".to_owned())).unwrap();
    assert!(matches!(known.states().await.unwrap(), Answer::States(_, states) if !states.is_empty()));
    let http = reqwest::Client::new();
    let forged = http.get(format!("{url}{STATES_PATH}")).bearer_auth("invented").send().await.unwrap();
    assert_eq!(forged.status().as_u16(), 401);
    let nameless =
        http.post(format!("{url}{TOKEN_PATH}")).body("grant_type=client_credentials").send().await.unwrap();
    assert_eq!(nameless.status().as_u16(), 401);
}

#[tokio::test]
async fn live_traffic_reaches_the_tables() {
    let database = services::postgres(15).unwrap().fresh_database("flights_live").unwrap();
    let url = serve(Credits::default()).await.unwrap();
    let mut live = client(&url, Credentials::Client("me".to_owned(), "hush".to_owned())).unwrap();
    let mut writer = Writer::connect(&database.url()).await.unwrap();
    let (mut present, mut updated) = (BTreeMap::new(), 0);
    for _ in 0..3 {
        let Answer::States(now, states) = live.states().await.unwrap() else { panic!("out of credits") };
        updated += writer.apply(&live::changes(now, states, &mut present)).await.unwrap().updated;
        // Twenty simulated seconds: new reports of all.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(updated > 0);
    let rows = database.psql("SELECT count(*) FROM flights_current").unwrap();
    assert_eq!(rows, present.len().to_string());
    let agree = "SELECT count(*) FROM flights_current c WHERE NOT EXISTS \
                 (SELECT FROM flights f WHERE f.icao24 = c.icao24 AND f.last_contact = c.last_contact)";
    assert_eq!(database.psql(agree).unwrap(), "0");
}
