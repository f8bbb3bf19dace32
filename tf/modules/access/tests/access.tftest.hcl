mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  access   = jsondecode(file("../../access.json"))
  roles    = jsondecode(file("../../roles.json"))
  topics   = ["grocery.orders.v1", "grocery.picklist.v1", "grocery.dead-letter.v1"]
  subjects = ["grocery.orders.v1-value", "grocery.picklist.v1-value"]
  pool_ids = { order-producer = "pool-o", fulfillment-service = "pool-f", picklist-consumer = "pool-p", operator = "pool-x" }
  cluster  = { id = "lkc-1", rbac_crn = "crn://confluent.cloud/organization=o/environment=e/cloud-cluster=lkc-1" }
  registry = { resource_name = "crn://confluent.cloud/organization=o/environment=e/schema-registry=lsrc-1" }
}

run "each_rule_becomes_bindings_of_its_pool_on_its_resource" {
  command = plan

  assert {
    condition     = length(confluent_role_binding.service) == 15
    error_message = "the fifteen rules are granted by one role each"
  }
  assert {
    condition = toset([
      for binding in values(confluent_role_binding.service) : "${binding.role_name} ${trimprefix(binding.crn_pattern, "crn://confluent.cloud/organization=o/environment=e/")}"
      if binding.principal == "User:pool-f"
      ]) == toset([
      "DeveloperRead cloud-cluster=lkc-1/kafka=lkc-1/topic=grocery.orders.v1",
      "DeveloperRead cloud-cluster=lkc-1/kafka=lkc-1/group=fulfillment-service-group",
      "DeveloperWrite cloud-cluster=lkc-1/kafka=lkc-1/topic=grocery.picklist.v1",
      "DeveloperWrite cloud-cluster=lkc-1/kafka=lkc-1/transactional-id=fulfillment-service*",
      "DeveloperRead schema-registry=lsrc-1/subject=grocery.orders.v1-value",
      "DeveloperRead schema-registry=lsrc-1/subject=grocery.picklist.v1-value",
    ])
    error_message = jsonencode(values(confluent_role_binding.service)[*].crn_pattern)
  }
}

run "a_rule_that_names_an_unknown_topic_fails_the_plan" {
  command = plan
  variables {
    access = {
      pools = [{
        pool  = "order-producer", principal = "order-producer"
        rules = [{ resource = "topic", name = "grocery.order.v1", pattern = "literal", operations = ["Write", "Describe"] }]
      }]
    }
  }
  expect_failures = [output.bindings]
}

run "a_rule_that_no_set_of_roles_equals_fails_the_plan" {
  command = plan
  variables {
    access = {
      pools = [{
        pool  = "order-producer", principal = "order-producer"
        rules = [{ resource = "topic", name = "grocery.orders.v1", pattern = "literal", operations = ["Write"] }]
      }]
    }
  }
  expect_failures = [output.bindings]
}
