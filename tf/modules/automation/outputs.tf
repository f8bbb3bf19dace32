output "principals" {
  description = "The id of each duty's service account (sa-...) or identity pool (pool-...)."
  value       = local.principals
}

output "pool_ids" {
  description = "The id of each duty's identity pool; empty where duties have service accounts."
  value       = { for duty, pool in confluent_identity_pool.build : duty => pool.id }
}
