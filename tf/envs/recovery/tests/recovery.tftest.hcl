mock_provider "confluent" {
  source = "../../tests/mocks"
}

run "everything" {
  command = plan

  variables {
    keys = {
      primary           = { key = "K1", secret = "S1" }
      recovery          = { key = "K2", secret = "S2" }
      primary_registry  = { key = "K3", secret = "S3" }
      recovery_registry = { key = "K4", secret = "S4" }
    }
  }

  assert {
    condition     = length(output.bindings) == 15 && length(output.client_properties) == 4
    error_message = "every pool of tf/access.json has its bindings and its client.properties in this region too"
  }
  assert {
    # A service that is moved shows the same token and names the same pool; only where it goes is another place.
    condition     = strcontains(output.client_properties["order-producer"], "identityPoolId=pool-prod1")
    error_message = output.client_properties["order-producer"]
  }
}
