variables {
  name       = "grocery-test"
  principals = { order-producer = "order-producer" }
  pool_ids   = { order-producer = "pool-1" }
  token      = { url = "https://login.example/token", scope = "kafka" }
  cluster    = { id = "lkc-1", bootstrap_endpoint = "SASL_SSL://pkc-1.example:9092" }
  registry   = { id = "lsrc-1", rest_endpoint = "https://psrc-1.example" }
}

run "a_file_has_all_that_a_service_needs_but_its_secret" {
  command = plan
  assert {
    condition     = strcontains(output.client_properties["order-producer"], "\nbootstrap.servers=pkc-1.example:9092\n")
    error_message = output.client_properties["order-producer"]
  }
  assert {
    condition     = strcontains(output.client_properties["order-producer"], "\nsasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-1\n")
    error_message = output.client_properties["order-producer"]
  }
  assert {
    condition     = length(regexall("(?m)^[^#]*secret", output.client_properties["order-producer"])) == 0
    error_message = output.client_properties["order-producer"]
  }
}

run "a_job_of_the_build_server_has_a_file_without_a_login" {
  command = plan
  variables {
    builders = { promotion = "pool-9" }
  }
  assert {
    condition     = strcontains(output.build_properties["promotion"], "\nsasl.oauthbearer.method=oidc\nsasl.oauthbearer.extensions=logicalCluster=lkc-1,identityPoolId=pool-9\n")
    error_message = output.build_properties["promotion"]
  }
  assert {
    # What scripts/ci/login refuses.
    condition     = length(regexall("(?m)^(sasl\\.oauthbearer\\.(token|client)|bearer\\.auth\\.(token|client))", output.build_properties["promotion"])) == 0
    error_message = output.build_properties["promotion"]
  }
  assert {
    condition     = keys(output.client_properties) == ["order-producer"]
    error_message = jsonencode(keys(output.client_properties))
  }
}

run "an_issuer_without_scopes_is_sent_none" {
  command = plan
  variables {
    token = { url = "https://login.example/token" }
  }
  assert {
    condition     = !strcontains(output.client_properties["order-producer"], "scope") && endswith(output.client_properties["order-producer"], "=pool-1\n")
    error_message = output.client_properties["order-producer"]
  }
}

run "a_token_endpoint_over_plain_http_is_refused" {
  command = plan
  variables {
    token = { url = "http://login.example/token" }
  }
  expect_failures = [var.token]
}
