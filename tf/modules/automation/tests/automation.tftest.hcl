mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  name           = "grocery-test"
  subject_prefix = "grocery."
  environment    = { resource_name = "crn://confluent.cloud/organization=o/environment=e" }
  registry       = { resource_name = "crn://confluent.cloud/organization=o/environment=e/schema-registry=lsrc-1" }
  operator       = { "operator/group/g/DeveloperRead" = { role = "DeveloperRead", crn = "crn://confluent.cloud/organization=o/environment=e/cloud-cluster=lkc-1/kafka=lkc-1/group=g" } }
}

run "without_federation_there_are_service_accounts_with_the_least_rights" {
  command = apply

  assert {
    condition = { for what, binding in confluent_role_binding.build : what => "${binding.role_name} ${binding.crn_pattern}" } == {
      "schema-gate/subjects"                     = "DeveloperRead crn://confluent.cloud/organization=o/environment=e/schema-registry=lsrc-1/subject=grocery.*"
      "promotion/subjects"                       = "ResourceOwner crn://confluent.cloud/organization=o/environment=e/schema-registry=lsrc-1/subject=grocery.*"
      "promotion/operator/group/g/DeveloperRead" = "DeveloperRead crn://confluent.cloud/organization=o/environment=e/cloud-cluster=lkc-1/kafka=lkc-1/group=g"
      "terraform/environment"                    = "EnvironmentAdmin crn://confluent.cloud/organization=o/environment=e"
    }
    error_message = jsonencode(values(confluent_role_binding.build)[*].crn_pattern)
  }
  assert {
    condition     = alltrue([for what, binding in confluent_role_binding.build : binding.principal == "User:${confluent_service_account.build[split("/", what)[0]].id}"])
    error_message = "each duty's role is its account's"
  }
  assert {
    condition     = length(confluent_identity_pool.build) + length(confluent_identity_provider.build) == 0
    error_message = "nothing of the build server's is trusted"
  }
}

run "with_federation_there_are_pools_and_no_accounts" {
  command = apply

  variables {
    federation = {
      issuer   = "https://token.actions.githubusercontent.com"
      jwks_uri = "https://token.actions.githubusercontent.com/.well-known/jwks"
      audience = "confluent"
      subjects = {
        schema-gate = "repo:grocer/pipeline:pull_request"
        promotion   = "repo:grocer/pipeline:environment:test"
        terraform   = "repo:grocer/pipeline:environment:test-terraform"
      }
    }
  }

  assert {
    condition     = length(confluent_service_account.build) == 0
    error_message = "there is nobody who could have a key"
  }
  assert {
    condition     = alltrue([for what, binding in confluent_role_binding.build : binding.principal == "User:${confluent_identity_pool.build[split("/", what)[0]].id}"])
    error_message = "each duty's role is its pool's"
  }
  assert {
    condition     = confluent_identity_pool.build["terraform"].filter == "claims.aud == \"confluent\" && claims.sub == \"repo:grocer/pipeline:environment:test-terraform\""
    error_message = confluent_identity_pool.build["terraform"].filter
  }
}

run "one_subject_for_two_duties_is_refused" {
  command = plan
  variables {
    federation = {
      issuer   = "https://token.example", jwks_uri = "https://token.example/keys", audience = "confluent"
      subjects = { schema-gate = "repo:grocer/pipeline", promotion = "repo:grocer/pipeline", terraform = "repo:grocer/pipeline:environment:test" }
    }
  }
  expect_failures = [var.federation]
}

run "a_name_too_long_for_an_account_is_refused" {
  command = plan
  variables {
    name = "grocery-of-a-branch-office-with-a-name-that-never-ends"
  }
  expect_failures = [var.name]
}
