output "pool_ids" {
  description = "The id of each pool (pool-...), by its name."
  value       = { for name, pool in confluent_identity_pool.service : name => pool.id }
}
