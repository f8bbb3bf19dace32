terraform {
  required_version = ">= 1.10"

  required_providers {
    confluent = {
      source  = "confluentinc/confluent"
      version = "~> 2.83"
    }
  }
}

provider "confluent" {
  dynamic "oauth" {
    for_each = var.build_pool_id == null ? [] : [var.build_pool_id]
    content {
      oauth_identity_pool_id      = oauth.value
      oauth_external_access_token = var.build_token
    }
  }
}
