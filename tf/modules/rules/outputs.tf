output "bindings" {
  description = "The role bindings to make: which pool gets which role on which resource. A name that ends in * is a prefix."
  value       = local.bindings
}

output "problems" {
  description = "What is wrong with the rules, one sentence each; with any of them nothing may be applied."
  value       = local.problems
}
