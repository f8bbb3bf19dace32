# Who the services are: their tokens' issuer, and one pool for each principal of the access rules. A pool's id is what a service
# sends beside its token, and what role bindings are given to.

resource "confluent_identity_provider" "this" {
  display_name = var.name
  description  = "Signs the tokens of the services of ${var.name}"
  issuer       = var.issuer.url
  jwks_uri     = var.issuer.jwks_uri
}

resource "confluent_identity_pool" "service" {
  for_each = var.principals

  identity_provider {
    id = confluent_identity_provider.this.id
  }
  display_name   = "${var.name}-${each.key}"
  description    = "Tokens of ${each.value}, for the access rules of pool ${each.key}"
  identity_claim = "claims.${var.issuer.claim}"
  # Both: a token that was made for somebody else, or for another audience, is nobody here.
  filter = join(" && ", [
    "claims.aud == \"${var.issuer.audience}\"",
    "claims.${var.issuer.claim} == \"${lookup(var.issuer.claims, each.value, each.value)}\"",
  ])
}
