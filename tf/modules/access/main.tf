# The access rules on one cluster and its registry, as role bindings of the services' identity pools.

module "rules" {
  source = "../rules"

  access   = var.access
  roles    = var.roles
  topics   = var.topics
  subjects = var.subjects
}

locals {
  kafka    = "${var.cluster.rbac_crn}/kafka=${var.cluster.id}"
  registry = var.registry.resource_name
}

locals {
  grants = {
    for what, binding in module.rules.bindings : what => merge(binding, {
      crn = "${binding.resource == "subject" ? local.registry : local.kafka}/${binding.resource}=${binding.name}"
    })
  }
}

resource "confluent_role_binding" "service" {
  for_each = local.grants

  principal   = "User:${var.pool_ids[each.value.pool]}"
  role_name   = each.value.role
  crn_pattern = each.value.crn
}
