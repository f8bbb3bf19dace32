mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  name       = "grocery-test"
  governance = "ESSENTIALS"
  protected  = true
  cluster    = { kind = "standard", availability = "SINGLE_ZONE", cloud = "AWS", region = "eu-central-1" }
}

run "a_standard_cluster_in_an_environment_of_its_own" {
  command = plan

  assert {
    condition     = one(confluent_kafka_cluster.standard).deletion_protection && length(confluent_kafka_cluster.dedicated) == 0
    error_message = "one standard cluster, protected, is wanted"
  }
  assert {
    condition     = confluent_environment.this.display_name == "grocery-test" && one(confluent_environment.this.stream_governance).package == "ESSENTIALS"
    error_message = "the environment has the name and the package that were asked for"
  }
  assert {
    condition     = one(one(confluent_kafka_cluster.standard).environment).id == output.environment.id
    error_message = "the cluster stands in the environment"
  }
}

run "a_dedicated_cluster_of_a_size" {
  command = plan

  variables {
    cluster = { kind = "dedicated", availability = "MULTI_ZONE", cloud = "GCP", region = "europe-west3", cku = 2 }
  }

  assert {
    condition     = one(one(confluent_kafka_cluster.dedicated).dedicated).cku == 2 && length(confluent_kafka_cluster.standard) == 0
    error_message = "one dedicated cluster with 2 CKU is wanted"
  }
}

run "a_basic_cluster_is_refused_because_it_cannot_keep_services_apart" {
  command = plan
  variables {
    cluster = { kind = "basic", availability = "SINGLE_ZONE", cloud = "AWS", region = "eu-central-1" }
  }
  expect_failures = [var.cluster]
}

run "a_cluster_that_only_private_networks_reach_is_refused" {
  command = plan
  variables {
    cluster = { kind = "enterprise", availability = "MULTI_ZONE", cloud = "AWS", region = "eu-central-1" }
  }
  expect_failures = [var.cluster]
}

run "a_dedicated_cluster_without_a_size_is_refused" {
  command = plan
  variables {
    cluster = { kind = "dedicated", availability = "SINGLE_ZONE", cloud = "AWS", region = "eu-central-1" }
  }
  expect_failures = [var.cluster]
}

run "several_zones_with_one_unit_are_refused" {
  command = plan
  variables {
    cluster = { kind = "dedicated", availability = "MULTI_ZONE", cloud = "AWS", region = "eu-central-1", cku = 1 }
  }
  expect_failures = [var.cluster]
}

run "an_unknown_package_is_refused" {
  command = plan
  variables {
    governance = "FREE"
  }
  expect_failures = [var.governance]
}
