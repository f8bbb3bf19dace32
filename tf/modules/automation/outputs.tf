output "principals" {
  description = "The id of each duty's service account (sa-...) or identity pool (pool-...)."
  value       = local.principals
}
