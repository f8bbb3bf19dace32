# What a service has to be told: a client.properties in the names that Confluent's own clients use. Pure, without a provider.

locals {
  clients = merge(
    { for pool, principal in var.principals : "service/${pool}" => { client = principal, pool = var.pool_ids[pool], build = false } },
    { for duty, pool in var.builders : "build/${duty}" => { client = duty, pool = pool, build = true } },
  )
  # What a job of the build server does without: it has a token already.
  login = "^#|^sasl\\.oauthbearer\\.(token\\.endpoint\\.url|client\\.credentials\\.client\\.id|scope)="
  texts = {
    for name, it in local.clients : name => join("", concat(
      it.build ? ["# ${it.client}, for ${var.name}: written by Terraform for the build server, whose job adds its own token (scripts/ci/login).\n"] : [], [
        for line in split("\n", templatefile("${path.module}/client.properties.tftpl", {
          name         = var.name
          client       = it.client
          pool         = it.pool
          bootstrap    = trimprefix(var.cluster.bootstrap_endpoint, "SASL_SSL://")
          cluster      = var.cluster.id
          registry     = var.registry.id
          registry_url = var.registry.rest_endpoint
          token_url    = var.token.url
          scope        = var.token.scope
        })) : "${line}\n"
        # An issuer without scopes gets none.
        if line != "" && !endswith(line, ".scope=") && !(it.build && can(regex(local.login, line)))
    ]))
  }
}
