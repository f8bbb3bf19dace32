//! Reads topics as a member of a group and prints once a second how fast: `consume BOOTSTRAP GROUP TOPIC
//! [SECONDS [PROTOCOL [INSTANCE]]]`; `PROTOCOL` is `consumer`, `classic` or `any`.

use std::error::Error;
use std::time::{Duration, Instant};

use kafka::{ClientConfig, Cluster, ConsumerConfig, ConsumerEvent, GroupProtocol, OffsetReset};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, topic, rest @ ..] = &arguments[..] else {
        return Err("usage: consume BOOTSTRAP GROUP TOPIC [SECONDS [PROTOCOL [INSTANCE]]]".into());
    };
    let seconds = rest.first().map_or(Ok(10), |seconds| seconds.parse())?;
    let cluster = Cluster::connect(ClientConfig::new([bootstrap.as_str()])).await?;
    let mut config = ConsumerConfig::group(group, [topic]);
    config.auto_offset_reset = OffsetReset::Earliest;
    config.group_protocol = match rest.get(1).map(String::as_str) {
        Some("consumer") => Some(GroupProtocol::Consumer),
        Some("classic") => Some(GroupProtocol::Classic),
        _ => None,
    };
    config.group_instance_id = rest.get(2).cloned();
    let mut consumer = cluster.consumer_with(config).await?;
    let end = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(end);
    let (mut records, mut bytes, mut first, mut last) = (0usize, 0usize, None, Instant::now());
    let mut said = Instant::now();
    loop {
        let event = tokio::select! {
            event = consumer.next_event() => event?,
            () = &mut end => break,
        };
        match event {
            Some(ConsumerEvent::Batch(batch)) => {
                first.get_or_insert_with(Instant::now);
                records += batch.len();
                bytes += batch.iter().map(|record| record.value().map_or(0, <[u8]>::len)).sum::<usize>();
                last = Instant::now();
                consumer.store(&batch);
            }
            Some(other) => println!("{other:?}"),
            None => break,
        }
        if said.elapsed() > Duration::from_secs(1) {
            said = Instant::now();
            println!("{records} records, lag {}", consumer.total_lag());
        }
    }
    let busy = first.map_or(Duration::ZERO, |first| last - first);
    println!("{records} records, {bytes} bytes in {busy:?}: {:.0} records/s", records as f64 / busy.as_secs_f64());
    consumer.close().await?;
    Ok(())
}
