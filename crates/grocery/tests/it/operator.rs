//! The operator's commands, with what the operator's rules in `tf/access.json` allow.

use sandbox::Sandbox;

use super::alone::{service, with_login_of};
use super::process::Ended;

async fn command(sandbox: &Sandbox, line: &[&str]) -> Ended {
    let (name, rest) = line.split_first().unwrap();
    with_login_of("operator", sandbox, name, rest).ended().await
}

/// The cells of the row that begins so.
fn cells(ended: &Ended, first: &str) -> Vec<String> {
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let row = ended.said.lines().find(|line| line.split_whitespace().next() == Some(first));
    let row = row.unwrap_or_else(|| panic!("no row {first} in:\n{}", ended.said));
    row.split_whitespace().skip(1).map(str::to_owned).collect()
}

async fn lag(sandbox: &Sandbox) -> String {
    cells(&command(sandbox, &["groups"]).await, "fulfillment-service-group").swap_remove(2)
}

#[tokio::test]
async fn what_the_operator_may_is_enough_to_look_and_to_set_a_group_back() {
    let sandbox = Sandbox::start(grocery::grocery_sandbox().unwrap()).await.unwrap();
    let orders = service(&sandbox, "order-producer", &["--orders", "30", "--rate", "max"]).ended().await;
    assert_eq!(orders.code, Some(0), "{}", orders.said);
    let mut fulfilment = service(&sandbox, "fulfillment-service", &[]);
    fulfilment.says("30 in all").await;

    assert_eq!(cells(&command(&sandbox, &["topics"]).await, "grocery.orders.v1"), ["3", "1", "30"]);
    assert_eq!(cells(&command(&sandbox, &["schemas"]).await, "grocery.orders.v1-value")[2], "BACKWARD");
    assert_eq!(cells(&command(&sandbox, &["groups"]).await, "fulfillment-service-group"), ["Stable", "1", "0"]);

    let back = ["rewind", "fulfillment-service-group", "grocery.orders.v1", "--to", "2025-01-01 00:00:00"];
    let refused = command(&sandbox, &back).await;
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    assert!(refused.said.contains("has members") && refused.said.contains("stop them"), "{}", refused.said);
    fulfilment.signal("TERM");
    assert_eq!(fulfilment.ended().await.code, Some(0));

    let read_again = |ended: &Ended| -> i64 {
        (0..3).map(|p| cells(ended, &format!("grocery.orders.v1-{p}"))[2].parse::<i64>().unwrap()).sum()
    };
    let only_said = command(&sandbox, &[&back[..], &["--dry-run"]].concat()).await;
    assert_eq!(read_again(&only_said), 30, "{}", only_said.said);
    assert_eq!(lag(&sandbox).await, "0");
    assert_eq!(read_again(&command(&sandbox, &back).await), 30);
    assert_eq!(lag(&sandbox).await, "30");

    // Every list is made again, under the id that it had: a device shows each once.
    let mut fulfilment = service(&sandbox, "fulfillment-service", &[]);
    fulfilment.says("30 in all").await;
    let mut device = service(&sandbox, "picklist-consumer", &["--format", "quiet"]);
    for _ in 0..30 {
        device.says("left out a pick list that was shown before").await;
    }
    device.signal("TERM");
    let device = device.ended().await;
    assert!(device.said.contains("leaving the group after 30 pick lists"), "{}", device.said);

    let foreign =
        command(&sandbox, &["rewind", "another-group", "grocery.orders.v1", "--to", "2025-01-01 00:00:00"]).await;
    assert_eq!(foreign.code, Some(4), "{}", foreign.said);
    assert!(foreign.said.contains("operator (pool-operator)") && foreign.said.contains("Describe"), "{}", foreign.said);
    let wrong = command(&sandbox, &["rewind", "fulfillment-service-group", "grocery.orders.v1", "--to", "soon"]).await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.said);
}
