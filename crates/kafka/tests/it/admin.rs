use kafka::{ConfigChange, ConfigResource, ErrorCode, NewTopic, OffsetSpec, TopicPartition};

use crate::target::{connect, eventually, unique};

#[tokio::test]
async fn a_topic_is_created_described_altered_and_deleted() {
    let admin = connect().await.admin();
    let name = unique("admin");
    let new = NewTopic::new(&name).partitions(3).replication(1).config("retention.ms", "60000");
    let created = admin.create_topics([new.clone()]).await.unwrap().remove(&name).unwrap().unwrap();
    assert_eq!(created.partitions, 3);

    let again = admin.create_topics([new]).await.unwrap().remove(&name).unwrap().unwrap_err();
    assert_eq!(again.code().map(ErrorCode::name), Some("TOPIC_ALREADY_EXISTS"));

    let describe = async || admin.describe_topics([&name]).await.unwrap().remove(&name).unwrap();
    let topic = eventually("the topic is known", async || describe().await.ok()).await;
    assert_eq!(topic.id, created.id);
    assert_eq!(topic.partitions.iter().map(|p| p.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(admin.list_topics().await.unwrap().contains_key(&name));

    let resource = ConfigResource::Topic(name.clone());
    let retention = async || {
        let described = admin.describe_configs([resource.clone()]).await.unwrap().remove(&resource).unwrap().unwrap();
        described.into_iter().find(|entry| entry.name == "retention.ms").and_then(|entry| entry.value)
    };
    let is = async |wanted: &'static str| (retention().await.as_deref() == Some(wanted)).then_some(());
    eventually("the setting is known", async || is("60000").await).await;
    let change = ConfigChange::Set("120000".to_owned());
    admin.alter_configs(resource.clone(), [("retention.ms", change)]).await.unwrap();
    eventually("the new setting is known", async || is("120000").await).await;

    admin.delete_topics([&name]).await.unwrap().remove(&name).unwrap().unwrap();
    let gone = eventually("the topic is gone", async || describe().await.err()).await;
    assert_eq!(gone.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

#[tokio::test]
async fn offsets_of_an_empty_partition_are_zero_and_nothing_is_deleted() {
    let admin = connect().await.admin();
    let name = unique("offsets");
    admin.create_topics([NewTopic::new(&name).partitions(2).replication(1)]).await.unwrap();
    let partitions = [TopicPartition::new(name.as_str(), 0), TopicPartition::new(name.as_str(), 1)];
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest, OffsetSpec::LatestCommitted] {
        for (partition, listed) in admin.list_offsets(partitions.clone(), spec).await.unwrap() {
            assert_eq!(listed.unwrap().offset, 0, "{partition} {spec:?}");
        }
    }
    for (partition, low) in admin.delete_records([(partitions[0].clone(), -1)]).await.unwrap() {
        assert_eq!(low.unwrap(), 0, "{partition}");
    }
    let missing = TopicPartition::new(name.as_str(), 7);
    let unknown = admin.list_offsets([missing.clone()], OffsetSpec::Latest).await.unwrap().remove(&missing).unwrap();
    assert!(unknown.is_err());
    admin.delete_topics([name]).await.unwrap();
}

#[tokio::test]
async fn a_groups_offsets_are_set_listed_and_deleted_without_a_member() {
    let admin = connect().await.admin();
    let (name, group) = (unique("committed"), unique("group"));
    admin.create_topics([NewTopic::new(&name).partitions(1).replication(1)]).await.unwrap();
    let partition = TopicPartition::new(name.as_str(), 0);

    let alter = async || {
        let mut altered = admin.alter_group_offsets(&group, [(partition.clone(), 42)]).await.unwrap();
        altered.remove(&partition).unwrap().ok()
    };
    eventually("the coordinator knows the topic", alter).await;
    let listed = admin.list_group_offsets(&group).await.unwrap();
    assert_eq!(listed[&partition].as_ref().unwrap().offset, 42);
    assert!(admin.list_groups().await.unwrap().iter().any(|listing| listing.group == group));
    let described = admin.describe_groups([&group]).await.unwrap().remove(&group).unwrap().unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Empty", 0));

    let deleted = admin.delete_group_offsets(&group, [partition.clone()]).await.unwrap();
    assert!(deleted[&partition].is_ok(), "{deleted:?}");
    assert!(admin.list_group_offsets(&group).await.unwrap().is_empty());
    // A group without offsets and members may be gone already.
    let outcome = admin.delete_groups([&group]).await.unwrap().remove(&group).unwrap();
    assert!(outcome.is_ok() || outcome.unwrap_err().code() == Some(ErrorCode::GROUP_ID_NOT_FOUND));
    admin.delete_topics([name]).await.unwrap();
}
