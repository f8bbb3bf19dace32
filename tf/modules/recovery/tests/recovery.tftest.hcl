mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  name      = "grocery-recovery"
  link_name = "grocery-recovery"
  cluster   = { kind = "dedicated", availability = "SINGLE_ZONE", cloud = "AWS", region = "eu-west-1", cku = 1 }
  primary = {
    cluster = {
      id            = "lkc-prod0", kind = "dedicated", rbac_crn = "crn://confluent.cloud/organization=o/environment=p/cloud-cluster=lkc-prod0"
      rest_endpoint = "https://prod.example:443", bootstrap_endpoint = "SASL_SSL://prod.example:9092"
    }
    registry = { id = "lsrc-prod0", rest_endpoint = "https://registry.prod.example" }
  }
  topics   = jsondecode(file("../../topics.json"))
  access   = jsondecode(file("../../access.json"))
  roles    = jsondecode(file("../../roles.json"))
  groups   = ["fulfillment-service-group"]
  pool_ids = { order-producer = "pool-o", fulfillment-service = "pool-f", picklist-consumer = "pool-p", operator = "pool-x" }
  token    = { url = "https://login.example/token" }
  keys = {
    primary           = { key = "K1", secret = "S1" }
    recovery          = { key = "K2", secret = "S2" }
    primary_registry  = { key = "K3", secret = "S3" }
    recovery_registry = { key = "K4", secret = "S4" }
  }
}

run "orders_are_mirrored_and_what_is_written_in_transactions_is_not" {
  command = plan

  assert {
    condition     = toset(keys(confluent_kafka_mirror_topic.this)) == toset(["grocery.orders.v1", "grocery.dead-letter.v1"])
    error_message = jsonencode(keys(confluent_kafka_mirror_topic.this))
  }
  assert {
    condition     = keys(confluent_kafka_topic.own) == ["grocery.picklist.v1"] && confluent_kafka_topic.own["grocery.picklist.v1"].partitions_count == 3
    error_message = jsonencode(keys(confluent_kafka_topic.own))
  }
  assert {
    condition     = alltrue([for topic in values(confluent_kafka_mirror_topic.this) : topic.status == "ACTIVE" && one(topic.cluster_link).link_name == "grocery-recovery"])
    error_message = "mirrors follow their source until a failover"
  }
}

run "the_link_runs_both_ways_and_keeps_the_groups_position" {
  command = plan

  assert {
    condition     = one(confluent_cluster_link.to_recovery).link_mode == "BIDIRECTIONAL" && one(confluent_cluster_link.to_primary).link_mode == "BIDIRECTIONAL"
    error_message = "both ends are of a bidirectional link"
  }
  assert {
    condition     = one(one(confluent_cluster_link.to_recovery).remote_kafka_cluster).id == "lkc-prod0" && one(one(confluent_cluster_link.to_primary).local_kafka_cluster).id == "lkc-prod0"
    error_message = "the ends look at each other"
  }
  assert {
    condition     = one(confluent_cluster_link.to_recovery).config == one(confluent_cluster_link.to_primary).config
    error_message = "positions are copied on the way back too"
  }
  assert {
    condition     = jsondecode(one(confluent_cluster_link.to_recovery).config["consumer.offset.group.filters"]).groupFilters[0].name == "fulfillment-service-group"
    error_message = one(confluent_cluster_link.to_recovery).config["consumer.offset.group.filters"]
  }
}

run "schemas_keep_their_ids" {
  command = plan

  assert {
    condition     = confluent_schema_registry_cluster_mode.this.mode == "IMPORT" && one(confluent_schema_exporter.this).context_type == "NONE"
    error_message = "schemas are copied under their own names, ids included"
  }
  assert {
    condition     = one(confluent_schema_exporter.this).subjects == toset(["grocery.orders.v1-value", "grocery.picklist.v1-value"])
    error_message = "the subjects of the pipeline are copied"
  }
}

run "the_services_may_do_there_what_they_may_do_here" {
  command = plan

  assert {
    condition     = length(output.bindings) == 15 && output.place.cluster.deletion_protection
    error_message = "the same bindings, and a cluster that is protected"
  }
}

run "without_keys_all_but_the_link_is_made" {
  command = plan
  variables {
    keys = null
  }
  assert {
    condition     = length(confluent_cluster_link.to_recovery) + length(confluent_kafka_mirror_topic.this) + length(confluent_schema_exporter.this) == 0
    error_message = "there is nothing to link with yet"
  }
  assert {
    condition     = length(confluent_role_binding.link) == 2
    error_message = "the account that the keys are made for has its roles"
  }
}

run "a_failover_is_told" {
  command = plan
  variables {
    mirror_status = "FAILED_OVER"
    registry_mode = "READWRITE"
  }
  assert {
    condition     = alltrue([for topic in values(confluent_kafka_mirror_topic.this) : topic.status == "FAILED_OVER"])
    error_message = "all mirrors become topics of their own"
  }
}

run "a_recovery_cluster_that_cannot_be_linked_to_is_refused" {
  command = plan
  variables {
    cluster = { kind = "standard", availability = "SINGLE_ZONE", cloud = "AWS", region = "eu-west-1" }
  }
  expect_failures = [var.cluster]
}

run "a_first_cluster_without_a_way_back_is_refused" {
  command = plan
  variables {
    primary = {
      cluster = {
        id            = "lkc-prod0", kind = "standard", rbac_crn = "crn://confluent.cloud/organization=o/environment=p/cloud-cluster=lkc-prod0"
        rest_endpoint = "https://prod.example:443", bootstrap_endpoint = "SASL_SSL://prod.example:9092"
      }
      registry = { id = "lsrc-prod0", rest_endpoint = "https://registry.prod.example" }
    }
  }
  expect_failures = [confluent_cluster_link.to_recovery]
}

run "an_unknown_status_is_refused" {
  command = plan
  variables {
    mirror_status = "FAILOVER"
  }
  expect_failures = [var.mirror_status]
}
