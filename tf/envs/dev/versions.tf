# The same in dev, staging and prod, which scripts/check-terraform makes sure of.

terraform {
  required_version = ">= 1.10"

  required_providers {
    confluent = {
      source  = "confluentinc/confluent"
      version = "~> 2.83"
    }
  }
}

# With build_pool_id a token of the build server is all that is needed. Without it the keys come from the environment, never from
# here: CONFLUENT_CLOUD_API_KEY and _SECRET, and for topics and schemas what README.md lists.
provider "confluent" {
  dynamic "oauth" {
    for_each = var.build_pool_id == null ? [] : [var.build_pool_id]
    content {
      oauth_identity_pool_id      = oauth.value
      oauth_external_access_token = var.build_token
    }
  }
}
