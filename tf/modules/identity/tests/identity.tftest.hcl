mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  name       = "grocery-test"
  issuer     = { url = "https://login.example", jwks_uri = "https://login.example/keys", audience = "confluent" }
  principals = { order-producer = "order-producer", operator = "operator" }
}

run "a_pool_takes_the_tokens_of_one_principal_for_one_audience" {
  command = plan

  assert {
    condition     = confluent_identity_pool.service["order-producer"].filter == "claims.aud == \"confluent\" && claims.sub == \"order-producer\""
    error_message = confluent_identity_pool.service["order-producer"].filter
  }
  assert {
    condition     = confluent_identity_pool.service["operator"].display_name == "grocery-test-operator" && confluent_identity_pool.service["operator"].identity_claim == "claims.sub"
    error_message = "a pool is named after environment and pool, and audit logs show the claim"
  }
  assert {
    condition     = confluent_identity_provider.this.issuer == "https://login.example" && confluent_identity_provider.this.jwks_uri == "https://login.example/keys"
    error_message = "the provider is the issuer"
  }
}

run "an_issuer_with_ids_of_its_own_making" {
  command = plan
  variables {
    issuer = {
      url    = "https://login.example", jwks_uri = "https://login.example/keys", audience = "confluent"
      claim  = "azp"
      claims = { order-producer = "6ba7b810-9dad-11d1-80b4-00c04fd430c8" }
    }
  }
  assert {
    condition     = confluent_identity_pool.service["order-producer"].filter == "claims.aud == \"confluent\" && claims.azp == \"6ba7b810-9dad-11d1-80b4-00c04fd430c8\""
    error_message = confluent_identity_pool.service["order-producer"].filter
  }
  assert {
    condition     = confluent_identity_pool.service["operator"].filter == "claims.aud == \"confluent\" && claims.azp == \"operator\""
    error_message = confluent_identity_pool.service["operator"].filter
  }
}

run "keys_over_plain_http_are_refused" {
  command = plan
  variables {
    issuer = { url = "https://login.example", jwks_uri = "http://login.example/keys", audience = "confluent" }
  }
  expect_failures = [var.issuer]
}

run "a_claim_that_would_widen_the_filter_is_refused" {
  command = plan
  variables {
    issuer = {
      url    = "https://login.example", jwks_uri = "https://login.example/keys", audience = "confluent"
      claims = { operator = "x\" || claims.sub != \"" }
    }
  }
  expect_failures = [var.issuer]
}
