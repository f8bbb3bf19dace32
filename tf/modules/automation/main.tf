# Who works on the environment without being a person: the check of schemas in pull requests, promotions, Terraform.
# Each is an identity pool where the build server signs tokens of its own, which leaves no secret to be kept, and a service
# account else. Service accounts get their keys by hand, because a key that Terraform makes lies in its state.

locals {
  duties = {
    schema-gate = {
      does     = "Compares the schemas of a pull request with those that are registered"
      bindings = { subjects = { role = "DeveloperRead", crn = local.subjects } }
    }
    promotion = {
      does = "Registers schemas, and asks groups and audit whether a new version works"
      # DeveloperWrite registers, but cannot set a subject's compatibility level.
      bindings = merge({ subjects = { role = "ResourceOwner", crn = local.subjects } }, var.operator)
    }
    terraform = {
      does     = "Applies this configuration"
      bindings = { environment = { role = "EnvironmentAdmin", crn = var.environment.resource_name } }
    }
  }
  subjects = "${var.registry.resource_name}/subject=${var.subject_prefix}*"
  bindings = merge([
    for duty, it in local.duties : { for what, binding in it.bindings : "${duty}/${what}" => merge(binding, { duty = duty }) }
  ]...)

  keyless = var.federation != null
  principals = local.keyless ? { for duty, pool in confluent_identity_pool.build : duty => pool.id } : {
    for duty, account in confluent_service_account.build : duty => account.id
  }
}

resource "confluent_service_account" "build" {
  for_each = local.keyless ? {} : local.duties

  display_name = "${var.name}-${each.key}"
  description  = each.value.does
}

resource "confluent_identity_provider" "build" {
  count = local.keyless ? 1 : 0

  display_name = "${var.name}-build"
  description  = "Signs the tokens of the build server's jobs for ${var.name}"
  issuer       = var.federation.issuer
  jwks_uri     = var.federation.jwks_uri
}

resource "confluent_identity_pool" "build" {
  for_each = local.keyless ? local.duties : {}

  identity_provider {
    id = one(confluent_identity_provider.build).id
  }
  display_name   = "${var.name}-${each.key}"
  description    = each.value.does
  identity_claim = "claims.sub"
  filter         = "claims.aud == \"${var.federation.audience}\" && claims.sub == \"${var.federation.subjects[each.key]}\""
}

resource "confluent_role_binding" "build" {
  for_each = local.bindings

  principal   = "User:${local.principals[each.value.duty]}"
  role_name   = each.value.role
  crn_pattern = each.value.crn
}
