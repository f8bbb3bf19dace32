mock_provider "confluent" {
  source = "../../tests/mocks"
}

run "everything" {
  command = plan

  assert {
    condition     = output.place.cluster.kind == "dedicated" && output.place.cluster.availability == "MULTI_ZONE" && output.place.cluster.deletion_protection
    error_message = "prod is several zones of a dedicated cluster that is protected"
  }
  assert {
    condition = length(output.bindings) == 15 && toset(keys(output.client_properties)) == toset([
      "order-producer", "fulfillment-service", "picklist-consumer", "operator",
    ])
    error_message = "every pool of tf/access.json has its bindings and its client.properties"
  }
  assert {
    condition     = toset(keys(output.schemas)) == toset(["grocery.orders.v1-value", "grocery.picklist.v1-value"])
    error_message = jsonencode(output.schemas)
  }
  assert {
    condition     = strcontains(output.client_properties["fulfillment-service"], "identityPoolId=pool-of-fulfillment-service")
    error_message = output.client_properties["fulfillment-service"]
  }
  assert {
    condition     = toset(keys(output.automation)) == toset(["schema-gate", "promotion", "terraform"])
    error_message = jsonencode(output.automation)
  }
}
