mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  topics   = jsondecode(file("../../topics.json"))
  schemas  = "../../../schemas"
  cluster  = { id = "lkc-1", rest_endpoint = "https://pkc-1.example:443" }
  registry = { id = "lsrc-1", rest_endpoint = "https://psrc-1.example" }
}

run "three_topics_of_three_partitions_that_keep_a_week" {
  command = plan

  assert {
    condition     = toset(keys(confluent_kafka_topic.this)) == toset(["grocery.orders.v1", "grocery.picklist.v1", "grocery.dead-letter.v1"])
    error_message = jsonencode(keys(confluent_kafka_topic.this))
  }
  assert {
    condition = alltrue([
      for name, topic in confluent_kafka_topic.this :
      topic.topic_name == name && topic.partitions_count == 3 && topic.config["retention.ms"] == "604800000" && topic.config["cleanup.policy"] == "delete"
    ])
    error_message = jsonencode({ for name, topic in confluent_kafka_topic.this : name => [topic.partitions_count, topic.config] })
  }
  assert {
    condition     = alltrue([for topic in values(confluent_kafka_topic.this) : one(topic.kafka_cluster).id == "lkc-1" && length(topic.credentials) == 0])
    error_message = "every topic stands on the cluster, and no key is in the state"
  }
}

run "a_backward_compatible_schema_for_each_subject_and_none_for_dead_letters" {
  command = plan

  assert {
    condition     = toset(keys(confluent_schema.this)) == toset(["grocery.orders.v1-value", "grocery.picklist.v1-value"])
    error_message = jsonencode(keys(confluent_schema.this))
  }
  assert {
    condition     = alltrue([for subject, config in confluent_subject_config.this : config.subject_name == subject && config.compatibility_level == "BACKWARD"])
    error_message = "every subject is BACKWARD"
  }
  assert {
    condition     = jsondecode(confluent_schema.this["grocery.orders.v1-value"].schema).name == "GroceryOrder" && jsondecode(confluent_schema.this["grocery.picklist.v1-value"].schema).name == "GroceryPicklist"
    error_message = "each subject has its own schema"
  }
  assert {
    condition     = alltrue([for schema in values(confluent_schema.this) : !schema.hard_delete && !schema.recreate_on_update && length(schema.credentials) == 0])
    error_message = "a new version stands beside the old ones, and no key is in the state"
  }
}

run "the_catalogue_knows_what_is_of_the_pipeline_and_what_names_customers" {
  command = plan

  assert {
    condition = toset([for binding in values(confluent_tag_binding.topic) : "${binding.tag_name} ${binding.entity_type} ${binding.entity_name}"]) == toset([
      "Grocery kafka_topic lsrc-1:lkc-1:grocery.orders.v1",
      "CustomerData kafka_topic lsrc-1:lkc-1:grocery.orders.v1",
      "Grocery kafka_topic lsrc-1:lkc-1:grocery.picklist.v1",
      "Grocery kafka_topic lsrc-1:lkc-1:grocery.dead-letter.v1",
      "CustomerData kafka_topic lsrc-1:lkc-1:grocery.dead-letter.v1",
    ])
    error_message = jsonencode([for binding in values(confluent_tag_binding.topic) : "${binding.tag_name} ${binding.entity_name}"])
  }
}

run "the_newest_version_is_the_highest_number" {
  command = plan
  variables {
    schemas = "tests/ten-versions"
    topics  = { t = { subject = "t-value", partitions = 1, retention_days = 1, tags = [] } }
  }
  assert {
    condition     = output.schemas == { "t-value" = 10 } && jsondecode(confluent_schema.this["t-value"].schema).doc == "ten"
    error_message = jsonencode(output.schemas)
  }
}

run "a_file_that_is_no_version_is_refused" {
  command = plan
  variables {
    schemas = "tests/stray"
    topics  = { t = { subject = "t-value", partitions = 1, retention_days = 1, tags = [] } }
  }
  expect_failures = [output.schemas]
}

run "a_subject_without_a_schema_is_refused" {
  command = plan
  variables {
    topics = { t = { subject = "t-value", partitions = 1, retention_days = 1, tags = [] } }
  }
  expect_failures = [output.schemas]
}

run "a_topic_without_partitions_is_refused" {
  command = plan
  variables {
    topics = { t = { partitions = 0, retention_days = 1, tags = [] } }
  }
  expect_failures = [var.topics]
}

run "an_unknown_tag_is_refused" {
  command = plan
  variables {
    topics = { t = { partitions = 1, retention_days = 1, tags = ["Secret"] } }
  }
  expect_failures = [var.topics]
}
